"""Time statistics of views, in the front end's graph. Needs onnx (extra ``train``).

What a generator gets wrong shows less in single frames than in how they vary: how much, how
smoothly, in what jumps, and together with what.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bonafide.features.spec import BY_FEATURE, N_CLASSES, FeatureSpec, ViewSpec

if TYPE_CHECKING:
    from bonafide.features.graph import GraphBuilder

FLOOR = 1e-2  # dB, added before logarithms, for what does not vary
STEEPNESS = 1.6  # of the boundaries between classes, per standard deviation
PRIOR = 0.01  # share of all frames that every class counts beside its own (Gauvain and Lee, 1994)

# A frame, its difference from the one before, and the second difference.
_DIFFERENCES = np.array([[0, 1, 0], [-1, 1, 0], [1, -2, 1]])
# Combinations of the logarithms of their RMS (the first three) and mean absolute values.
_RATIOS = np.array(
    [
        [1, 0, 0, 0, 0, 0],  # deviation
        [0, 0, 0, 0, 1, 0],  # change
        [-1, 1, 0, 0, 0, 0],  # smoothness: RMS of first differences over that of values
        [0, -1, 0, 0, 0, 1],  # and second differences over first
        [0, 1, 0, 0, -1, 0],  # spikiness: RMS over mean absolute value of first differences
        [0, 0, 1, 0, 0, -1],  # and of second differences
    ]
).T
# Times a frame's first two features in deviations: how far inside each of the four classes it lies.
_LEVEL = STEEPNESS * np.array([[1, 1, -1, -1], [0, 0, 0, 0]])
_TILT = STEEPNESS * np.array([[0, 0, 0, 0], [1, -1, 1, -1]])
_WITH_ALL = np.hstack([np.eye(N_CLASSES) + PRIOR, np.ones((N_CLASSES, 1))])
_TO_ALL = np.vstack([np.eye(N_CLASSES), -np.ones((1, N_CLASSES))])


class Frames(NamedTuple):
    """A view in a graph: a value of shape [batch, n_features, n_frames]."""

    value: str
    view: ViewSpec
    n_frames: int

    @property
    def n_features(self) -> int:
        """Features of one frame."""
        return self.view.n_features


def add_statistics(graph: "GraphBuilder", views: Sequence[Frames], spec: FeatureSpec) -> str:
    """Add the time statistics of views to a graph, view after view.

    All but the mean are over the frames that have neighbours on both sides. Feature by feature:
    mean; logarithms of the deviation and of the mean absolute difference between frames (change);
    how smoothly it moves, as log ratios of first differences to values and of second differences
    to first; how spiky its first and second differences are, as log ratios of their RMS to their
    mean absolute value. Then the correlations between the first c = min(correlated, d) of d
    features, the upper triangle row by row.

    Views by class also have, feature by feature, their mean absolute deviations and then their
    changes in four classes of frames, as log ratios to those of all frames. A frame is loud or
    quiet and dull or bright by how its first two features compare with their means, softly: as
    products of logistic functions. Views with equally many frames share the classes of the first.

    Every node has a fixed cost, so views with equally many frames go through the passes over
    frames together, and what remains is done for all views at once.

    Parameters
    ----------
    graph : GraphBuilder
        Receives the nodes.
    views : sequence of Frames
        One that is repeated is computed once.
    spec : FeatureSpec
        Says how many features are correlated.

    Returns
    -------
    str
        The statistics, [batch, n].

    References
    ----------
    Gauvain & Lee, "Maximum a posteriori estimation for multivariate Gaussian mixture observations
    of Markov chains", 1994 (`PRIOR`).
    """
    passes: dict[int, list[Frames]] = {}
    for view in dict.fromkeys(views):
        passes.setdefault(view.n_frames, []).append(view)
    parts = [_over_frames(graph, together, spec) for together in passes.values()]
    mean, squares, absolutes, pairs, classes = (
        _joined(graph, [value for value in part if value]) for part in zip(*parts, strict=True)
    )
    levels = graph.add("Concat", graph.add("Sqrt", squares), absolutes, axis=2)
    levels = graph.add("Add", levels, graph.constant(FLOOR))
    ratios = graph.add("MatMul", graph.add("Log", levels), graph.constant(_RATIOS))
    table = graph.add("Flatten", graph.add("Concat", mean, ratios, axis=2), axis=1)

    rows, columns, places, order = _places(list(passes.values()), spec)
    of_deviation = [levels, *map(graph.integers, ([0], [1], [2]))]
    scale = graph.add("Flatten", graph.add("Slice", *of_deviation), axis=1)
    scales = [graph.add("Gather", scale, graph.integers(of), axis=1) for of in (rows, columns)]
    upper = graph.add("Gather", pairs, graph.integers(places), axis=1)
    upper = graph.add("Div", upper, graph.add("Mul", *scales))
    everything = _joined(graph, [value for value in (table, upper, classes) if value])
    indices = [index for view in views for index in order[view]]
    return graph.add("Gather", everything, graph.integers(indices), axis=1)


def _joined(graph: "GraphBuilder", parts: Sequence[str]) -> str:
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else "".join(parts)


def _over_frames(
    graph: "GraphBuilder", views: Sequence[Frames], spec: FeatureSpec
) -> tuple[str, str, str, str, str]:
    """Add all passes over frames, of views with equally many of them and d features in all.

    Returns
    -------
    mean : str
        [batch, d, 1].
    squares, absolutes : str
        Mean squares and mean absolute values of frames without the mean and of their first and
        second differences, [batch, d, 3] each.
    pairs : str
        Mean products of all views' first features with each other, [batch, n * n].
    classes : str
        The statistics by class, [batch, n]; an empty string if no view has them.
    """
    frames = _joined(graph, [view.value for view in views])
    n_features, n_frames = sum(view.n_features for view in views), views[0].n_frames
    n_moves = len(_DIFFERENCES)
    mean = graph.add("ReduceMean", frames, axes=[2], keepdims=1)
    centred = graph.add("Sub", frames, mean)

    one_by_one = graph.add("Reshape", centred, graph.integers([-1, 1, n_frames]))
    moves = graph.add("Conv", one_by_one, graph.constant(_DIFFERENCES[:, None]))
    absolute = graph.add("Abs", moves)
    means = [
        graph.add("ReduceMean", value, axes=[2], keepdims=0)
        for value in (graph.add("Mul", moves, moves), absolute)
    ]
    shape = graph.integers([-1, n_features, n_moves])
    squares, absolutes = (graph.add("Reshape", value, shape) for value in means)

    rows, by_class, start = list[int](), list[int](), 0
    for view in views:
        rows += range(start, start + spec.n_correlated(view.view))
        by_class += range(start, start + view.n_features) if view.view.by_class else ()
        start += view.n_features
    values = graph.add("Reshape", moves, graph.integers([-1, n_moves * n_features, n_frames - 2]))
    pairs = _pairs(graph, values, n_moves * np.array(rows), n_frames - 2)
    classes = ""
    if by_class:
        shape = graph.integers([-1, n_features, n_moves, n_frames - 2])
        moves, absolute = (graph.add("Reshape", value, shape) for value in (moves, absolute))
        if len(by_class) < n_features:
            absolute = graph.add("Gather", absolute, graph.integers(by_class), axis=1)
        classes = _by_class(graph, moves, absolute, squares, by_class[0], n_frames - 2)
    return mean, squares, absolutes, pairs, classes


def _pairs(graph: "GraphBuilder", values: str, rows: NDArray[np.intp], n_frames: int) -> str:
    """Add mean products of rows with each other: [batch, n, n_frames] -> [batch, n_rows**2]."""
    chosen = graph.add("Gather", values, graph.integers(rows), axis=1)
    products = graph.add("MatMul", chosen, graph.add("Transpose", chosen, perm=[0, 2, 1]))
    means = graph.add("Mul", products, graph.constant(1 / n_frames))
    return graph.add("Flatten", means, axis=1)


def _by_class(
    graph: "GraphBuilder",
    moves: str,
    absolute: str,
    squares: str,
    row: int,
    n_frames: int,
) -> str:
    """Add mean absolute values and differences of n features by class.

    Parameters
    ----------
    graph : GraphBuilder
        Receives the nodes.
    moves : str
        Values and their first and second differences, [batch, d, 3, n_frames].
    absolute : str
        Absolute values of n of the d features, [batch, n, 3, n_frames].
    squares : str
        Mean squares of `moves`, [batch, d, 3].
    row : int
        Features `row` and `row` + 1 of d decide the class.
    n_frames : int
        Frames with neighbours on both sides.

    Returns
    -------
    str
        [batch, 12 n]: for each of n features its values in four classes, then its first and its
        second differences, as log ratios to all frames.
    """
    deciding = [[row, 0], [row + 2, 1], [1, 2]]  # two features' values
    two = graph.add("Slice", moves, *map(graph.integers, deciding))
    two = graph.add("Reshape", two, graph.integers([-1, 2, n_frames]))
    spread = graph.add("Sqrt", graph.add("Slice", squares, *map(graph.integers, deciding)))
    distance = graph.add("Div", two, graph.add("Add", spread, graph.constant(FLOOR)))
    distance = graph.add("Transpose", distance, perm=[0, 2, 1])
    memberships = [
        graph.add("Sigmoid", graph.add("MatMul", distance, graph.constant(bounds)))
        for bounds in (_LEVEL, _TILT)
    ]
    belongs = graph.add("Mul", *memberships)  # [batch, n_frames, classes]

    values = graph.add("Reshape", absolute, graph.integers([0, -1, n_frames]))
    sums = graph.add("MatMul", values, belongs)
    share = graph.add("ReduceMean", belongs, axes=[1], keepdims=1)
    mass = graph.add("MatMul", share, graph.constant(_WITH_ALL * n_frames))
    means = graph.add("Div", graph.add("MatMul", sums, graph.constant(_WITH_ALL)), mass)
    logs = graph.add("Log", graph.add("Add", means, graph.constant(FLOOR)))
    return graph.add("Flatten", graph.add("MatMul", logs, graph.constant(_TO_ALL)), axis=1)


def _places(
    passes: Sequence[Sequence[Frames]], spec: FeatureSpec
) -> tuple[list[int], list[int], list[int], dict[Frames, list[int]]]:
    """Return the positions of all statistics after the passes over frames.

    Returns
    -------
    rows, columns : list of int
        The two features of each pair, counted over all views.
    places : list of int
        The position of its product among all passes' `pairs`.
    order : dict of Frames to list of int
        The positions of a view's statistics, in the order of `FeatureSpec.kinds_of`.
    """
    each, every = len(BY_FEATURE), [view for together in passes for view in together]
    n_by_feature = each * sum(view.n_features for view in every)
    n_pairs = sum(spec.kinds_of(view.view).count("pairs") for view in every)
    rows, columns, places, order = list[int](), list[int](), list[int](), dict[Frames, list[int]]()
    feature = product = 0  # where the next view and the next pass begin
    by_class = n_by_feature + n_pairs
    for together in passes:
        width, first = sum(spec.n_correlated(view.view) for view in together), 0
        for view in together:
            row, column = np.triu_indices(spec.n_correlated(view.view), 1)
            pair, end = n_by_feature + len(rows), feature + view.n_features
            order[view] = [*range(each * feature, each * end), *range(pair, pair + len(row))]
            for _ in range(view.n_features if view.view.by_class else 0):
                order[view] += range(by_class, by_class + 2 * N_CLASSES)
                by_class += len(_DIFFERENCES) * N_CLASSES
            rows += (feature + row).tolist()
            columns += (feature + column).tolist()
            places += (product + (first + row) * width + first + column).tolist()
            feature, first = end, first + spec.n_correlated(view.view)
        product += width**2
    return rows, columns, places, order
