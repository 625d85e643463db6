"""The front end: tables from librosa, and the ONNX graph that trains and serves with them.

Needs librosa and onnx (extra ``train``), imported when a graph is built. Scoring needs neither:
it runs the graph out of the bundle.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bonafide.spec import SAMPLE_RATE_HZ, FeatureSpec, ViewSpec

if TYPE_CHECKING:
    import onnx

    from bonafide.onnxgraph import GraphBuilder

Table = NDArray[np.float32]
PERCENTILES = (5, 25, 50, 75, 95)
N_STATISTICS = len(PERCENTILES) + 3


def linear_filters(n_fft: int, view: ViewSpec) -> Table:
    """Give triangular filters at equal steps of frequency, shape (n_filters, 1 + n_fft // 2).

    The construction is that of `librosa.filters.mel` (each filter of unit area in Hz) with
    ``linspace`` in place of the mel scale.
    """
    hz = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE_HZ)
    corners = np.linspace(view.low_hz, view.high_hz, view.n_filters + 2)
    rise = (hz[None] - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - hz[None]) / np.diff(corners)[1:, None]
    triangles = np.maximum(0, np.minimum(rise, fall))
    return (triangles * 2 / (corners[2:] - corners[:-2])[:, None]).astype(np.float32)


def filters(spec: FeatureSpec, view: ViewSpec) -> Table:
    """Give the view's filters, shape (n_filters, 1 + n_fft // 2)."""
    if view.kind == "lfcc":
        return linear_filters(spec.n_fft, view)
    from librosa.filters import mel

    table = mel(
        sr=SAMPLE_RATE_HZ,
        n_fft=spec.n_fft,
        n_mels=view.n_filters,
        fmin=view.low_hz,
        fmax=view.high_hz,
    )
    return np.asarray(table, dtype=np.float32)


def cosine_table(view: ViewSpec) -> Table:
    """Give the orthonormal DCT-II, shape (n_filters, n_coefficients), to multiply by."""
    import scipy.fft

    table = scipy.fft.dct(np.eye(view.n_filters), axis=0, norm="ortho")[: view.n_coefficients]
    return np.ascontiguousarray(table.T, dtype=np.float32)


def delta_table(spec: FeatureSpec, order: int) -> Table:
    """Give `librosa.feature.delta` as a matrix, shape (n_frames, n_frames).

    The filter is linear, edges included, so its response to the identity is its matrix.
    """
    from librosa.feature import delta

    identity = np.eye(spec.n_frames)
    table = delta(identity, width=spec.delta_frames, order=order, axis=0)
    return np.asarray(table, dtype=np.float32)


RADIX = 16


def fourier_tables(n_fft: int) -> tuple[Table, Table, NDArray[np.intp]]:
    """Give a DFT of real frames as two small matrix products.

    With ``n = rest * n1 + n2`` and ``k = k1 + 16 * k2`` (Cooley and Tukey, 1965) the sum over n1
    is a 16-point DFT, and the sum over n2 one matrix per k1 that has taken in the twiddle factors.
    Frames are real, so k1 = 0..8 suffice; k1 = 0 and 8 give real sums and share one slot. Against
    the plain windowed-kernel convolution this takes a sixth of the multiply-adds.

    Parameters
    ----------
    n_fft : int
        Frame length N, a multiple of 32.

    Returns
    -------
    first : ndarray of float32, shape (16, 16)
        Rows: real parts of k1 = 0..7, then the real part of k1 = 8 and the imaginary parts of 1..7.
    second : ndarray of float32, shape (8, 2 * N / 16, 2 * N / 16)
        Per slot, from (real | imaginary) sums to (real | imaginary) bins.
    bins : ndarray of int, shape (N / 2,)
        Which bin stands in which column, slot after slot; 0 marks the one column without a bin.
        Bins 0 and N / 2 are left out: no triangular filter inside the band gives them weight.
    """
    rest = n_fft // RADIX
    n1, n2 = np.arange(RADIX), np.arange(rest)
    angle = 2 * np.pi * np.outer(n1, n1) / RADIX
    first = np.concatenate([np.cos(angle[:8]), np.cos(angle[8:9]), -np.sin(angle[1:8])])
    second = np.zeros((8, 2 * rest, 2 * rest))
    even = RADIX * np.arange(1, rest // 2)  # k1 = 0, k2 = 1..
    odd = 8 + RADIX * np.arange(rest // 2)  # k1 = 8
    bins = np.zeros((8, rest), dtype=np.intp)
    bins[0, 1:] = np.concatenate([even, odd])
    for rows, columns, k in ((slice(0, rest), 1, even), (slice(rest, None), rest // 2, odd)):
        theta = 2 * np.pi * np.outer(n2, k) / n_fft
        second[0, rows, columns : columns + len(k)] = np.cos(theta)
        second[0, rows, rest + columns : rest + columns + len(k)] = -np.sin(theta)
    for k1 in range(1, 8):
        k = k1 + RADIX * np.arange(rest)
        theta = 2 * np.pi * np.outer(n2, k) / n_fft
        cosine, sine = np.cos(theta), np.sin(theta)
        second[k1] = np.block([[cosine, -sine], [sine, cosine]])
        bins[k1] = np.minimum(k, n_fft - k)  # the upper half mirrors the lower one
    return first.astype(np.float32), second.astype(np.float32), bins.ravel()


def build_frontend(spec: FeatureSpec) -> "onnx.ModelProto":
    """Build the graph from a window to every view.

    Parameters
    ----------
    spec : FeatureSpec

    Returns
    -------
    onnx.ModelProto
        Input ``waveform``, float32 [batch, window_samples], any level; one output per view under
        its name, float32 [batch, n_frames, n_features]. Standard operators of opset 17 only.
    """
    from bonafide.onnxgraph import GraphBuilder

    graph = GraphBuilder("frontend")
    waveform = graph.input("waveform", ["batch", spec.window_samples])
    bands = _bands(graph, spec, _power_spectrum(graph, spec, waveform), waveform)
    for (name, view), band in zip(spec.views.items(), bands, strict=True):
        frames = _view(graph, spec, view, band)
        graph.output(name, frames, ["batch", spec.n_frames, view.n_features])
    return graph.model()


def _frames(graph: "GraphBuilder", spec: FeatureSpec, waveform: str) -> str:
    """Add windowed frames: [batch, samples] -> [batch, n_frames, n_fft]."""
    from librosa.filters import get_window

    hop, n_frames, half = spec.hop_samples, spec.n_frames, spec.n_fft // 2
    n_slabs = -(-spec.n_fft // hop)  # slabs of one hop that a frame reaches over
    after = (n_frames + n_slabs - 1) * hop - spec.window_samples - half
    padded = graph.add("Pad", waveform, graph.integers([0, half, 0, after]))  # centred, zeros
    slabs = graph.add("Reshape", padded, graph.integers([0, n_frames + n_slabs - 1, hop]))
    pieces = [
        graph.add(
            "Slice",
            slabs,
            graph.integers([slab, 0]),
            graph.integers([slab + n_frames, min(hop, spec.n_fft - slab * hop)]),
            graph.integers([1, 2]),
        )
        for slab in range(n_slabs)
    ]
    window = get_window("hann", spec.n_fft, fftbins=True)
    return graph.add("Mul", graph.add("Concat", *pieces, axis=2), graph.constant(window))


def _power_spectrum(graph: "GraphBuilder", spec: FeatureSpec, waveform: str) -> str:
    """Add the power spectrum in `fourier_tables`' order: [batch, n_frames, n_fft / 2]."""
    first, second, _ = fourier_tables(spec.n_fft)
    rest, n_frames = spec.n_fft // RADIX, spec.n_frames
    frames = _frames(graph, spec, waveform)
    grid = graph.add("Reshape", frames, graph.integers([-1, RADIX, rest]))  # [b * t, n1, n2]
    by_n1 = graph.add("Transpose", grid, perm=[1, 0, 2])  # [n1, b * t, n2]
    flat = graph.add("Reshape", by_n1, graph.integers([RADIX, -1]))
    sums = graph.add("MatMul", graph.constant(first), flat)  # 16 real sums, [16, b * t * n2]
    rows = graph.add("Reshape", sums, graph.integers([RADIX, -1, rest]))
    real, imaginary = graph.add_many("Split", 2, rows, graph.integers([8, 8]), axis=0)
    pairs = graph.add("Concat", real, imaginary, axis=2)  # [8, b * t, 2 * rest]
    spectrum = graph.add("MatMul", pairs, graph.constant(second))
    squares = graph.add("Mul", spectrum, spectrum)
    parts = graph.add_many("Split", 2, squares, graph.integers([rest, rest]), axis=2)
    by_frame = graph.add("Transpose", graph.add("Add", *parts), perm=[1, 0, 2])  # [b * t, 8, rest]
    return graph.add("Reshape", by_frame, graph.integers([-1, n_frames, spec.n_fft // 2]))


def _bands(graph: "GraphBuilder", spec: FeatureSpec, power: str, waveform: str) -> list[str]:
    """Add the bands of every view in dB at unit RMS: each [batch, n_frames, n_filters]."""
    _, _, bins = fourier_tables(spec.n_fft)
    tables = [filters(spec, view)[:, bins] * (bins > 0) for view in spec.views.values()]
    table = np.concatenate(tables).T  # (n_fft / 2, all filters): one product for all views
    square = graph.add("Mul", waveform, waveform)
    mean_square = graph.add("ReduceMean", square, axes=[1], keepdims=1)
    level = graph.add("Max", mean_square, graph.constant(spec.rms_floor**2))
    scale = graph.add("Unsqueeze", graph.add("Reciprocal", level), graph.integers([2]))
    bands = graph.add("Mul", graph.add("MatMul", power, graph.constant(table)), scale)
    floored = graph.add("Max", bands, graph.constant(spec.power_floor))
    decibels = graph.add("Mul", graph.add("Log", floored), graph.constant(10 / np.log(10)))
    sizes = [view.n_filters for view in spec.views.values()]
    return graph.add_many("Split", len(sizes), decibels, graph.integers(sizes), axis=2)


def _view(graph: "GraphBuilder", spec: FeatureSpec, view: ViewSpec, frames: str) -> str:
    """Add one view: [batch, n_frames, n_filters] -> [batch, n_frames, n_features]."""
    if view.kind != "logmel":
        frames = graph.add("MatMul", frames, graph.constant(cosine_table(view)))
    if not view.deltas:
        return frames
    derivatives = [
        graph.add("MatMul", graph.constant(delta_table(spec, order)), frames) for order in (1, 2)
    ]
    return graph.add("Concat", frames, *derivatives, axis=2)


def add_statistics(graph: "GraphBuilder", frames: str, n_frames: int) -> str:
    """Add time statistics: [batch, n_frames, d] -> [batch, 8 * d].

    In this order: mean, standard deviation, the 5th, 25th, 50th, 75th and 95th percentile (as
    `numpy.percentile` interpolates), and the mean absolute difference between frames.
    """
    mean = graph.add("ReduceMean", frames, axes=[1], keepdims=1)
    centred = graph.add("Sub", frames, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[1], keepdims=1)
    sorted_frames, _ = graph.add_many(
        "TopK", 2, frames, graph.integers([n_frames]), axis=1, largest=0
    )
    position = np.array(PERCENTILES) / 100 * (n_frames - 1)
    below = np.floor(position).astype(np.int64)
    share = (position - below).astype(np.float32)[None, :, None]
    low = graph.add("Gather", sorted_frames, graph.integers(below), axis=1)
    high = graph.add(
        "Gather", sorted_frames, graph.integers(np.minimum(below + 1, n_frames - 1)), axis=1
    )
    step = graph.add("Mul", graph.add("Sub", high, low), graph.constant(share))
    later = graph.add("Slice", frames, *map(graph.integers, ([1], [n_frames], [1])))
    earlier = graph.add("Slice", frames, *map(graph.integers, ([0], [n_frames - 1], [1])))
    change = graph.add("Abs", graph.add("Sub", later, earlier))
    parts = [
        mean,
        graph.add("Sqrt", variance),
        graph.add("Add", low, step),
        graph.add("ReduceMean", change, axes=[1], keepdims=1),
    ]
    return graph.add("Flatten", graph.add("Concat", *parts, axis=1), axis=1)


def build_statistics(n_frames: int, n_features: int) -> "onnx.ModelProto":
    """Build the graph from one view to its time statistics.

    Input ``frames``, float32 [batch, n_frames, n_features]; output ``statistics``, float32
    [batch, 8 * n_features], in the order of `add_statistics`.
    """
    from bonafide.onnxgraph import GraphBuilder

    graph = GraphBuilder("statistics")
    frames = graph.input("frames", ["batch", n_frames, n_features])
    statistics = add_statistics(graph, frames, n_frames)
    graph.output("statistics", statistics, ["batch", N_STATISTICS * n_features])
    return graph.model()
