"""The front-end graph against librosa itself, on every kind of sound and several specs."""

import functools
from pathlib import Path
from typing import Any

import librosa.filters
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bonafide.audio import MAX_SAMPLE, Waveform, decode, tile
from bonafide.corpora.speechlike import Voice, speak
from bonafide.frontend import build_frontend, filters, linear_filters
from bonafide.onnxgraph import OPSET
from bonafide.runtime import Graph
from bonafide.spec import SAMPLE_RATE_HZ, FeatureSpec, ViewSpec
from bonafide.statistics import N_STATISTICS, PERCENTILES, build_statistics

# Largest absolute difference from librosa in float64. Values are decibels (60 either way) and
# cepstra (c0 to 400): rounding a sum of 40 float32 bands is some 1e-4, and 7e-4 is the largest
# seen on sounds with a floor of noise, speech among them. Where all energy stands in one line of
# the spectrum (tones, an offset), bands 100 dB below it hold the rounding of the line itself:
# 1e-2 seen, at -55 dB.
TOLERANCE = 2e-3
LINE_TOLERANCE = 10 * TOLERANCE

DEFAULT = FeatureSpec()
SHORT = FeatureSpec(
    window_s=1.0,
    views={
        "mfcc": ViewSpec("mfcc", n_filters=26, n_coefficients=13),
        "lfcc": ViewSpec("lfcc", n_filters=20, n_coefficients=20, deltas=False),
        "logmel": ViewSpec("logmel", n_filters=40, n_coefficients=0, deltas=True),
    },
)
BANDS = {
    "mfcc": ViewSpec("mfcc", low_hz=300.0, high_hz=3_400.0, n_filters=20, n_coefficients=12),
    "lfcc": ViewSpec("lfcc"),
    "lfcc_high": ViewSpec("lfcc", low_hz=3_000.0, n_filters=24),
    "lfcc_low": ViewSpec("lfcc", high_hz=4_000.0, n_filters=16, n_coefficients=16),
    "logmel": ViewSpec("logmel", n_filters=32, n_coefficients=0, deltas=False),
}
OTHERS = {
    "1024/160": FeatureSpec(n_fft=1024, hop_samples=160, window_s=2.0),
    "2048/512": FeatureSpec(n_fft=2048, hop_samples=512, window_s=2.0),
    "256/80": FeatureSpec(n_fft=256, hop_samples=80, window_s=2.0, views=BANDS),
    "256/256": FeatureSpec(n_fft=256, hop_samples=256, window_s=2.0, views=BANDS),
    "512/300": FeatureSpec(hop_samples=300, window_s=0.77, delta_frames=5, views=BANDS),
    "floors": FeatureSpec(window_s=2.0, power_floor=1e-3, rms_floor=1e-2),
    "views": SHORT,
}


@functools.cache
def frontend(name: str = "") -> Graph:
    spec = OTHERS[name] if name else DEFAULT
    return Graph(build_frontend(spec).SerializeToString())


def extract(waveform: NDArray[Any], name: str = "") -> dict[str, NDArray[np.float32]]:
    """The views of one window, each (n_frames, n_features)."""
    views = frontend(name)({"waveform": np.asarray(waveform, dtype=np.float32)[None]})
    return {view: frames[0] for view, frames in views.items()}


@functools.cache
def librosa_linear(n_fft: int, n_filters: int, low_hz: float, high_hz: float) -> NDArray[Any]:
    def linear(n_mels: int, *, fmin: float, fmax: float, htk: bool) -> NDArray[Any]:
        return np.linspace(fmin, fmax, n_mels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(librosa.filters, "mel_frequencies", linear)
        return np.asarray(
            librosa.filters.mel(
                sr=SAMPLE_RATE_HZ, n_fft=n_fft, n_mels=n_filters, fmin=low_hz, fmax=high_hz
            )
        )


def reference(spec: FeatureSpec, view: ViewSpec, waveform: NDArray[Any]) -> NDArray[Any]:
    """What librosa gives in float64, (n_frames, n_features)."""
    y = waveform.astype(np.float64)
    y = y / max(float(np.sqrt(np.mean(y**2))), spec.rms_floor)
    sizes = {"n_fft": spec.n_fft, "hop_length": spec.hop_samples, "pad_mode": "constant"}
    if view.kind == "lfcc":
        power = np.abs(librosa.stft(y, **sizes)) ** 2
        bank = librosa_linear(spec.n_fft, view.n_filters, view.low_hz, view.high_hz)
        bands = bank @ power
    else:
        bands = librosa.feature.melspectrogram(
            y=y,
            sr=SAMPLE_RATE_HZ,
            n_mels=view.n_filters,
            fmin=view.low_hz,
            fmax=view.high_hz,
            power=2.0,
            **sizes,
        )
    decibels = librosa.power_to_db(bands, ref=1.0, amin=spec.power_floor, top_db=None)
    static = decibels
    if view.kind != "logmel":
        static = librosa.feature.mfcc(S=decibels, n_mfcc=view.n_coefficients)
    parts = [static]
    if view.deltas:
        parts += [
            librosa.feature.delta(static, width=spec.delta_frames, order=order) for order in (1, 2)
        ]
    return np.concatenate(parts).T


def check(
    spec: FeatureSpec, waveform: NDArray[Any], name: str = "", tolerance: float = TOLERANCE
) -> None:
    views = extract(waveform, name)
    assert list(views) == list(spec.views)
    for view_name, view in spec.views.items():
        seen = views[view_name]
        assert seen.dtype == np.float32
        assert seen.shape == (spec.n_frames, view.n_features)
        wanted = reference(spec, view, waveform)
        np.testing.assert_allclose(seen, wanted, rtol=0, atol=tolerance, err_msg=view_name)


def noise(n: int = DEFAULT.window_samples, rms: float = 0.1, seed: int = 0) -> Waveform:
    return (rms * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def tone(hz: float, n: int = DEFAULT.window_samples) -> Waveform:
    return np.sin(2 * np.pi * hz * np.arange(n) / SAMPLE_RATE_HZ).astype(np.float32)


@functools.cache
def speech(n: int = DEFAULT.window_samples) -> Waveform:
    rng = np.random.default_rng(11)
    sound = speak(rng, Voice.draw(rng), n)
    return (0.05 * sound / np.std(sound)).astype(np.float32)


def clicks(n: int = DEFAULT.window_samples) -> Waveform:
    sound = np.zeros(n, dtype=np.float32)
    sound[[0, 1_000, n // 2, n // 2 + 1, n - 1]] = 0.9, -0.9, 0.5, 0.5, 0.9
    return sound


SOUNDS = {
    "white noise": noise(),
    "40 dB quieter noise": noise(rms=1e-3),
    "noise beyond full scale": noise(rms=2.0),
    "clicks": clicks(),
    "speech-like": speech(),
    "40 dB quieter speech-like": 0.01 * speech(),
    "below the level floor": 1e-6 * noise(),
    "half silent": np.where(np.arange(DEFAULT.window_samples) < 30_000, speech(), 0.0),
    "square": np.sign(tone(200)),
}
LINES = {
    **{f"{hz} Hz": 0.3 * tone(hz) for hz in (50, 440, 1_000, 3_999, 7_900)},
    "offset": 0.2 + 0.01 * noise(),
}


# --- equal to librosa -----------------------------------------------------------------------------


@pytest.mark.parametrize("waveform", SOUNDS.values(), ids=SOUNDS)
def test_default_views_equal_librosa(waveform: Waveform) -> None:
    check(DEFAULT, waveform)


@pytest.mark.parametrize("waveform", LINES.values(), ids=LINES)
def test_default_views_equal_librosa_on_lines(waveform: Waveform) -> None:
    check(DEFAULT, waveform, tolerance=LINE_TOLERANCE)


def test_default_views_equal_librosa_on_real_clips(real_clips: list[Path]) -> None:
    for clip in real_clips:
        check(DEFAULT, tile(decode(clip), DEFAULT.window_samples))


def test_silence_is_the_floor_everywhere() -> None:
    """Exactly one value in all bands and frames, so no coefficient but c0 and no change."""
    views = extract(np.zeros(DEFAULT.window_samples))
    floor_db = 10 * np.log10(DEFAULT.power_floor)
    np.testing.assert_array_equal(views["logmel"], views["logmel"][0, 0])
    assert views["logmel"][0, 0] == pytest.approx(floor_db, abs=1e-5)
    for name in ("mfcc", "lfcc", "lfcc_high"):
        n_filters, n_static = DEFAULT.views[name].n_filters, DEFAULT.views[name].n_static
        wanted = np.zeros_like(views[name])
        wanted[:, 0] = floor_db * np.sqrt(n_filters)
        np.testing.assert_allclose(views[name], wanted, rtol=0, atol=2e-4)
        assert (views[name][:, :n_static] == views[name][0, :n_static]).all()
    check(DEFAULT, np.zeros(DEFAULT.window_samples))


@pytest.mark.parametrize("name", OTHERS)
def test_other_specs_equal_librosa(name: str) -> None:
    spec = OTHERS[name]
    n = spec.window_samples
    for waveform in (noise(n), clicks(n), speech(n), 1e-3 * speech(n)):
        check(spec, waveform, name)
    check(spec, 0.2 * tone(1_234, n), name, LINE_TOLERANCE)


@pytest.mark.parametrize("n_fft", [256, 512, 1024, 2048])
@pytest.mark.parametrize(
    ("n_filters", "low_hz", "high_hz"),
    [(40, 0.0, 8_000.0), (20, 3_000.0, 8_000.0), (24, 300.0, 3_400.0), (16, 4_000.0, 8_000.0)],
)
def test_linear_filters_are_librosas_at_equal_steps(
    n_fft: int, n_filters: int, low_hz: float, high_hz: float
) -> None:
    view = ViewSpec("lfcc", n_filters=n_filters, low_hz=low_hz, high_hz=high_hz, n_coefficients=4)
    wanted = librosa_linear(n_fft, n_filters, low_hz, high_hz)
    seen = linear_filters(n_fft, view)
    assert seen.dtype == np.float32 and wanted.max() > 0
    np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(("mfcc", "lfcc")),
    n_fft=st.sampled_from((512, 1024, 2048)),
    n_filters=st.integers(4, 40),
    low_hz=st.sampled_from((0.0, 50.0, 3_000.0)),
    high_hz=st.sampled_from((8_000.0, 7_600.0, 6_000.0)),
)
def test_the_bins_that_the_graph_leaves_out_have_no_weight(
    kind: Any, n_fft: int, n_filters: int, low_hz: float, high_hz: float
) -> None:
    view = ViewSpec(kind, n_filters=n_filters, n_coefficients=4, low_hz=low_hz, high_hz=high_hz)
    table = filters(FeatureSpec(n_fft=n_fft, views={"view": view}), view)
    assert table.shape == (n_filters, 1 + n_fft // 2)
    assert not table[:, [0, -1]].any()
    assert (table >= 0).all()
    hz = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE_HZ)
    outside = (hz < low_hz - 1e-6) | (hz > high_hz + 1e-6)
    assert not table[:, outside].any()


def test_a_band_between_two_bins_holds_nothing() -> None:
    band = ViewSpec("lfcc", n_filters=4, n_coefficients=4, low_hz=5.0, high_hz=20.0, deltas=False)
    spec = FeatureSpec(views={"lfcc": band})
    frames = Graph(build_frontend(spec).SerializeToString())({"waveform": noise()[None]})["lfcc"]
    floor_db = 10 * np.log10(spec.power_floor)
    np.testing.assert_allclose(frames[..., 0], 2 * floor_db, rtol=1e-5)  # sqrt(4) by the DCT
    np.testing.assert_allclose(frames[..., 1:], 0.0, atol=1e-4)


# --- what it must not see, and what must not matter -----------------------------------------------


def test_high_band_ignores_energy_below_3_khz() -> None:
    """A strong low tone moves the level, so c0, and nothing else of `lfcc_high`."""
    n = DEFAULT.window_samples
    spectrum = np.fft.rfft(noise())
    spectrum[np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ) < 2_900] = 0
    high = np.fft.irfft(spectrum, n)
    low = 3 * np.std(high) * tone(1_000) * np.hanning(n)  # no click at the ends
    alone, both = extract(high), extract(high + low)
    change_db = 10 * np.log10(np.mean(high**2) / np.mean((high + low) ** 2))
    assert change_db < -3
    wanted = alone["lfcc_high"].copy()
    wanted[:, 0] += change_db * np.sqrt(DEFAULT.views["lfcc_high"].n_filters)
    quiet = slice(2, -2)  # the end frames hold the padding's edge
    np.testing.assert_allclose(both["lfcc_high"][quiet], wanted[quiet], rtol=0, atol=0.05)
    assert np.abs(both["lfcc"][quiet, 1:20] - alone["lfcc"][quiet, 1:20]).max() > 10


@pytest.mark.parametrize("gain", [0.01, 0.1, 8.0, 1_000.0])
def test_level_does_not_matter(gain: float) -> None:
    one, other = extract(speech()), extract(gain * speech())
    for name in DEFAULT.views:
        np.testing.assert_allclose(other[name], one[name], rtol=0, atol=TOLERANCE)


def test_below_the_level_floor_it_does() -> None:
    quiet = 1e-6 * speech()
    one, other = extract(quiet), extract(0.1 * quiet)
    assert one["logmel"].mean() > other["logmel"].mean()


def test_sign_does_not_matter() -> None:
    one, other = extract(speech()), extract(-speech())
    for name in DEFAULT.views:
        np.testing.assert_allclose(other[name], one[name], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_a_batch_equals_its_single_windows(size: int) -> None:
    rows = [noise(rms=10.0 ** -(i % 4), seed=i) for i in range(size - 1)] + [speech()]
    batch = frontend()({"waveform": np.stack(rows)})
    for i, row in enumerate(rows):
        single = extract(row)
        for name in DEFAULT.views:
            assert batch[name].shape == (size, DEFAULT.n_frames, DEFAULT.views[name].n_features)
            np.testing.assert_allclose(batch[name][i], single[name], rtol=0, atol=TOLERANCE)


def test_a_frame_depends_on_its_own_samples_alone() -> None:
    sound = speech().copy()
    changed = sound.copy()
    changed[32_000:32_100] = sound[32_000:32_100][::-1]  # the same energy, elsewhere
    one, other = extract(sound)["logmel"], extract(changed)["logmel"]
    frames = np.flatnonzero(np.abs(one - other).max(axis=1) > TOLERANCE)
    centres = frames * DEFAULT.hop_samples
    assert len(frames)
    assert (centres > 32_000 - 256).all() and (centres < 32_100 + 256).all()


@st.composite
def waveforms(draw: st.DrawFn) -> Waveform:
    n = SHORT.window_samples
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(("noise", "sparse", "tone", "constant", "alternating", "denormal")))
    shapes = {
        "noise": lambda: rng.standard_normal(n),
        "sparse": lambda: rng.standard_normal(n) * (rng.random(n) < 1e-3),
        "tone": lambda: np.sin(rng.uniform(0, np.pi) * np.arange(n)),
        "constant": lambda: np.ones(n),
        "alternating": lambda: (-1.0) ** np.arange(n),
        "denormal": lambda: rng.integers(-2, 3, n) * 1e-44,
    }
    exponent = draw(st.floats(-30, 12))
    return np.asarray(shapes[kind]() * 10.0**exponent, dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(waveform=waveforms())
def test_any_waveform_gives_finite_features(waveform: Waveform) -> None:
    for name, frames in extract(waveform, "views").items():
        assert np.isfinite(frames).all(), name


@pytest.mark.parametrize("level", [MAX_SAMPLE, 1e14])
def test_absurd_levels_give_finite_features(level: float) -> None:
    """`decode` takes no louder sample than `MAX_SAMPLE`; the graph has room beyond."""
    for name, frames in extract(level * tone(440, SHORT.window_samples), "views").items():
        assert np.isfinite(frames).all(), name


# --- the graph itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [DEFAULT, *OTHERS.values()], ids=["default", *OTHERS])
def test_the_graph_holds_standard_operators_only(spec: FeatureSpec) -> None:
    model = build_frontend(spec)
    check_standard(model)
    assert [value.name for value in model.graph.input] == ["waveform"]
    assert [value.name for value in model.graph.output] == list(spec.views)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param == "batch" and shape[1].dim_value == spec.window_samples


def check_standard(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert not {node.op_type for node in model.graph.node} & {"Loop", "Scan", "If", "STFT", "DFT"}
    versions = {entry.domain: entry.version for entry in model.opset_import}
    assert versions[""] == OPSET == 17
    assert not model.functions


def test_the_same_spec_gives_the_same_bytes() -> None:
    one, other = (build_frontend(SHORT).SerializeToString(deterministic=True) for _ in range(2))
    assert one == other


# --- time statistics ------------------------------------------------------------------------------


def numpy_statistics(frames: NDArray[Any]) -> NDArray[Any]:
    frames = frames.astype(np.float64)
    rows = [
        frames.mean(axis=0),
        frames.std(axis=0),
        *np.percentile(frames, PERCENTILES, axis=0),
        np.abs(np.diff(frames, axis=0)).mean(axis=0),
    ]
    return np.concatenate(rows)


@pytest.mark.parametrize("n_frames", [2, 3, 7, 20, 21, 64, 100, 201])
@pytest.mark.parametrize("n_features", [1, 5])
def test_statistics_equal_numpys(n_frames: int, n_features: int) -> None:
    graph = Graph(build_statistics(n_frames, n_features).SerializeToString())
    rng = np.random.default_rng(n_frames)
    batch = (rng.standard_normal((3, n_frames, n_features)) * 50 - 20).astype(np.float32)
    batch[1] = np.round(batch[1] / 40)  # ties
    batch[2] = -60.0  # constant
    seen = graph({"frames": batch})["statistics"]
    assert seen.shape == (3, N_STATISTICS * n_features) and N_STATISTICS == 8
    for row, frames in zip(seen, batch, strict=True):
        np.testing.assert_allclose(row, numpy_statistics(frames), rtol=1e-5, atol=1e-4)


def test_statistics_of_real_views_equal_numpys(real_clips: list[Path]) -> None:
    view = DEFAULT.views["lfcc_high"]
    graph = Graph(build_statistics(DEFAULT.n_frames, view.n_features).SerializeToString())
    for clip in real_clips[:3]:
        frames = extract(tile(decode(clip), DEFAULT.window_samples))["lfcc_high"]
        seen = graph({"frames": frames[None]})["statistics"][0]
        np.testing.assert_allclose(seen, numpy_statistics(frames), rtol=1e-4, atol=2e-3)


def test_statistics_hold_standard_operators_only() -> None:
    check_standard(build_statistics(201, 60))
