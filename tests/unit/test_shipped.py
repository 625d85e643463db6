"""The bundles that ship with the package."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from bonafide.audio import Waveform, decode
from bonafide.bundle import read_bundle
from bonafide.detector import Detector
from bonafide.export.rebuild import rebuild
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import SHIPPED_NAMES, shipped_folder
from bonafide.simulation.voices import Voice, speak

# Sources that it was trained on: they show how a part is found, and not how often.
HEARD = ("iiscleap/ZEST", "signofthefour/smos", "b04901014/MQTTS", "whoami216/FCConDubber")
BUILT = ("frontend.onnx", "detector.onnx")
N_SAMPLES = 9 * SAMPLE_RATE_HZ


@pytest.fixture(scope="module", params=SHIPPED_NAMES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return Detector.shipped(request.param)


@pytest.fixture(scope="module")
def voice() -> Waveform:
    rng = np.random.default_rng(3)
    sound = speak(rng, Voice.draw(rng), N_SAMPLES)
    room = 0.01 * rng.standard_normal(N_SAMPLES)
    return np.asarray(0.4 * sound / np.abs(sound).max() + room, dtype=np.float32)


def wav(sound: Waveform, subtype: str, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_its_graphs_are_what_this_code_makes_of_its_parts(name: str, tmp_path: Path) -> None:
    shipped = read_bundle(shipped_folder(name))
    sound = np.random.default_rng(0).standard_normal((2, shipped.spec.window_samples))
    rebuilt = rebuild(shipped, tmp_path / "bundle", sound.astype(np.float32), {})
    for file in BUILT:
        assert (rebuilt.folder / file).read_bytes() == (shipped.folder / file).read_bytes()
    assert rebuilt.digest() == shipped.digest()


@pytest.mark.parametrize(
    ("level", "subtype"),
    [(1.0, "PCM_16"), (1.0, "PCM_24"), (1.0, "FLOAT"), (0.05, "PCM_24"), (0.05, "FLOAT")],
)
@pytest.mark.parametrize("offset", [0.5, -0.3, 0.01])
def test_an_offset_is_not_heard(
    offset: float, level: float, subtype: str, detector: Detector, voice: Waveform
) -> None:
    sounds = [wav(level * voice + added, subtype) for added in (0.0, offset)]
    wanted, seen = map(detector.score, sounds)
    assert [each.code for each in seen.warnings] == [each.code for each in wanted.warnings]
    assert seen.llr == pytest.approx(wanted.llr, abs=0.03)  # the encoder counts in 8 bits


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000])
@pytest.mark.parametrize("seconds", [1.5, 9.0])
def test_nor_at_another_rate(
    rate_hz: int, seconds: float, detector: Detector, voice: Waveform
) -> None:
    """A resampler would make clicks of it, which a short recording repeats."""
    sound = soxr.resample(voice, SAMPLE_RATE_HZ, rate_hz)[: round(seconds * rate_hz)]
    wanted, *seen = (
        detector.score(wav(sound + offset, "FLOAT", rate_hz)).llr for offset in (0.0, 0.1, -0.4)
    )
    assert seen == pytest.approx([wanted] * 2, abs=0.03)


@pytest.mark.parametrize("source", HEARD)
def test_genuine_speech_does_not_hide_a_fake(
    source: str, detector: Detector, corpus_folder: Path
) -> None:
    with (corpus_folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == source]
    real, fake = (
        np.concatenate([decode(corpus_folder / row["path"]) for row in rows if row["label"] == one])
        for one in ("bonafide", "spoof")
    )
    front = np.tile(real, 3)[: 44 * SAMPLE_RATE_HZ]
    assert detector.score(front).parts == ()
    seen = detector.score(np.concatenate([front, fake[: 12 * SAMPLE_RATE_HZ]]))
    assert seen.verdict == "partly_spoof" and seen.p_spoof < 0.85
    (part,) = seen.parts
    assert part.start_s >= len(front) / SAMPLE_RATE_HZ - 4 and part.p_spoof > 0.85
