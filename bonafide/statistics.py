"""Time statistics of a view as an ONNX graph: what the trees see. Needs onnx (extra ``train``)."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

    from bonafide.onnxgraph import GraphBuilder

PERCENTILES = (5, 25, 50, 75, 95)
N_STATISTICS = len(PERCENTILES) + 3


def add_sorted(graph: "GraphBuilder", frames: str, n_frames: int, n_features: int) -> str:
    """Sort every feature over time: [batch, n_frames, d] -> [batch, power of 2 >= n_frames, d].

    A bitonic network (Batcher, 1968): pairs of rows a distance apart become their minimum and
    their maximum, all features at once. `TopK` sorts feature by feature, and every comparison
    whose outcome the processor guesses wrong costs more than the comparison.
    """
    size = 1 << (n_frames - 1).bit_length()
    missing = graph.integers([0, 0, 0, 0, size - n_frames, 0])
    rows = graph.add("Pad", frames, missing, graph.constant(np.inf))  # sorted to the end
    run = 1
    while run < size:
        order = np.arange(size).reshape(-1, 2, run)
        order[:, 1] = order[:, 1, ::-1]  # a rising run and a falling one are a bitonic run
        whole = graph.add("Reshape", rows, graph.integers([-1, size, n_features]))
        rows = graph.add("Gather", whole, graph.integers(order.ravel()), axis=1)
        distance = run
        while distance:
            pairs = graph.add("Reshape", rows, graph.integers([-1, 2, distance * n_features]))
            one, other = graph.add_many("Split", 2, pairs, graph.integers([1, 1]), axis=1)
            lower, upper = graph.add("Min", one, other), graph.add("Max", one, other)
            rows = graph.add("Concat", lower, upper, axis=1)
            distance //= 2
        run *= 2
    return graph.add("Reshape", rows, graph.integers([-1, size, n_features]))


def add_statistics(graph: "GraphBuilder", frames: str, n_frames: int, n_features: int) -> str:
    """Add time statistics: [batch, n_frames, d] -> [batch, 8 * d].

    In this order: mean, standard deviation, the 5th, 25th, 50th, 75th and 95th percentile (as
    `numpy.percentile` interpolates), and the mean absolute difference between frames.
    """
    mean = graph.add("ReduceMean", frames, axes=[1], keepdims=1)
    centred = graph.add("Sub", frames, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[1], keepdims=1)
    rows = add_sorted(graph, frames, n_frames, n_features)
    position = np.array(PERCENTILES) / 100 * (n_frames - 1)
    below = np.floor(position).astype(np.int64)
    share = (position - below).astype(np.float32)[None, :, None]
    above = np.minimum(below + 1, n_frames - 1)
    low = graph.add("Gather", rows, graph.integers(below), axis=1)
    high = graph.add("Gather", rows, graph.integers(above), axis=1)
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
    statistics = add_statistics(graph, frames, n_frames, n_features)
    graph.output("statistics", statistics, ["batch", N_STATISTICS * n_features])
    return graph.model()
