"""The front end: tables from librosa, and the ONNX graph of them that training and serving share.

Needs librosa and onnx (extra ``train``), imported when a graph is built. Scoring needs neither:
it runs the graph out of the bundle.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bonafide.errors import ConfigError
from bonafide.features.spec import NARROW, SAMPLE_RATE_HZ, STATISTICS, FeatureSpec, ViewSpec
from bonafide.features.statistics import Frames, add_statistics

if TYPE_CHECKING:
    import onnx

    from bonafide.features.graph import GraphBuilder

Table = NDArray[np.float32]


def _step_hz(view: ViewSpec) -> float:
    return SAMPLE_RATE_HZ / view.n_fft


def filters(view: ViewSpec) -> Table:
    """Return the view's filters: the weights of the power spectrum's bins.

    Parameters
    ----------
    view : ViewSpec
        Its kind computes them.

    Returns
    -------
    ndarray of float32, shape (n_filters, 1 + n_fft // 2)

    Raises
    ------
    ConfigError
        ``bad_view_kind`` if the view's kind returns another shape, weights that are negative or
        not finite, or a weight of the first or last bin, which the front end does not compute.
    """
    table = view.view_kind.filters(view.bands)
    _check_shape(view, "filters", table, (view.n_filters, 1 + view.n_fft // 2))
    if not (np.isfinite(table).all() and (table >= 0).all() and not table[:, [0, -1]].any()):
        message = "filters must be finite and at least 0, and 0 at the first and the last bin"
        raise ConfigError("bad_view_kind", f"kind={view.kind!r}: {message}")
    return table


def _check_shape(view: ViewSpec, what: str, table: Table, shape: tuple[int, int]) -> None:
    if table.shape != shape:
        message = f"{what} of shape {table.shape}: must be {shape}"
        raise ConfigError("bad_view_kind", f"kind={view.kind!r}: {message}")


def delta_taps(spec: FeatureSpec, order: int) -> Table:
    """Return `librosa.feature.delta` away from the edges, as weights of frames.

    Librosa fits a polynomial of degree `order` and takes its `order`-th derivative: a constant of
    the fit. So the first and last frames, where one fit serves several, repeat their neighbour.

    Parameters
    ----------
    spec : FeatureSpec
        Its `delta_frames` are the width.
    order : int
        Of the derivative, 1 or 2.

    Returns
    -------
    ndarray of float32, shape (delta_frames,)
    """
    from librosa.feature import delta

    width = spec.delta_frames
    responses = delta(np.eye(width), width=width, order=order, axis=0)
    return np.asarray(responses[width // 2], dtype=np.float32)


def n_rest(view: ViewSpec) -> int:
    """Return the number of points in the second sum of a view's DFT; see `fourier_tables`.

    Parameters
    ----------
    view : ViewSpec
        Its resolution decides.

    Returns
    -------
    int
        About the square root of half a frame, for the fewest multiply-adds; divides the hop.
    """
    return math.gcd(view.hop_samples, 2 ** (int(math.log2(view.n_fft // 2)) // 2))


def fourier_tables(n_fft: int, rest: int) -> tuple[Table, Table, NDArray[np.intp]]:
    """Return a DFT of real frames as two small matrix products.

    With ``n = rest * n1 + n2`` and ``k = k1 + n_fft / rest * k2`` (Cooley and Tukey, 1965) the sum
    over n1 is one matrix per n2, which absorbs the twiddle factors, and the sum over n2 is one
    matrix for all k1. Frames are real, so k1 from 0 to half of ``n_fft / rest`` suffice.

    Parameters
    ----------
    n_fft : int
        Samples of a frame.
    rest : int
        Points of the second sum; divides `n_fft`.

    Returns
    -------
    first : ndarray of float32, shape (rest, 2, n_k1, n_fft / rest)
        Per n2: from samples n1 to real and imaginary parts per k1.
    second : ndarray of float32, shape (2 * rest, 2 * rest)
        From (real, imaginary) per n2 to (real, imaginary) per k2.
    bins : ndarray of int, shape (rest * n_k1,)
        The bin in each row, k2 after k2; 0 marks rows that repeat another, and also bins 0 and
        n_fft / 2, to which no filter gives weight.

    References
    ----------
    Cooley & Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965.
    """
    radix = n_fft // rest
    k1 = np.arange(radix // 2 + 1)
    k2 = n2 = np.arange(rest)
    n = rest * np.arange(radix) + n2[:, None, None]
    first = np.exp(-2j * np.pi / n_fft * k1[:, None] * n)
    second = np.exp(-2j * np.pi / rest * np.outer(k2, n2))
    bins = (k1 + radix * k2[:, None]).ravel()
    bins = np.minimum(bins, n_fft - bins)  # the upper half mirrors the lower one
    repeats = np.ones(len(bins), dtype=bool)
    repeats[np.unique(bins, return_index=True)[1]] = False
    return (
        np.stack([first.real, first.imag], axis=1).astype(np.float32),
        _of_complex(second),
        np.where(repeats | (bins == n_fft // 2), 0, bins),
    )


def _of_complex(matrix: NDArray[np.complex128]) -> Table:
    """Return a complex matrix as one of (real, imaginary) rows by (real, imaginary) columns."""
    parts = [[matrix.real, -matrix.imag], [matrix.imag, matrix.real]]
    pairs = np.transpose(parts, (2, 0, 3, 1)).reshape(2 * len(matrix), -1)
    return np.asarray(pairs, dtype=np.float32)


def build_frontend(spec: FeatureSpec) -> "onnx.ModelProto":
    """Build the graph from a window to every view and the statistics.

    Parameters
    ----------
    spec : FeatureSpec
        Every parameter of it.

    Returns
    -------
    onnx.ModelProto
        Input ``waveform``, float32 [batch, window_samples], any level. One output per view under
        its name, float32 [batch, n_frames, n_features], and ``statistics`` and ``narrow``, float32
        [batch, n], unless empty. Standard operators of opset 17 only.

    Raises
    ------
    ConfigError
        ``bad_view_kind`` if a view's kind returns invalid tables.
    """
    from bonafide.features.graph import GraphBuilder

    graph = GraphBuilder("frontend")
    waveform = graph.input("waveform", ["batch", spec.window_samples])
    heard = add_features(graph, spec, waveform, list(spec.views))
    sequences, vectors = heard.views, heard.vectors
    for name, frames in sequences.items():
        view = spec.views[name]
        by_frame = graph.add("Transpose", frames, perm=[0, 2, 1])
        graph.output(name, by_frame, ["batch", spec.n_frames(view), view.n_features])
    for name, vector in vectors.items():
        graph.output(name, vector, ["batch", spec.vectors[name]])
    return graph.model()


class Heard(NamedTuple):
    """The features of windows, as values in a graph.

    Parameters
    ----------
    waveform : str
        The windows without offset and at unit RMS, [batch, window_samples].
    views : dict of str to str
        View -> value, [batch, n_features, n_frames].
    vectors : dict of str to str
        ``statistics`` and, if the spec has any, ``narrow``: value, [batch, n].
    """

    waveform: str
    views: dict[str, str]
    vectors: dict[str, str]


def add_features(
    graph: "GraphBuilder",
    spec: FeatureSpec,
    waveform: str,
    sequences: Iterable[str],
    *,
    vectors: Collection[str] = (STATISTICS, NARROW),
) -> Heard:
    """Add the named views and time statistics to a graph.

    Time is the last axis throughout: both products of the DFT, the filters and convolutions over
    time then need no transposition. Views of one resolution share the spectrum, and a view that is
    needed both frame by frame and for statistics is computed once.

    Parameters
    ----------
    graph : GraphBuilder
        Receives the nodes.
    spec : FeatureSpec
        Every parameter of them.
    waveform : str
        The value that holds the windows, [batch, window_samples].
    sequences : iterable of str
        Names of the views that are wanted frame by frame.
    vectors : collection of str
        Which time statistics are wanted; those that the spec does not have are left out.

    Returns
    -------
    Heard

    Raises
    ------
    ConfigError
        ``bad_view_kind`` if a view's kind returns invalid tables.
    """
    named = {name: spec.views[name] for name in sequences}
    groups = {STATISTICS: spec.statistics, NARROW: spec.narrow}
    groups = {name: views for name, views in groups.items() if views and name in vectors}
    counted = [view for views in groups.values() for view in views.values()]
    wanted = list(dict.fromkeys((*named.values(), *counted)))
    waveform = at_unit_level(graph, spec.rms_floor, waveform)
    values: dict[ViewSpec, str] = {}
    for n_fft, hop in dict.fromkeys((view.n_fft, view.hop_samples) for view in wanted):
        together = [view for view in wanted if (view.n_fft, view.hop_samples) == (n_fft, hop)]
        power = _power_spectrum(graph, spec, waveform, together[0])
        values |= _views(graph, spec, together, power)
    taken = [Frames(values[view], view, spec.n_frames(view)) for view in counted]
    parts = [add_statistics(graph, taken, spec)] if taken else []
    if len(groups) > 1:
        sizes = graph.integers([spec.vectors[name] for name in groups])
        parts = graph.add_many("Split", len(groups), *parts, sizes, axis=1)
    frames = {name: values[view] for name, view in named.items()}
    return Heard(waveform, frames, dict(zip(groups, parts, strict=True)))


def _power_spectrum(graph: "GraphBuilder", spec: FeatureSpec, waveform: str, view: ViewSpec) -> str:
    """Add the power density per Hz in `fourier_tables`' order: [batch, bins, n_frames]."""
    # The waveform is cut into slabs of one hop, a column each. A frame is what a convolution
    # spans, so that frames are never written out; its weights include the window, and each of its
    # groups is one n2.
    n_frames, rest = spec.n_frames(view), n_rest(view)
    taps, second, bins = _taps(view), *fourier_tables(view.n_fft, rest)[1:]
    n_columns = n_frames + taps.shape[2] - 1
    hop, before = view.hop_samples, view.n_fft // 2  # centred, beyond the ends is silence
    after = n_columns * hop - spec.window_samples - before
    padded = graph.add("Pad", waveform, graph.integers([0, before, 0, after]))
    slabs = graph.add("Reshape", padded, graph.integers([-1, n_columns, hop]))
    columns = graph.add("Transpose", slabs, perm=[0, 2, 1])
    by_n2 = np.arange(hop).reshape(-1, rest).T.ravel()
    columns = graph.add("Gather", columns, graph.integers(by_n2), axis=1)
    sums = graph.add("Conv", columns, graph.constant(taps), group=rest)
    sums = graph.add("Reshape", sums, graph.integers([0, 2 * rest, -1]))
    spectrum = graph.add("MatMul", graph.constant(second), sums)
    squares = graph.add("Mul", spectrum, spectrum)
    parts = graph.add("Reshape", squares, graph.integers([0, rest, 2, -1]))
    power = graph.add("ReduceSum", parts, graph.integers([2]), keepdims=0)
    return graph.add("Reshape", power, graph.integers([-1, len(bins), n_frames]))


def _taps(view: ViewSpec) -> Table:
    """Return the first sums of a windowed DFT as taps, (rest * 2 * n_k1, hop / rest, n_slabs)."""
    from librosa.filters import get_window

    rest, n_slabs = n_rest(view), -(-view.n_fft // view.hop_samples)
    first, _, _ = fourier_tables(view.n_fft, rest)
    # scaled so that squares are densities
    window = get_window("hann", view.n_fft, fftbins=True).reshape(-1, rest) / _step_hz(view) ** 0.5
    sums = (first * window.T[:, None, None]).reshape(-1, len(window))
    beyond = n_slabs * view.hop_samples // rest - len(window)  # of the last slab
    taps = np.pad(sums, ((0, 0), (0, beyond))).reshape(len(sums), n_slabs, -1)
    return np.asarray(taps.transpose(0, 2, 1), dtype=np.float32)


def at_unit_level(graph: "GraphBuilder", rms_floor: float, waveform: str) -> str:
    """Add the removal of windows' offset and level: [batch, samples] -> the same.

    Parameters
    ----------
    graph : GraphBuilder
        Receives the nodes.
    rms_floor : float
        Windows quieter than this RMS (full scale 1) are not amplified further.
    waveform : str
        Windows, [batch, n_samples].

    Returns
    -------
    str
        Windows without offset, at unit RMS.
    """
    # A constant is no sound, but it is level, and the lowest filters hear it.
    offset = graph.add("ReduceMean", waveform, axes=[1], keepdims=1)
    waveform = graph.add("Sub", waveform, offset)
    square = graph.add("Mul", waveform, waveform)
    mean_square = graph.add("ReduceMean", square, axes=[1], keepdims=1)
    level = graph.add("Max", mean_square, graph.constant(rms_floor**2))
    return graph.add("Div", waveform, graph.add("Sqrt", level))


def _views(
    graph: "GraphBuilder", spec: FeatureSpec, views: Sequence[ViewSpec], power: str
) -> dict[ViewSpec, str]:
    """Add views of one resolution: each [batch, n_features, n_frames]."""
    values, known = {}, dict[bytes, str]()
    for view in views:
        table = filters(view)
        if table.tobytes() not in known:  # views with equal filters share their logarithm
            known[table.tobytes()] = graph.add("Log", _bands(graph, spec, view, table, power))
        values[view] = _view(graph, spec, view, known[table.tobytes()])
    return values


def _bands(
    graph: "GraphBuilder", spec: FeatureSpec, view: ViewSpec, table: Table, power: str
) -> str:
    """Add filters: [batch, bins, n_frames] -> [batch, n_filters, n_frames], floored."""
    # Filters are narrow: neighbours share the few bins that any of them weighs. They form a group
    # of a convolution, because onnxruntime fuses the floor into one, but not into a matrix product.
    bins, weights = _in_groups(_in_fourier_order(table, view))
    few = power
    if len(bins) > 1:
        few = graph.add("Gather", power, graph.integers(bins.ravel()), axis=1)
    taps = weights.reshape(len(table), -1, 1)
    bands = graph.add("Conv", few, graph.constant(taps), group=len(bins))
    return graph.add("Clip", bands, graph.constant(spec.power_floor))


COPY = 30  # multiply-adds that take as long as copying one number


def _in_groups(table: Table) -> tuple[NDArray[np.intp], Table]:
    """Split filters into groups of the size that costs least.

    Parameters
    ----------
    table : ndarray of float32, shape (n_filters, n)
        Weights.

    Returns
    -------
    columns : ndarray of int, shape (n_groups, n_columns)
        The columns that each group weighs.
    weights : ndarray of float32, shape (n_groups, size, n_columns)
        The weights of these columns.
    """

    def grouped(size: int) -> tuple[NDArray[np.intp], Table]:
        groups = table.reshape(-1, size, table.shape[1])
        if len(groups) == 1:
            return np.arange(table.shape[1])[None], groups
        weighed: NDArray[np.bool_] = np.any(groups, axis=1)
        most = max(1, weighed.sum(axis=1).max())  # a filter between two bins weighs none
        columns = np.argsort(~weighed, axis=1, kind="stable")[:, :most]
        return columns, np.take_along_axis(groups, columns[:, None], axis=2)

    sizes = (size for size in range(1, len(table) + 1) if len(table) % size == 0)
    return min(map(grouped, sizes), key=lambda group: group[1].size + COPY * group[0].size)


def _in_fourier_order(table: Table, view: ViewSpec) -> Table:
    """Return filters for power densities whose bins are in `fourier_tables`' order."""
    _, _, bins = fourier_tables(view.n_fft, n_rest(view))
    return np.asarray(table[:, bins] * (bins > 0) * _step_hz(view), dtype=np.float32)


DECIBELS = 10 / np.log(10)  # per unit of the natural logarithm of power


def _view(graph: "GraphBuilder", spec: FeatureSpec, view: ViewSpec, logs: str) -> str:
    """Add one view: logarithms of its filters -> [batch, n_features, n_frames]."""
    transform = view.view_kind.transform
    if transform is None:
        static = graph.add("Mul", logs, graph.constant(DECIBELS))
    else:
        table = transform(view.n_filters, view.n_coefficients)
        _check_shape(view, "transform", table, (view.n_static, view.n_filters))
        static = graph.add("MatMul", graph.constant(DECIBELS * table), logs)
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
