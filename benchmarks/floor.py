"""The least time a graph can take: its multiply-adds at this core's own matrix-multiply rate."""

import math
import time

import numpy as np
import onnx

from bonafide.features.graph import GraphBuilder
from bonafide.runtime import Graph

# Float32 products (m, k, n) that fit into a core's cache; which is fastest depends on the core.
SHAPES = ((256, 256, 256), (384, 384, 384), (512, 512, 512), (64, 512, 512), (1024, 64, 64))
REPEATS = 60
COUNTED = ("MatMul", "Gemm", "Conv", "RNN", "GRU", "LSTM")

Shapes = dict[str, tuple[int, ...]]


def _shapes(model: onnx.ModelProto, batch: int) -> Shapes:
    """Return the shape of every value; `batch` stands for every named dimension."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_value = batch
    for value in fixed.graph.output:
        for dimension in value.type.tensor_type.shape.dim:
            dimension.Clear()  # they follow from the inputs
    graph = onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
    return shapes | {t.name: tuple(t.dims) for t in graph.initializer}


def _of_node(node: onnx.NodeProto, shapes: Shapes) -> int:
    def size(name: str) -> int:
        return math.prod(shapes.get(name, (0,)))

    if node.op_type == "MatMul":
        return size(node.output[0]) * shapes[node.input[0]][-1]
    if node.op_type == "Gemm":
        transposed = {a.name: a.i for a in node.attribute}.get("transA", 0)
        return size(node.output[0]) * shapes[node.input[0]][0 if transposed else 1]
    if node.op_type == "Conv":
        return size(node.output[0]) * math.prod(shapes[node.input[1]][1:])  # in / group, kernel
    steps, batch, _ = shapes[node.input[0]]  # a recurrence: every weight, every step
    return steps * batch * (size(node.input[1]) + size(node.input[2]))


def _of_selected(model: onnx.ModelProto) -> set[str]:
    """Return the values that hold selected rows alone: what follows NonZero until a ScatterND."""
    found: set[str] = set()
    for node in model.graph.node:
        follows = node.op_type == "NonZero" or found.intersection(node.input)
        if follows and node.op_type != "ScatterND":
            found.update(node.output)
    return found


def multiply_adds(model: onnx.ModelProto, *, batch: int = 1) -> int:
    """Count the multiply-adds of a graph's matrix products, convolutions and recurrences.

    Where a graph selects rows, as a cascade does, those are counted that all rows go through.

    Parameters
    ----------
    model : onnx.ModelProto
        Its shapes must follow from those of its inputs.
    batch : int
        Size of the dimensions that have a name in place of a size.

    Returns
    -------
    int
        Of MatMul, Gemm, Conv, RNN, GRU and LSTM; biases, activations and the rest do not count.

    Raises
    ------
    ValueError
        If the shape of one of these cannot be inferred.
    """
    shapes, selected = _shapes(model, batch), _of_selected(model)
    total = 0
    for node in model.graph.node:
        if node.op_type not in COUNTED or selected.intersection(node.input):
            continue
        count = _of_node(node, shapes)
        if not count:  # a dimension that shape inference does not know is 0
            raise ValueError(f"{node.op_type} {node.name}: its shape does not follow")
        total += count
    return total


def matmul_rate(*, repeats: int = REPEATS) -> float:
    """Measure one core's float32 multiply-adds a second: the best of several products.

    The products run in onnxruntime on one thread, as the graphs do.

    Parameters
    ----------
    repeats : int
        How often each product is timed.

    Returns
    -------
    float
    """
    rng = np.random.default_rng(0)
    best = 0.0
    for m, k, n in SHAPES:
        graph = GraphBuilder("product")
        x = graph.input("x", [m, k])
        weights = graph.constant(rng.standard_normal((k, n)))
        graph.output("y", graph.add("MatMul", x, weights), [m, n])
        product = Graph(graph.model().SerializeToString())
        inputs = {"x": rng.standard_normal((m, k)).astype(np.float32)}
        for _ in range(repeats):
            start = time.perf_counter()
            product(inputs)
            best = max(best, m * k * n / (time.perf_counter() - start))
    return best
