"""Time statistics of a view, in the front end's graph. Needs onnx (extra ``train``).

What a generator gets wrong shows less in single frames than in how they vary: how much, how
smoothly, and together with what. Means, deviations and mean absolute differences say how much,
correlations of a feature with itself some frames later how smoothly, correlations between features
together with what.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bonafide.spec import FeatureSpec

if TYPE_CHECKING:
    from bonafide.onnxgraph import GraphBuilder

VARIANCE_FLOOR = 1e-3  # dB squared: what does not vary has no correlation
CHANGE_FLOOR = 1e-2  # dB


def add_statistics(
    graph: "GraphBuilder", frames: str, n_frames: int, n_features: int, spec: FeatureSpec
) -> str:
    """Add time statistics: [batch, d, n_frames] -> [batch, (3 + lags) * d + c (c - 1) / 2].

    Feature by feature: mean, log standard deviation, log mean absolute difference between frames,
    and for each lag the correlation of the feature with itself. Then the correlations between the
    first c = min(correlated, d) features, the upper triangle row by row.
    """
    mean = graph.add("ReduceMean", frames, axes=[2], keepdims=1)
    centred = graph.add("Sub", frames, mean)
    square = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[2], keepdims=1)
    variance = graph.add("Add", square, graph.constant(VARIANCE_FLOOR))
    unit = graph.add("Div", centred, graph.add("Sqrt", variance))

    def between(values: str, start: int, end: int) -> str:
        return graph.add("Slice", values, *map(graph.integers, ([start], [end], [2])))

    later, earlier = between(frames, 1, n_frames), between(frames, 0, n_frames - 1)
    change = graph.add("Abs", graph.add("Sub", later, earlier))
    change = graph.add("ReduceMean", change, axes=[2], keepdims=1)
    parts = [
        mean,
        graph.add("Mul", graph.add("Log", variance), graph.constant(0.5)),
        graph.add("Log", graph.add("Add", change, graph.constant(CHANGE_FLOOR))),
    ]
    parts.append(_lagged(graph, unit, n_frames, n_features, spec.lags))
    by_feature = graph.add("Flatten", graph.add("Concat", *parts, axis=2), axis=1)

    n_correlated = min(spec.correlated, n_features)
    first = graph.add("Slice", unit, *map(graph.integers, ([0], [n_correlated], [1])))
    pairs = graph.add("MatMul", first, graph.add("Transpose", first, perm=[0, 2, 1]))
    means = graph.add("Mul", graph.add("Flatten", pairs, axis=1), graph.constant(1 / n_frames))
    row, column = np.triu_indices(n_correlated, 1)
    upper = graph.add("Gather", means, graph.integers(row * n_correlated + column), axis=1)
    return graph.add("Concat", by_feature, upper, axis=1)


BLOCK = 8  # frames; a lag reaches from one block into the next


def _lagged(
    graph: "GraphBuilder", unit: str, n_frames: int, n_features: int, lags: Sequence[int]
) -> str:
    """Add mean products of frames `lags` apart: [batch, d, n_frames] -> [batch, d, lags].

    With frames in rows of `BLOCK` and beside each row its successors, one small product a feature
    gives every product that any lag needs; which of them a lag adds up is a constant matrix.
    """
    reach = -(-max(lags) // BLOCK)  # rows that the longest lag reaches ahead
    n_rows = -(-n_frames // BLOCK)
    missing = (n_rows + reach) * BLOCK - n_frames
    padded = graph.add("Pad", unit, graph.integers([0, 0, 0, 0, 0, missing]))
    rows = graph.add("Reshape", padded, graph.integers([-1, n_features, n_rows + reach, BLOCK]))

    def ahead(by: int) -> str:
        return graph.add("Slice", rows, *map(graph.integers, ([by], [by + n_rows], [2])))

    here = ahead(0)
    beside = graph.add("Concat", here, *(ahead(by) for by in range(1, reach + 1)), axis=3)
    products = graph.add("MatMul", graph.add("Transpose", here, perm=[0, 1, 3, 2]), beside)
    width = (1 + reach) * BLOCK
    flat = graph.add("Reshape", products, graph.integers([-1, n_features, BLOCK * width]))
    offset = np.arange(width)[None] - np.arange(BLOCK)[:, None]  # frames between the two factors
    adds = np.stack([(offset == lag) / (n_frames - lag) for lag in lags])
    return graph.add("MatMul", flat, graph.constant(adds.reshape(len(lags), -1).T))
