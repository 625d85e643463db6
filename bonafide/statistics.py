"""Time statistics of views, in the front end's graph. Needs onnx (extra ``train``).

What a generator gets wrong shows less in single frames than in how they vary: how much, how
smoothly, and together with what. Means, deviations and mean absolute differences say how much,
correlations of a feature with itself some frames later how smoothly, correlations between features
together with what.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bonafide.spec import FeatureSpec

if TYPE_CHECKING:
    from bonafide.onnxgraph import GraphBuilder

VARIANCE_FLOOR = 1e-3  # dB squared: what does not vary has no correlation
CHANGE_FLOOR = 1e-2  # dB


class Frames(NamedTuple):
    """A view in a graph: a value of shape [batch, n_features, n_frames]."""

    value: str
    n_features: int
    n_frames: int

    def n_correlated(self, spec: FeatureSpec) -> int:
        """Count the features whose correlations with each other are taken."""
        return min(spec.correlated, self.n_features)


def add_statistics(graph: "GraphBuilder", views: Sequence[Frames], spec: FeatureSpec) -> str:
    """Add the time statistics of views: [batch, n], view after view.

    Feature by feature: mean, log standard deviation, log mean absolute difference between frames,
    and for each lag the correlation of the feature with itself. Then the correlations between the
    first c = min(correlated, d) of d features, the upper triangle row by row.

    A node takes its time however little it does: views with as many frames go through the passes
    over frames as one, and what is left to do after them is done for all views at once.
    """
    passes: dict[int, list[Frames]] = {}
    for view in dict.fromkeys(views):
        passes.setdefault(view.n_frames, []).append(view)
    parts = [_over_frames(graph, together, spec) for together in passes.values()]
    mean, change, products, pairs = (_joined(graph, part) for part in zip(*parts, strict=True))
    sizes = graph.integers([1, len(spec.lags)])
    square, lagged = graph.add_many("Split", 2, products, sizes, axis=2)
    variance = graph.add("Add", square, graph.constant(VARIANCE_FLOOR))
    deviation = graph.add("Sqrt", variance)
    change = graph.add("Add", change, graph.constant(CHANGE_FLOOR))
    logs = graph.add("Log", graph.add("Concat", deviation, change, axis=2))
    table = graph.add("Concat", mean, logs, graph.add("Div", lagged, variance), axis=2)

    rows, columns, places, order = _places(list(passes.values()), spec)
    scale = graph.add("Flatten", deviation, axis=1)
    scales = [graph.add("Gather", scale, graph.integers(of), axis=1) for of in (rows, columns)]
    upper = graph.add("Gather", pairs, graph.integers(places), axis=1)
    upper = graph.add("Div", upper, graph.add("Mul", *scales))
    everything = graph.add("Concat", graph.add("Flatten", table, axis=1), upper, axis=1)
    indices = [index for view in views for index in order[view]]
    return graph.add("Gather", everything, graph.integers(indices), axis=1)


def _joined(graph: "GraphBuilder", parts: Sequence[str]) -> str:
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _over_frames(
    graph: "GraphBuilder", views: Sequence[Frames], spec: FeatureSpec
) -> tuple[str, str, str, str]:
    """Add all that passes over frames, of views with as many of them and d features in all.

    Returns
    -------
    mean, change : str
        Mean, and mean absolute difference between frames, [batch, d, 1].
    products : str
        Mean products with itself 0 and `lags` frames later, of what is left without the mean,
        [batch, d, 1 + lags].
    pairs : str
        Mean products of all views' first features with each other, [batch, n * n].
    """
    frames = _joined(graph, [view.value for view in views])
    n_features, n_frames = sum(view.n_features for view in views), views[0].n_frames
    mean = graph.add("ReduceMean", frames, axes=[2], keepdims=1)
    centred = graph.add("Sub", frames, mean)
    products = _lagged(graph, centred, n_frames, n_features, (0, *spec.lags))

    def between(start: int, end: int) -> str:
        return graph.add("Slice", frames, *map(graph.integers, ([start], [end], [2])))

    change = graph.add("Abs", graph.add("Sub", between(1, n_frames), between(0, n_frames - 1)))
    change = graph.add("ReduceMean", change, axes=[2], keepdims=1)

    rows, start = list[int](), 0
    for view in views:
        rows += range(start, start + view.n_correlated(spec))
        start += view.n_features
    first = graph.add("Gather", centred, graph.integers(rows), axis=1)
    pairs = graph.add("MatMul", first, graph.add("Transpose", first, perm=[0, 2, 1]))
    pairs = graph.add("Mul", pairs, graph.constant(1 / n_frames))
    return mean, change, products, graph.add("Flatten", pairs, axis=1)


def _places(
    passes: Sequence[Sequence[Frames]], spec: FeatureSpec
) -> tuple[list[int], list[int], list[int], dict[Frames, list[int]]]:
    """Tell where things stand after the passes over frames.

    Returns
    -------
    rows, columns : list of int
        The two features of each pair, counted over all views.
    places : list of int
        Where its product stands among all passes' `pairs`.
    order : dict of Frames to list of int
        Where a view's statistics stand, those of every feature in a row and then those of pairs.
    """
    each = 3 + len(spec.lags)
    n_by_feature = each * sum(view.n_features for together in passes for view in together)
    rows, columns, places, order = list[int](), list[int](), list[int](), dict[Frames, list[int]]()
    feature = product = 0  # where the next view and the next pass begin
    for together in passes:
        width, first = sum(view.n_correlated(spec) for view in together), 0
        for view in together:
            row, column = np.triu_indices(view.n_correlated(spec), 1)
            pair, end = n_by_feature + len(rows), feature + view.n_features
            order[view] = [*range(each * feature, each * end), *range(pair, pair + len(row))]
            rows += (feature + row).tolist()
            columns += (feature + column).tolist()
            places += (product + (first + row) * width + first + column).tolist()
            feature, first = end, first + view.n_correlated(spec)
        product += width**2
    return rows, columns, places, order


BLOCK = 8  # frames; a lag reaches from one block into the next


def _lagged(
    graph: "GraphBuilder", centred: str, n_frames: int, n_features: int, lags: Sequence[int]
) -> str:
    """Add mean products of frames `lags` apart: [batch, d, n_frames] -> [batch, d, lags].

    With frames in rows of `BLOCK` and beside each row its successors, one small product a feature
    gives every product that any lag needs; which of them a lag adds up is a constant matrix.
    """
    reach = -(-max(lags) // BLOCK)  # rows that the longest lag reaches ahead
    n_rows = -(-n_frames // BLOCK)
    missing = n_rows * BLOCK - n_frames
    shape = graph.integers([-1, n_features, n_rows, BLOCK])

    def ahead(rows: int) -> str:
        pads = [0, 0, -rows * BLOCK, 0, 0, missing + rows * BLOCK]
        return graph.add("Reshape", graph.add("Pad", centred, graph.integers(pads)), shape)

    here = ahead(0)
    beside = graph.add("Concat", here, *(ahead(rows) for rows in range(1, reach + 1)), axis=3)
    products = graph.add("MatMul", graph.add("Transpose", here, perm=[0, 1, 3, 2]), beside)
    width = (1 + reach) * BLOCK
    flat = graph.add("Reshape", products, graph.integers([-1, n_features, BLOCK * width]))
    offset = np.arange(width)[None] - np.arange(BLOCK)[:, None]  # frames between the two factors
    adds = np.stack([(offset == lag) / (n_frames - lag) for lag in lags])
    return graph.add("MatMul", flat, graph.constant(adds.reshape(len(lags), -1).T))
