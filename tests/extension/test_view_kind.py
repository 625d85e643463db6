"""A view kind is one file: `tests.extension.imfcc`, used from the configuration to the score."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import scipy.fft
import soundfile
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus, Row
from bonafide.detector import Detector
from bonafide.errors import ConfigError
from bonafide.export.chain import Chain
from bonafide.features.frontend import build_frontend, filters
from bonafide.features.kinds import KINDS, Bands, ViewKind, cosine_table
from bonafide.features.spec import SAMPLE_RATE_HZ, FeatureSpec, ViewSpec
from bonafide.runtime import Graph
from bonafide.training.config import AugmentationConfig, parse_config
from bonafide.training.extraction import extract
from bonafide.training.ingest import sound_sha256
from bonafide.training.recordings import Recordings
from tests.helpers.networks import VIEWS, sounds, untrained_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
ENTRY_POINT = "[bonafide.views]\nimfcc = tests.extension.imfcc:IMFCC\n"


def bring(folder: Path, entry_points: str) -> None:
    """Lay down what pip leaves of a package that has these entry points."""
    info = folder / "another_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind, brought by a package; gone again afterwards."""
    site = tmp_path / "site"
    site.mkdir()
    bring(site, ENTRY_POINT)
    monkeypatch.syspath_prepend(site)  # processes that are spawned get it too
    assert KINDS.names()[-1] == "imfcc"
    yield
    KINDS.unregister("imfcc")
    monkeypatch.undo()
    with pytest.raises(
        ConfigError, match=r"kind='imfcc': must be one of mfcc, lfcc, logmel, logband$"
    ):
        ViewSpec("imfcc")


def expected(
    view: ViewSpec, waveform: NDArray[np.float32], power_floor: float
) -> NDArray[np.float64]:
    """The features as the paper has them, in float64: (n_frames, n_features)."""
    y = waveform.astype(np.float64) - waveform.mean(dtype=np.float64)
    y /= np.sqrt(np.mean(y**2))
    spectrum = librosa.stft(y, n_fft=view.n_fft, hop_length=view.hop_samples, pad_mode="constant")
    mels = np.linspace(*librosa.hz_to_mel([8_000 - view.high_hz, 8_000 - view.low_hz]), 42)
    corners = 8_000 - librosa.mel_to_hz(mels)[::-1]
    hz = np.fft.rfftfreq(view.n_fft, 1 / SAMPLE_RATE_HZ)
    bands = [
        np.interp(hz, corners[i : i + 3], [0, 2 / (corners[i + 2] - corners[i]), 0])
        for i in range(view.n_filters)
    ]
    db = 10 * np.log10(np.maximum(np.array(bands) @ np.abs(spectrum) ** 2, power_floor))
    static = scipy.fft.dct(db, axis=0, norm="ortho")[: view.n_coefficients]
    deltas = [librosa.feature.delta(static, order=order) for order in (1, 2)] if view.deltas else []
    return np.concatenate([static, *deltas]).T


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "view",
    [
        {"deltas": True, "by_class": True},
        {"n_fft": 256, "hop_samples": 96, "n_coefficients": 30, "low_hz": 3_000.0},
        {"n_fft": 1024, "high_hz": 7_000.0},
    ],
)
def test_the_front_end_gives_what_the_paper_says(view: dict[str, Any]) -> None:
    views = {"imfcc": ViewSpec("imfcc", **view), "lfcc": ViewSpec("lfcc")}
    spec = FeatureSpec(views=views, statistics=views)
    frontend = Graph(build_frontend(spec).SerializeToString())
    for waveform in sounds(2, spec.window_samples):
        seen = frontend({"waveform": waveform[None]})["imfcc"][0]
        wanted = expected(spec.views["imfcc"], waveform, spec.power_floor)
        assert seen.shape == (spec.n_frames(spec.views["imfcc"]), spec.views["imfcc"].n_features)
        np.testing.assert_allclose(seen, wanted, rtol=0, atol=0.02)


@pytest.mark.usefixtures("installed")
def test_it_is_extracted_exported_and_scored(tmp_path: Path) -> None:
    views = {"imfcc": {"kind": "imfcc", "by_class": True}}
    models = {name: {"view": "imfcc"} for name in VIEWS}
    features = {"views": views, "statistics": views}
    spec = parse_config({"features": features, "models": models}, "config").spec
    clips = sounds(4, 4 * SAMPLE_RATE_HZ)
    for number, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{number}.wav", clip, SAMPLE_RATE_HZ, subtype="FLOAT")
    rows = [Row(f"{number}.wav", "bonafide") for number in range(len(clips))]
    digests = np.array([sound_sha256(clip) for clip in clips])
    recordings = Recordings(Corpus(tmp_path, rows), digests, np.zeros((len(clips), 1)))
    store = extract(recordings, spec, AugmentationConfig(count=0), tmp_path / "store", workers=1)
    for clip, seen in zip(clips, store.view("imfcc"), strict=True):
        wanted = expected(spec.views["imfcc"], clip, spec.power_floor)
        np.testing.assert_allclose(seen, wanted, rtol=0, atol=0.02)

    bundle = untrained_bundle(tmp_path / "bundle", spec=spec, views=dict.fromkeys(VIEWS, "imfcc"))
    by_parts = Chain(bundle).score_windows(clips)[1]
    detector = Detector(bundle.folder)
    for clip, wanted in zip(clips, by_parts, strict=True):
        assert list(detector.score(clip).models.values()) == pytest.approx(list(wanted), abs=1e-4)


def test_who_installs_the_package_has_the_kind(tmp_path: Path) -> None:
    bring(tmp_path, ENTRY_POINT)
    code = (
        "from bonafide.features.spec import ViewSpec\n"
        "print(ViewSpec('imfcc', n_coefficients=7).n_features)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("7\n", "")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:KIND", "cannot be imported: ModuleNotFoundError: No module named"),
        ("math:pi", r"is 3\.14\d+; must be a ViewKind called 'broken'"),
        ("tests.extension.imfcc:IMFCC", "is ViewKind.*; must be a ViewKind called 'broken'"),
    ],
)
def test_a_package_that_brings_no_kind(
    target: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(tmp_path, f"[bonafide.views]\nbroken = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    where = rf"entry point broken = {target} of bonafide\.views: "
    with pytest.raises(ConfigError, match=where + message) as error:
        ViewSpec("broken")
    assert error.value.code == "bad_plugin"


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ConfigError, match=r"mfcc: bonafide\.views has a part of that name"):
        KINDS.register(ViewKind("mfcc", filters=lambda bands: np.zeros((1, 1), np.float32)))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"filters": lambda b: np.ones((b.n_filters, 9))}, r"filters of shape \(40, 9\): must be"),
        ({"filters": lambda b: np.ones((40, 257))}, "0 at the first and the last bin"),
        ({"filters": lambda b: np.full((40, 257), -1.0)}, "must be finite and at least 0"),
        ({"filters": lambda b: np.full((40, 257), np.nan)}, "must be finite and at least 0"),
        (
            {"transform": lambda n_filters, n_coefficients: np.eye(n_filters)},
            r"transform of shape \(40, 40\): must be \(20, 40\)",
        ),
    ],
)
def test_tables_that_make_no_view(kind: dict[str, Any], message: str) -> None:
    known = {"filters": lambda bands: filters(ViewSpec("lfcc")), "transform": cosine_table}
    KINDS.register(ViewKind("odd", **{**known, **kind}))
    try:
        views = {"odd": ViewSpec("odd")}
        with pytest.raises(ConfigError, match=f"kind='odd': .*{message}") as error:
            build_frontend(FeatureSpec(views=views))
    finally:
        KINDS.unregister("odd")
    assert error.value.code == "bad_view_kind"


def test_bands_say_what_filters_need() -> None:
    view = ViewSpec("lfcc", 24, 12, 300.0, 3_400.0, n_fft=256, hop_samples=80)
    assert view.bands == Bands(24, 300.0, 3_400.0, n_fft=256, sample_rate_hz=16_000)
