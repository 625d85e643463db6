"""The front end: tables from librosa, and the ONNX graph that trains and serves with them.

Needs librosa and onnx (extra ``train``), imported when a graph is built. Scoring needs neither:
it runs the graph out of the bundle.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bonafide.spec import CEPSTRA, SAMPLE_RATE_HZ, STATISTICS, FeatureSpec, ViewSpec
from bonafide.statistics import Frames, add_statistics

if TYPE_CHECKING:
    import onnx

    from bonafide.onnxgraph import GraphBuilder

Table = NDArray[np.float32]


def linear_filters(view: ViewSpec) -> Table:
    """Give triangular filters at equal steps of frequency, shape (n_filters, 1 + n_fft // 2).

    The construction is that of `librosa.filters.mel` (each filter of unit area in Hz) with
    ``linspace`` in place of the mel scale.
    """
    hz = np.fft.rfftfreq(view.n_fft, 1 / SAMPLE_RATE_HZ)
    corners = np.linspace(view.low_hz, view.high_hz, view.n_filters + 2)
    rise = (hz[None] - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - hz[None]) / np.diff(corners)[1:, None]
    triangles = np.maximum(0, np.minimum(rise, fall))
    return (triangles * 2 / (corners[2:] - corners[:-2])[:, None]).astype(np.float32)


def band_filters(view: ViewSpec) -> Table:
    """Give bands side by side as means over their bins, shape (n_filters, 1 + n_fft // 2).

    Divided by the step between bins in Hz, so that a band's value is a density, as a filter's of
    unit area is.
    """
    step = SAMPLE_RATE_HZ / view.n_fft
    edges = np.round(np.linspace(view.low_hz, view.high_hz, view.n_filters + 1) / step)
    first = np.minimum(np.maximum(edges[:-1], 1), view.n_fft // 2 - 1)  # neither bin 0 nor the last
    last = np.maximum(np.minimum(edges[1:], view.n_fft // 2), first + 1)
    bins = np.arange(1 + view.n_fft // 2)
    inside = (bins >= first[:, None]) & (bins < last[:, None])
    return (inside / (inside.sum(axis=1, keepdims=True) * step)).astype(np.float32)


def filters(view: ViewSpec) -> Table:
    """Give the view's filters, shape (n_filters, 1 + n_fft // 2)."""
    if view.kind == "flatness":
        return band_filters(view)
    if view.kind not in ("mfcc", "logmel"):
        return linear_filters(view)
    from librosa.filters import mel

    table = mel(
        sr=SAMPLE_RATE_HZ,
        n_fft=view.n_fft,
        n_mels=view.n_filters,
        fmin=view.low_hz,
        fmax=view.high_hz,
    )
    return np.asarray(table, dtype=np.float32)


def cosine_table(view: ViewSpec) -> Table:
    """Give the orthonormal DCT-II, shape (n_coefficients, n_filters)."""
    import scipy.fft

    table = scipy.fft.dct(np.eye(view.n_filters), axis=0, norm="ortho")
    return np.asarray(table[: view.n_coefficients], dtype=np.float32)


def delta_taps(spec: FeatureSpec, order: int) -> Table:
    """Give `librosa.feature.delta` away from the edges as weights of frames, (delta_frames,).

    Librosa fits a polynomial of degree `order` and takes its `order`-th derivative: a constant of
    the fit. So the first and last frames, where one fit serves several, repeat their neighbour.
    """
    from librosa.feature import delta

    width = spec.delta_frames
    responses = delta(np.eye(width), width=width, order=order, axis=0)
    return np.asarray(responses[width // 2], dtype=np.float32)


RADIX = 32
FILTERS_TOGETHER = 32


def fourier_tables(n_fft: int) -> tuple[Table, Table, NDArray[np.intp]]:
    """Give a DFT of real frames as two small matrix products.

    With ``n = rest * n1 + n2`` and ``k = k1 + 32 * k2`` (Cooley and Tukey, 1965) the sum over n1
    is a 32-point DFT, and the sum over n2 one matrix per k1 that has taken in the twiddle factors.
    Frames are real, so k1 = 0..16 suffice; k1 = 0 and 16 give real sums and share one slot.

    Parameters
    ----------
    n_fft : int
        Frame length N, a multiple of 64.

    Returns
    -------
    first : ndarray of float32, shape (32, 32)
        Two rows a slot: real and imaginary part of k1 = 1..15, before them those of 0 and 16.
    second : ndarray of float32, shape (16, 2 * N / 32, 2 * N / 32)
        Per slot, to (real | imaginary) bins from (real | imaginary) sums.
    bins : ndarray of int, shape (N / 2,)
        Which bin stands in which row, slot after slot; 0 marks the one row without a bin.
        Bins 0 and N / 2 are left out: no triangular filter inside the band gives them weight.
    """
    rest, half = n_fft // RADIX, RADIX // 2
    n1, n2 = np.arange(RADIX), np.arange(rest)
    angle = 2 * np.pi * np.outer(n1, n1) / RADIX
    first = np.empty((half, 2, RADIX))
    first[0] = np.cos(angle[[0, half]])
    first[1:, 0], first[1:, 1] = np.cos(angle[1:half]), -np.sin(angle[1:half])
    second = np.zeros((half, 2 * rest, 2 * rest))
    even = RADIX * np.arange(1, rest // 2)  # k1 = 0, k2 = 1..
    odd = half + RADIX * np.arange(rest // 2)  # k1 = 16
    bins = np.zeros((half, rest), dtype=np.intp)
    bins[0, 1:] = np.concatenate([even, odd])
    for columns, row, k in ((slice(0, rest), 1, even), (slice(rest, None), rest // 2, odd)):
        theta = 2 * np.pi * np.outer(k, n2) / n_fft
        second[0, row : row + len(k), columns] = np.cos(theta)
        second[0, rest + row : rest + row + len(k), columns] = -np.sin(theta)
    for k1 in range(1, half):
        k = k1 + RADIX * np.arange(rest)
        theta = 2 * np.pi * np.outer(k, n2) / n_fft
        cosine, sine = np.cos(theta), np.sin(theta)
        second[k1] = np.block([[cosine, sine], [-sine, cosine]])
        bins[k1] = np.minimum(k, n_fft - k)  # the upper half mirrors the lower one
    return first.reshape(RADIX, RADIX).astype(np.float32), second.astype(np.float32), bins.ravel()


def build_frontend(spec: FeatureSpec) -> "onnx.ModelProto":
    """Build the graph from a window to every view and the statistics.

    Parameters
    ----------
    spec : FeatureSpec

    Returns
    -------
    onnx.ModelProto
        Input ``waveform``, float32 [batch, window_samples], any level. One output per view under
        its name, float32 [batch, n_frames, n_features], and ``statistics``, float32
        [batch, n_statistics]. Standard operators of opset 17 only.
    """
    from bonafide.onnxgraph import GraphBuilder

    graph = GraphBuilder("frontend")
    waveform = graph.input("waveform", ["batch", spec.window_samples])
    sequences, statistics = add_features(graph, spec, waveform, list(spec.views))
    for name, frames in sequences.items():
        view = spec.views[name]
        by_frame = graph.add("Transpose", frames, perm=[0, 2, 1])
        graph.output(name, by_frame, ["batch", spec.n_frames(view), view.n_features])
    graph.output(STATISTICS, statistics, ["batch", spec.n_statistics])
    return graph.model()


def add_features(
    graph: "GraphBuilder", spec: FeatureSpec, waveform: str, sequences: Iterable[str]
) -> tuple[dict[str, str], str]:
    """Add the named views and the statistics.

    Time comes last all the way: both products of the DFT, the filters and what convolves over time
    then need no transposition. Views that share a resolution share the spectrum, and a view that
    stands among the sequences and among the statistics is computed once.

    Returns
    -------
    dict of str to str
        View -> value, [batch, n_features, n_frames].
    str
        The statistics, [batch, n_statistics].
    """
    named = {name: spec.views[name] for name in sequences}
    wanted = list(dict.fromkeys((*named.values(), *spec.statistics.values())))
    waveform = _at_unit_level(graph, spec, waveform)
    values: dict[ViewSpec, str] = {}
    for n_fft, hop in dict.fromkeys((view.n_fft, view.hop_samples) for view in wanted):
        together = [view for view in wanted if (view.n_fft, view.hop_samples) == (n_fft, hop)]
        power = _power_spectrum(graph, spec, waveform, together[0])
        bands = _bands(graph, spec, power, together)
        for view, band in zip(together, bands, strict=True):
            values[view] = _view(graph, spec, view, band, power)
    heard = [
        Frames(values[view], view.n_features, spec.n_frames(view))
        for view in spec.statistics.values()
    ]
    return {name: values[view] for name, view in named.items()}, add_statistics(graph, heard, spec)


def _frames(graph: "GraphBuilder", spec: FeatureSpec, waveform: str, view: ViewSpec) -> str:
    """Add windowed frames: [batch, samples] -> [batch, n_fft, n_frames]."""
    from librosa.filters import get_window

    n_fft, hop, half = view.n_fft, view.hop_samples, view.n_fft // 2
    n_frames = _n_spectra(spec, view)
    n_slabs = -(-n_fft // hop)  # slabs of one hop that a frame reaches over
    after = (n_frames + n_slabs - 1) * hop - spec.window_samples - half
    padded = graph.add("Pad", waveform, graph.integers([0, half, 0, after]))  # centred, zeros
    slabs = graph.add("Reshape", padded, graph.integers([-1, n_frames + n_slabs - 1, hop]))
    columns = graph.add("Transpose", slabs, perm=[0, 2, 1])
    pieces = [
        graph.add(
            "Slice",
            columns,
            graph.integers([0, slab]),
            graph.integers([min(hop, n_fft - slab * hop), slab + n_frames]),
            graph.integers([1, 2]),
        )
        for slab in range(n_slabs)
    ]
    window = get_window("hann", n_fft, fftbins=True)[:, None]
    return graph.add("Mul", graph.add("Concat", *pieces, axis=1), graph.constant(window))


def _n_spectra(spec: FeatureSpec, view: ViewSpec) -> int:
    return 1 + spec.window_samples // view.hop_samples


def _power_spectrum(graph: "GraphBuilder", spec: FeatureSpec, waveform: str, view: ViewSpec) -> str:
    """Add the power spectrum in `fourier_tables`' order: [batch, n_fft / 2, n_frames]."""
    first, second, _ = fourier_tables(view.n_fft)
    rest, slots, n_frames = view.n_fft // RADIX, RADIX // 2, _n_spectra(spec, view)
    frames = _frames(graph, spec, waveform, view)
    grid = graph.add("Reshape", frames, graph.integers([-1, RADIX, rest * n_frames]))  # [b, n1, ..]
    sums = graph.add("MatMul", graph.constant(first), grid)
    pairs = graph.add("Reshape", sums, graph.integers([-1, slots, 2 * rest, n_frames]))
    spectrum = graph.add("MatMul", graph.constant(second), pairs)  # real parts over imaginary ones
    squares = graph.add("Mul", spectrum, spectrum)
    parts = graph.add("Reshape", squares, graph.integers([-1, slots, 2, rest * n_frames]))
    power = graph.add("ReduceSum", parts, graph.integers([2]), keepdims=0)
    return graph.add("Reshape", power, graph.integers([-1, view.n_fft // 2, n_frames]))


def _at_unit_level(graph: "GraphBuilder", spec: FeatureSpec, waveform: str) -> str:
    """Bring windows to unit RMS: [batch, samples] -> the same."""
    square = graph.add("Mul", waveform, waveform)
    mean_square = graph.add("ReduceMean", square, axes=[1], keepdims=1)
    level = graph.add("Max", mean_square, graph.constant(spec.rms_floor**2))
    return graph.add("Div", waveform, graph.add("Sqrt", level))


def _bands(
    graph: "GraphBuilder", spec: FeatureSpec, power: str, views: Sequence[ViewSpec]
) -> list[str]:
    """Add the bands of views of one resolution: each [batch, n_filters, n_frames]."""
    filtered, order = _filtered(graph, power, views)
    bands = graph.add("Clip", filtered, graph.constant(spec.power_floor))
    places = np.split(np.argsort(order), np.cumsum([view.n_filters for view in views])[:-1])
    return [graph.add("Gather", bands, graph.integers(place), axis=1) for place in places]


def _filtered(
    graph: "GraphBuilder", power: str, views: Sequence[ViewSpec]
) -> tuple[str, NDArray[np.intp]]:
    """Add the views' filters: [batch, n_fft / 2, n_frames] -> [batch, all filters, n_frames].

    A filter is narrow: those that peak near each other share a product with the few bins that any
    of them weighs. The second value tells which filter stands in which row.
    """
    tables = np.concatenate([filters(view) for view in views])
    order = np.argsort(tables.argmax(axis=1), kind="stable")
    table = _in_fourier_order(tables, views[0].n_fft)
    parts = []
    for rows in np.array_split(order, max(1, len(order) // FILTERS_TOGETHER)):
        weighed = np.flatnonzero(table[rows].any(axis=0))
        weighed = weighed if weighed.size else np.zeros(1, np.intp)  # a band between two bins
        few = graph.add("Gather", power, graph.integers(weighed), axis=1)
        parts.append(graph.add("MatMul", graph.constant(table[rows][:, weighed]), few))
    return graph.add("Concat", *parts, axis=1), order


def _in_fourier_order(table: Table, n_fft: int) -> Table:
    """Give weights of bins 0 .. n_fft / 2 for the bins as `fourier_tables` orders them."""
    _, _, bins = fourier_tables(n_fft)
    return np.asarray(table[:, bins] * (bins > 0), dtype=np.float32)


DECIBELS = 10 / np.log(10)  # of a neper of power


def _view(graph: "GraphBuilder", spec: FeatureSpec, view: ViewSpec, bands: str, power: str) -> str:
    """Add one view: [batch, n_filters, n_frames] -> [batch, n_features, n_frames]."""
    logs = graph.add("Log", bands)
    if view.kind in CEPSTRA:
        static = graph.add("MatMul", graph.constant(DECIBELS * cosine_table(view)), logs)
    elif view.kind == "flatness":
        static = _decibels(graph, logs, _mean_log(graph, spec, view, power))
    elif view.kind == "temporal_flatness":
        static = _temporal_flatness(graph, spec, view, bands, logs)
    else:
        static = graph.add("Mul", logs, graph.constant(DECIBELS))
    if not view.deltas:
        return static
    derivatives = [
        graph.add("Conv", static, graph.constant(taps), group=view.n_static)
        for taps in (np.tile(delta_taps(spec, order), (view.n_static, 1, 1)) for order in (1, 2))
    ]
    side = spec.delta_frames // 2
    inner = graph.add("Concat", *derivatives, axis=1)
    whole = graph.add("Pad", inner, graph.integers([0, 0, side, 0, 0, side]), mode="edge")
    return graph.add("Concat", static, whole, axis=1)


def _decibels(graph: "GraphBuilder", log_mean: str, mean_log: str) -> str:
    difference = graph.add("Sub", log_mean, mean_log)
    return graph.add("Mul", difference, graph.constant(DECIBELS))


def _mean_log(graph: "GraphBuilder", spec: FeatureSpec, view: ViewSpec, power: str) -> str:
    """Add the mean log density of each band's bins: [batch, n_filters, n_frames]."""
    step = SAMPLE_RATE_HZ / view.n_fft
    floored = graph.add("Clip", power, graph.constant(step * spec.power_floor))
    means = _in_fourier_order(step * band_filters(view), view.n_fft)
    mean_log = graph.add("MatMul", graph.constant(means), graph.add("Log", floored))
    return graph.add("Sub", mean_log, graph.constant(np.log(step)))


def _temporal_flatness(
    graph: "GraphBuilder", spec: FeatureSpec, view: ViewSpec, bands: str, logs: str
) -> str:
    """Add log mean less mean log of blocks of frames: [batch, n_filters, n_frames / block]."""
    n_blocks, block = spec.n_frames(view), view.block_frames
    shape = graph.integers([-1, view.n_filters, n_blocks, block])
    ends = ([0], [n_blocks * block], [2])  # a last block that is not full is left out
    means = []
    for values in (bands, logs):
        whole = graph.add("Slice", values, *map(graph.integers, ends))
        blocks = graph.add("Reshape", whole, shape)
        means.append(graph.add("ReduceMean", blocks, axes=[3], keepdims=0))
    return _decibels(graph, graph.add("Log", means[0]), means[1])
