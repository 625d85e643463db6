"""The front-end graph against librosa itself, on every kind of sound and several specs."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import librosa.filters
import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bonafide.audio import MAX_SAMPLE, Waveform, decode, tile
from bonafide.features.frontend import _taps, build_frontend, filters, fourier_tables
from bonafide.features.graph import OPSET, GraphBuilder
from bonafide.features.kinds import cosine_table
from bonafide.features.kinds.linear import linear_filters
from bonafide.features.spec import (
    N_FFT,
    SAMPLE_RATE_HZ,
    FeatureSpec,
    ViewSpec,
)
from bonafide.features.statistics import Frames, add_statistics
from bonafide.runtime import Graph
from bonafide.simulation.voices import Voice, speak

# Difference from librosa in float64, in decibels (80 either way) and cepstra (c0 to 640): root mean
# square of a view, and of any single value. Rounding a sum of 40 float32 bands is some 1e-5, and
# 2e-4 is the largest seen on sounds with a floor of noise. Where energy stands in one line of the
# spectrum (tones, an offset), or a recording has bands that are all but empty, bands 100 dB below
# the rest hold the rounding of the rest itself: 3e-3 seen, and 5e-2 in a single value.
TOLERANCE = 5e-4
LINE_TOLERANCE = 10 * TOLERANCE
SINGLE_TOLERANCE = 0.1
STATISTICS_TOLERANCE = 1e-3  # from float64 on the same float32 frames
# Where nothing changes, deviations are the rounding of a mean of -506 beside a floor of 1e-2.
SILENT_TOLERANCE = 0.05

CEPSTRA = ("mfcc", "lfcc")
DEFAULT = FeatureSpec()
LOGMEL = ViewSpec("logmel", 64, 0)
ALL = FeatureSpec(
    views={
        **DEFAULT.views,
        **DEFAULT.narrow,
        "logmel": LOGMEL,
        "logband": ViewSpec("logband", 16, 0, n_fft=64, hop_samples=32),
    }
)


def spec_of(views: dict[str, ViewSpec], **values: Any) -> FeatureSpec:
    return FeatureSpec(**{"views": views, "statistics": views, "narrow": {}, **values})


def at(n_fft: int, hop: int, views: dict[str, ViewSpec]) -> dict[str, ViewSpec]:
    return {
        name: replace(view, n_fft=n_fft, hop_samples=hop, deltas=view.kind in CEPSTRA)
        for name, view in views.items()
    }


COARSE = {
    "lfcc": ViewSpec("lfcc", 10, 8),
    "logband": ViewSpec("logband", 12, 0, by_class=True),
}
BANDS = {
    **COARSE,
    "mfcc": ViewSpec("mfcc", low_hz=300.0, high_hz=3_400.0, n_filters=20, n_coefficients=12),
    "lfcc": ViewSpec("lfcc"),
    "lfcc_high": ViewSpec("lfcc", low_hz=3_000.0, n_filters=24),
    "lfcc_low": ViewSpec("lfcc", high_hz=4_000.0, n_filters=16, n_coefficients=16),
    "logmel": ViewSpec("logmel", n_filters=32, n_coefficients=0),
}
SHORT = spec_of(
    {
        "mfcc": ViewSpec("mfcc", n_filters=26, n_coefficients=13, deltas=True),
        "lfcc": ViewSpec("lfcc", n_filters=20, n_coefficients=20, n_fft=128, hop_samples=48),
        "logmel": ViewSpec("logmel", n_filters=40, n_coefficients=0, deltas=True),
        "lfcc_high": ViewSpec(
            "lfcc", 20, 12, low_hz=3_000.0, n_fft=128, hop_samples=48, by_class=True
        ),
        "logband": ViewSpec("logband", 6, 0, n_fft=128, hop_samples=48, by_class=True),
        "mfcc_long": ViewSpec("mfcc", n_fft=1024, hop_samples=512, by_class=True),
    },
    window_s=1.0,
    correlated=5,
)
OTHERS = {
    "1024/160": spec_of(at(1024, 160, DEFAULT.views), window_s=2.0),
    "2048/512": spec_of(at(2048, 512, BANDS), window_s=2.0),
    "256/80": spec_of(at(256, 80, BANDS), window_s=2.0),
    "256/256": spec_of(at(256, 256, BANDS), window_s=0.78),  # ends amid a frame that is left out
    "512/300": spec_of(at(512, 300, BANDS), window_s=0.77, delta_frames=5),
    "128/50": spec_of(at(128, 50, COARSE), window_s=1.0),
    "64/32": spec_of(at(64, 32, COARSE), window_s=1.0),
    "floors": replace(ALL, window_s=2.0, power_floor=1e-5, rms_floor=1e-2),
    "views": SHORT,
}


@functools.cache
def frontend(name: str = "") -> Graph:
    spec = OTHERS[name] if name else ALL
    return Graph(build_frontend(spec).SerializeToString())


def extract(waveform: NDArray[Any], name: str = "") -> dict[str, NDArray[np.float32]]:
    """The views of one window, each (n_frames, n_features), and its statistics."""
    values = frontend(name)({"waveform": np.asarray(waveform, dtype=np.float32)[None]})
    return {key: value[0] for key, value in values.items()}


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
    y = y - y.mean()
    y = y / max(float(np.sqrt(np.mean(y**2))), spec.rms_floor)
    sizes = {"n_fft": view.n_fft, "hop_length": view.hop_samples, "pad_mode": "constant"}
    power = np.abs(librosa.stft(y, **sizes)) ** 2
    if view.kind in ("mfcc", "logmel"):
        bands = librosa.feature.melspectrogram(
            y=y,
            sr=SAMPLE_RATE_HZ,
            n_mels=view.n_filters,
            fmin=view.low_hz,
            fmax=view.high_hz,
            power=2.0,
            **sizes,
        )
    else:
        bands = librosa_linear(view.n_fft, view.n_filters, view.low_hz, view.high_hz) @ power
    static = decibels(bands, spec)
    if view.kind in CEPSTRA:
        static = librosa.feature.mfcc(S=static, n_mfcc=view.n_coefficients)
    parts = [static]
    if view.deltas:
        parts += [
            librosa.feature.delta(static, width=spec.delta_frames, order=order) for order in (1, 2)
        ]
    return np.concatenate(parts).T


def decibels(power: NDArray[Any], spec: FeatureSpec) -> NDArray[Any]:
    return np.asarray(librosa.power_to_db(power, ref=1.0, amin=spec.power_floor, top_db=None))


def moves(frames: NDArray[Any]) -> list[NDArray[Any]]:
    """Values without their mean, first and second differences, where a frame has neighbours."""
    x = frames.astype(np.float64)
    x = x - x.mean(axis=0)
    return [x[1:-1], x[1:-1] - x[:-2], x[2:] - 2 * x[1:-1] + x[:-2]]


def time_statistics(frames: NDArray[Any], spec: FeatureSpec) -> NDArray[Any]:
    """Statistics of (n_frames, n_features) that are not by class."""
    (deviation, step, turn), (_, change, change_of_step) = (
        [norm(x) + 1e-2 for x in moves(frames)]
        for norm in (lambda x: np.sqrt(np.mean(x**2, axis=0)), lambda x: np.abs(x).mean(axis=0))
    )
    by_feature = [
        frames.astype(np.float64).mean(axis=0),
        np.log(deviation),
        np.log(change),
        np.log(step / deviation),
        np.log(change_of_step / step),
        np.log(step / change),
        np.log(turn / change_of_step),
    ]
    unit = moves(frames)[0] / deviation
    first = unit.T[: spec.correlated]
    pairs = [np.mean(one * other) for row, one in enumerate(first) for other in first[row + 1 :]]
    return np.concatenate([np.stack(by_feature, axis=1).ravel(), pairs])


def loud_and_dull(frames: NDArray[Any]) -> NDArray[Any]:
    """How loud and how dull each frame is that has neighbours, 0 to 1, (n_frames - 2, 2)."""
    two = moves(frames)[0][:, :2]
    return np.asarray(1 / (1 + np.exp(-1.6 * two / (np.sqrt(np.mean(two**2, axis=0)) + 1e-2))))


def statistics_by_class(frames: NDArray[Any], told: NDArray[Any]) -> NDArray[Any]:
    """Deviation and change by class, where 1 % of all frames belong to each class besides."""
    loud, dull = told.T
    rows = []
    for x in moves(frames)[:2]:
        everywhere = np.abs(x).mean(axis=0)
        for own in (loud * dull, loud * (1 - dull), (1 - loud) * dull, (1 - loud) * (1 - dull)):
            mean = np.average(np.abs(x), axis=0, weights=own + 0.01)
            rows.append(np.log((mean + 1e-2) / (everywhere + 1e-2)))
    return np.stack(rows, axis=1).ravel()


def all_statistics(views: list[tuple[ViewSpec, NDArray[Any]]], spec: FeatureSpec) -> NDArray[Any]:
    """Statistics of views, each with its (n_frames, n_features)."""
    told: dict[int, NDArray[Any]] = {}
    parts = []
    for view, frames in views:
        parts.append(time_statistics(frames, spec))
        if view.by_class:
            classes = told.setdefault(len(frames), loud_and_dull(frames))
            parts.append(statistics_by_class(frames, classes))
    return np.concatenate(parts)


def close(
    seen: NDArray[Any], wanted: NDArray[Any], tolerance: float = TOLERANCE, name: str = ""
) -> None:
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=SINGLE_TOLERANCE, err_msg=name)
    assert np.sqrt(np.mean((seen - wanted) ** 2)) < tolerance, name


def check(
    spec: FeatureSpec,
    waveform: NDArray[Any],
    name: str = "",
    tolerance: float = TOLERANCE,
    statistics_tolerance: float = STATISTICS_TOLERANCE,
) -> None:
    values = extract(waveform, name)
    assert list(values) == [*spec.views, *spec.vectors]
    assert {value.dtype for value in values.values()} == {np.dtype(np.float32)}
    frames = {view: values[view_name] for view_name, view in spec.views.items()}
    for view_name, view in spec.views.items():
        assert frames[view].shape == (spec.n_frames(view), view.n_features)
        close(frames[view], reference(spec, view, waveform), tolerance, view_name)
    counted = [*spec.statistics.values(), *spec.narrow.values()]  # they share classes of frames
    wanted = all_statistics([(view, frames[view]) for view in counted], spec)
    seen = np.concatenate([values[vector] for vector in spec.vectors])
    assert wanted.shape == seen.shape == (sum(spec.vectors.values()),)
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=statistics_tolerance)


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
    check(ALL, waveform)


@pytest.mark.parametrize("waveform", LINES.values(), ids=LINES)
def test_default_views_equal_librosa_on_lines(waveform: Waveform) -> None:
    check(ALL, waveform, tolerance=LINE_TOLERANCE)


def test_default_views_equal_librosa_on_real_clips(real_clips: list[Path]) -> None:
    for clip in real_clips:
        check(ALL, tile(decode(clip), ALL.window_samples), tolerance=LINE_TOLERANCE)


def test_silence_is_the_floor_everywhere() -> None:
    """Exactly one value in all bands and frames, so no coefficient but c0 and no change."""
    values = extract(np.zeros(ALL.window_samples))
    floor_db = 10 * np.log10(ALL.power_floor)
    for name, view in ALL.views.items():
        wanted = np.zeros_like(values[name])
        if view.kind in CEPSTRA:
            wanted[:, 0] = floor_db * np.sqrt(view.n_filters)
        elif view.kind in ("logmel", "logband"):
            wanted[:] = floor_db
        np.testing.assert_allclose(values[name], wanted, rtol=0, atol=2e-4, err_msg=name)
        static = values[name][:, : view.n_static]
        assert (static == static[0]).all(), name
    check(ALL, np.zeros(ALL.window_samples), statistics_tolerance=SILENT_TOLERANCE)


def test_the_default_graph_gives_the_same() -> None:
    """`ALL` has more sequences than a service runs."""
    graph = Graph(build_frontend(DEFAULT).SerializeToString())
    seen, wanted = graph({"waveform": speech()[None]}), extract(speech())
    assert list(seen) == [*DEFAULT.views, *DEFAULT.vectors]
    for name, value in seen.items():
        close(value[0], wanted[name], name=name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_specs_equal_librosa(name: str) -> None:
    spec = OTHERS[name]
    n = spec.window_samples
    for waveform in (noise(n), clicks(n), speech(n), 1e-3 * speech(n)):
        check(spec, waveform, name)
    check(spec, 0.2 * tone(1_234, n), name, LINE_TOLERANCE)


@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")
@pytest.mark.parametrize("n_fft", N_FFT)
@pytest.mark.parametrize(
    ("n_filters", "low_hz", "high_hz"),
    [(40, 0.0, 8_000.0), (20, 3_000.0, 8_000.0), (24, 300.0, 3_400.0), (16, 4_000.0, 8_000.0)],
)
def test_linear_filters_are_librosas_at_equal_steps(
    n_fft: int, n_filters: int, low_hz: float, high_hz: float
) -> None:
    view = ViewSpec("lfcc", n_filters, 4, low_hz, high_hz, n_fft=n_fft, hop_samples=16)
    wanted = librosa_linear(n_fft, n_filters, low_hz, high_hz)
    for kind, kept in (("lfcc", 4), ("logband", 0)):
        seen = filters(replace(view, kind=kind, n_coefficients=kept))
        assert seen.dtype == np.float32 and wanted.max() > 0
        np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(linear_filters(view.bands), seen)


@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")
@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(("mfcc", "lfcc")),
    n_fft=st.sampled_from(N_FFT),
    n_filters=st.integers(4, 40),
    low_hz=st.sampled_from((0.0, 50.0, 3_000.0)),
    high_hz=st.sampled_from((8_000.0, 7_600.0, 6_000.0)),
)
def test_the_bins_that_the_graph_leaves_out_have_no_weight(
    kind: Any, n_fft: int, n_filters: int, low_hz: float, high_hz: float
) -> None:
    view = ViewSpec(kind, n_filters, 4, low_hz, high_hz, n_fft=n_fft, hop_samples=64)
    table = filters(view)
    assert table.shape == (n_filters, 1 + n_fft // 2)
    assert not table[:, [0, -1]].any()
    assert (table >= 0).all()
    hz, beside = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE_HZ), 1e-6
    assert not table[:, (hz < low_hz - beside) | (hz > high_hz + beside)].any()


def test_a_band_between_two_bins_holds_nothing() -> None:
    spec = spec_of({"lfcc": ViewSpec("lfcc", 4, 4, low_hz=5.0, high_hz=20.0)})
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
    assert np.abs(both["lfcc"][quiet, 1:] - alone["lfcc"][quiet, 1:]).max() > 10


@pytest.mark.parametrize("offset", [0.5, -0.3, 0.01, 3 / 2**15])
def test_an_offset_does_not_matter(offset: float) -> None:
    sound = speech() + noise(rms=1e-3)  # or else its empty bands hold the rounding of the offset
    one, other = extract(sound), extract(sound + np.float32(offset))
    for name in one:
        close(other[name], one[name], LINE_TOLERANCE, name=name)


@pytest.mark.parametrize("gain", [0.01, 0.1, 8.0, 1_000.0])
def test_level_does_not_matter(gain: float) -> None:
    one, other = extract(speech()), extract(gain * speech())
    for name in one:
        close(other[name], one[name], name=name)


def test_below_the_level_floor_it_does() -> None:
    quiet = 1e-6 * speech()
    one, other = extract(quiet), extract(0.1 * quiet)
    assert one["logmel"].mean() > other["logmel"].mean()


def test_sign_does_not_matter() -> None:
    one, other = extract(speech()), extract(-speech())
    for name in one:
        close(other[name], one[name], name=name)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_a_batch_equals_its_single_windows(size: int) -> None:
    rows = [noise(rms=10.0 ** -(i % 4), seed=i) for i in range(size - 1)] + [speech()]
    batch = frontend()({"waveform": np.stack(rows)})
    for i, row in enumerate(rows):
        single = extract(row)
        for name, value in batch.items():
            assert value.shape == (size, *single[name].shape)
            close(value[i], single[name], name=name)


@pytest.mark.parametrize("name", ["logmel", "logband"])
def test_a_frame_depends_on_its_own_samples_alone(name: str) -> None:
    view = ALL.views[name]
    sound = speech().copy()
    changed = sound.copy()
    changed[32_000:32_100] = sound[32_000:32_100][::-1]  # the same energy, elsewhere
    one, other = extract(sound)[name], extract(changed)[name]
    heard = np.flatnonzero(np.abs(one - other).max(axis=1) > SINGLE_TOLERANCE)
    assert len(heard)
    assert (heard * view.hop_samples > 32_000 - view.n_fft // 2).all()
    assert (heard * view.hop_samples < 32_100 + view.n_fft // 2).all()


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


@pytest.mark.parametrize("spec", [DEFAULT, ALL, *OTHERS.values()], ids=["default", "all", *OTHERS])
def test_the_graph_holds_standard_operators_only(spec: FeatureSpec) -> None:
    model = build_frontend(spec)
    check_standard(model)
    assert [value.name for value in model.graph.input] == ["waveform"]
    assert [value.name for value in model.graph.output] == [*spec.views, *spec.vectors]
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


def count(model: onnx.ModelProto, table: NDArray[Any]) -> int:
    """How many constants of a graph are this table."""
    arrays = map(onnx.numpy_helper.to_array, model.graph.initializer)
    return sum(array.shape == table.shape and np.allclose(array, table) for array in arrays)


def test_a_resolution_and_a_view_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ViewSpec] = []
    monkeypatch.setattr(
        "bonafide.features.frontend.filters", lambda v: made.append(v) or filters(v)
    )
    view = ViewSpec("lfcc", 20, 7, n_fft=128, hop_samples=48)
    band = ViewSpec("logband", 12, 0, n_fft=128, hop_samples=48)
    spectrum, cepstra = _taps(view), 10 / np.log(10) * cosine_table(20, 7)
    both = spec_of({"a": view}, statistics={"b": band, "c": replace(view)})
    model = build_frontend(both)
    assert made == [view, band]
    assert (count(model, spectrum), count(model, cepstra)) == (1, 1)
    later = replace(view, hop_samples=64)
    model = build_frontend(replace(both, statistics={"c": later}))
    assert [count(model, table) for table in (spectrum, _taps(later), cepstra)] == [1, 1, 2]
    model = build_frontend(replace(DEFAULT, narrow={}))
    for view in DEFAULT.statistics.values():
        assert count(model, _taps(view)) == 1
    for name in ("lfcc_high", "lfcc_top"):  # in the sequences and in the statistics
        assert DEFAULT.views[name] == DEFAULT.statistics[name]
        cosines = cosine_table(DEFAULT.views[name].n_filters, DEFAULT.views[name].n_coefficients)
        assert count(model, 10 / np.log(10) * cosines) == 1


# --- what stands behind the views, alone ----------------------------------------------------------


def alone(add: Callable[[GraphBuilder, str], str], x: NDArray[Any], rank: int) -> NDArray[Any]:
    """Run what `add` adds to a graph, with x [batch, rows, n_frames] as its only input."""
    graph = GraphBuilder("alone")
    value = add(graph, graph.input("x", ["batch", *x.shape[1:]]))
    graph.output("y", value, [f"d{i}" for i in range(rank)])
    model = graph.model()
    check_standard(model)
    return Graph(model.SerializeToString())({"x": x.astype(np.float32)})["y"]


@pytest.mark.parametrize(
    ("n_fft", "rest"), [(64, 1), (64, 4), (128, 2), (256, 8), (512, 16), (2048, 32)]
)
def test_both_sums_are_the_dft(n_fft: int, rest: int) -> None:
    frame = np.random.default_rng(n_fft).standard_normal(n_fft)
    first, second, bins = fourier_tables(n_fft, rest)
    sums = np.einsum("npkm,mn->npk", first, frame.reshape(-1, rest)).reshape(2 * rest, -1)
    power = np.square(second @ sums).reshape(rest, 2, -1).sum(axis=1).ravel()
    assert sorted(bins[bins > 0]) == list(range(1, n_fft // 2))  # each once, without both ends
    wanted = np.square(np.abs(np.fft.rfft(frame)))[bins]
    np.testing.assert_allclose(power[bins > 0], wanted[bins > 0], rtol=0, atol=1e-4 * n_fft)


def view_of(n_features: int, *, by_class: bool = False) -> ViewSpec:
    return ViewSpec("lfcc", max(n_features, 4), n_features, by_class=by_class)


@settings(max_examples=60, deadline=None)
@given(
    n_frames=st.integers(3, 80),
    n_features=st.integers(1, 20),
    correlated=st.integers(2, 25),
    by_class=st.booleans(),
    seed=st.integers(0, 999),
)
@example(n_frames=3, n_features=2, correlated=2, by_class=True, seed=0)
@example(n_frames=3, n_features=1, correlated=2, by_class=False, seed=0)
def test_statistics_equal_numpys(
    n_frames: int, n_features: int, correlated: int, by_class: bool, seed: int
) -> None:
    spec = FeatureSpec(correlated=correlated)
    view = view_of(n_features, by_class=by_class and n_features > 1)
    batch = np.random.default_rng(seed).standard_normal((4, n_features, n_frames)) * 50 - 20
    batch[1] = batch[1].cumsum(axis=1) / 10  # slow
    batch[2, : n_features // 2] = batch[2, -1] + 1e-3 * batch[2, : n_features // 2]  # alike
    batch[3] = -60.0  # constant
    batch = batch.astype(np.float32)

    def add(graph: GraphBuilder, x: str) -> str:
        return add_statistics(graph, [Frames(x, view, n_frames)], spec)

    seen = alone(add, batch, 2)
    assert seen.shape == (4, len(spec.kinds_of(view)))
    wanted = [all_statistics([(view, frames.T)], spec) for frames in batch]
    np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=STATISTICS_TOLERANCE)


def test_statistics_of_several_views_stand_view_after_view() -> None:
    """Though views with as many frames are worked on together, and one that stands twice once."""
    spec = FeatureSpec(correlated=4)
    # Features, frames, whether by class: the third view is told by the second, the fifth by itself.
    sizes = ((5, 40, False), (7, 61, True), (4, 61, True), (6, 61, False), (2, 40, True))
    order = (0, 1, 2, 0, 3, 4)
    batch = np.random.default_rng(0).standard_normal((2, 7, 61)).astype(np.float32).cumsum(axis=2)
    views = [view_of(n_features, by_class=by_class) for n_features, _, by_class in sizes]

    def add(graph: GraphBuilder, x: str) -> str:
        cut = [
            graph.add("Slice", x, *map(graph.integers, ([0, 0], size[:2], [1, 2])))
            for size in sizes
        ]
        heard = [
            Frames(value, view, size[1])
            for value, view, size in zip(cut, views, sizes, strict=True)
        ]
        return add_statistics(graph, [heard[number] for number in order], spec)

    for seen, x in zip(alone(add, batch, 2), batch, strict=True):
        cut = [x[:n_features, :n_frames].T for n_features, n_frames, _ in sizes]
        wanted = all_statistics([(views[number], cut[number]) for number in order], spec)
        np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=STATISTICS_TOLERANCE)


def test_statistics_tell_jumps_from_drifts() -> None:
    """Spikes make the rms of differences large beside their mean, slow drifts make both small."""
    spec, view, n = FeatureSpec(), view_of(4), 400
    rng = np.random.default_rng(0)
    even, slow = rng.standard_normal((2, n))
    jumps = np.repeat(rng.standard_normal(n // 20), 20)
    slow = np.convolve(slow, np.hanning(21), "same")
    frames = np.stack([even, slow, jumps, even])[None]
    seen = alone(lambda graph, x: add_statistics(graph, [Frames(x, view, n)], spec), frames, 2)
    table = dict(
        zip(("even", "slow", "jumps"), seen[0].reshape(-1)[: 7 * 4].reshape(4, 7), strict=False)
    )
    smoothness, spikiness = 3, 5
    assert table["slow"][smoothness] < table["even"][smoothness] - 1
    assert table["jumps"][spikiness] > table["even"][spikiness] + 1
    normal = np.log(np.sqrt(np.pi / 2))  # rms over mean absolute value of a normal variable
    assert table["even"][spikiness] == pytest.approx(normal, abs=0.05)
