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
    for name, frames in add_views(graph, spec, waveform).items():
        by_frame = graph.add("Transpose", frames, perm=[0, 2, 1])
        graph.output(name, by_frame, ["batch", spec.n_frames, spec.views[name].n_features])
    return graph.model()


def add_views(graph: "GraphBuilder", spec: FeatureSpec, waveform: str) -> dict[str, str]:
    """Add every view: [batch, window_samples] -> [batch, n_features, n_frames].

    Time comes last all the way: both products of the DFT, the filters and what convolves over time
    then need no transposition.
    """
    bands = _bands(graph, spec, _power_spectrum(graph, spec, waveform), waveform)
    return {
        name: _view(graph, spec, view, band)
        for (name, view), band in zip(spec.views.items(), bands, strict=True)
    }


def _frames(graph: "GraphBuilder", spec: FeatureSpec, waveform: str) -> str:
    """Add windowed frames: [batch, samples] -> [batch, n_fft, n_frames]."""
    from librosa.filters import get_window

    hop, n_frames, half = spec.hop_samples, spec.n_frames, spec.n_fft // 2
    n_slabs = -(-spec.n_fft // hop)  # slabs of one hop that a frame reaches over
    after = (n_frames + n_slabs - 1) * hop - spec.window_samples - half
    padded = graph.add("Pad", waveform, graph.integers([0, half, 0, after]))  # centred, zeros
    slabs = graph.add("Reshape", padded, graph.integers([-1, n_frames + n_slabs - 1, hop]))
    columns = graph.add("Transpose", slabs, perm=[0, 2, 1])
    pieces = [
        graph.add(
            "Slice",
            columns,
            graph.integers([0, slab]),
            graph.integers([min(hop, spec.n_fft - slab * hop), slab + n_frames]),
            graph.integers([1, 2]),
        )
        for slab in range(n_slabs)
    ]
    window = get_window("hann", spec.n_fft, fftbins=True)[:, None]
    return graph.add("Mul", graph.add("Concat", *pieces, axis=1), graph.constant(window))


def _power_spectrum(graph: "GraphBuilder", spec: FeatureSpec, waveform: str) -> str:
    """Add the power spectrum in `fourier_tables`' order: [batch, n_fft / 2, n_frames]."""
    first, second, _ = fourier_tables(spec.n_fft)
    rest, slots, n_frames = spec.n_fft // RADIX, RADIX // 2, spec.n_frames
    frames = _frames(graph, spec, waveform)
    grid = graph.add("Reshape", frames, graph.integers([-1, RADIX, rest * n_frames]))  # [b, n1, ..]
    sums = graph.add("MatMul", graph.constant(first), grid)
    pairs = graph.add("Reshape", sums, graph.integers([-1, slots, 2 * rest, n_frames]))
    spectrum = graph.add("MatMul", graph.constant(second), pairs)  # real parts over imaginary ones
    squares = graph.add("Mul", spectrum, spectrum)
    parts = graph.add("Reshape", squares, graph.integers([-1, slots, 2, rest * n_frames]))
    power = graph.add("ReduceSum", parts, graph.integers([2]), keepdims=0)
    return graph.add("Reshape", power, graph.integers([-1, spec.n_fft // 2, n_frames]))


def _bands(graph: "GraphBuilder", spec: FeatureSpec, power: str, waveform: str) -> list[str]:
    """Add the log bands of every view at unit RMS, in nepers: each [batch, n_filters, n_frames]."""
    square = graph.add("Mul", waveform, waveform)
    mean_square = graph.add("ReduceMean", square, axes=[1], keepdims=1)
    level = graph.add("Max", mean_square, graph.constant(spec.rms_floor**2))
    scale = graph.add("Unsqueeze", graph.add("Reciprocal", level), graph.integers([2]))
    filtered, order = _filtered(graph, spec, power)
    bands = graph.add("Mul", filtered, scale)
    logs = graph.add("Log", graph.add("Clip", bands, graph.constant(spec.power_floor)))
    sizes = [view.n_filters for view in spec.views.values()]
    places = np.split(np.argsort(order), np.cumsum(sizes)[:-1])
    return [graph.add("Gather", logs, graph.integers(place), axis=1) for place in places]


def _filtered(graph: "GraphBuilder", spec: FeatureSpec, power: str) -> tuple[str, NDArray[np.intp]]:
    """Add every view's filters: [batch, n_fft / 2, n_frames] -> [batch, all filters, n_frames].

    A filter is narrow: those that peak near each other share a product with the few bins that any
    of them weighs. The second value tells which filter stands in which row.
    """
    _, _, bins = fourier_tables(spec.n_fft)
    tables = np.concatenate([filters(spec, view) for view in spec.views.values()])
    order = np.argsort(tables.argmax(axis=1), kind="stable")
    table = tables[:, bins] * (bins > 0)
    parts = []
    for rows in np.array_split(order, max(1, len(order) // FILTERS_TOGETHER)):
        weighed = np.flatnonzero(table[rows].any(axis=0))
        weighed = weighed if weighed.size else np.zeros(1, np.intp)  # a band between two bins
        few = graph.add("Gather", power, graph.integers(weighed), axis=1)
        parts.append(graph.add("MatMul", graph.constant(table[rows][:, weighed]), few))
    return graph.add("Concat", *parts, axis=1), order


DECIBELS = 10 / np.log(10)  # of a neper of power


def _view(graph: "GraphBuilder", spec: FeatureSpec, view: ViewSpec, logs: str) -> str:
    """Add one view: [batch, n_filters, n_frames] -> [batch, n_features, n_frames]."""
    if view.kind == "logmel":
        static = graph.add("Mul", logs, graph.constant(DECIBELS))
    else:
        static = graph.add("MatMul", graph.constant(DECIBELS * cosine_table(view)), logs)
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
