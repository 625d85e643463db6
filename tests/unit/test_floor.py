"""Counting multiply-adds: by hand, operator by operator."""

from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.floor import matmul_rate, multiply_adds
from bonafide.features.graph import GraphBuilder


def built(
    operator: str, inputs: list[tuple[Any, ...]], rank: int = 2, **attributes: Any
) -> onnx.ModelProto:
    """A graph of one node: the first input comes from outside, the others are constants."""
    graph = GraphBuilder("g")
    x = graph.input("x", inputs[0])
    constants = [graph.constant(np.ones(shape)) for shape in inputs[1:]]
    graph.output("y", graph.add(operator, x, *constants, **attributes), unknown(rank))
    return graph.model()


def unknown(rank: int) -> list[str]:
    return [f"d{i}" for i in range(rank)]


CASES: dict[str, tuple[onnx.ModelProto, int]] = {
    "product": (built("MatMul", [(3, 5), (5, 7)]), 3 * 5 * 7),
    "batched product": (built("MatMul", [("batch", 2, 3, 5), (2, 5, 7)], 4), 2 * 3 * 5 * 7),
    "vector": (built("MatMul", [("batch", 5), (5, 1)]), 5),
    "gemm": (built("Gemm", [(3, 5), (5, 7), (7,)]), 3 * 5 * 7),
    "gemm, both transposed": (built("Gemm", [(5, 3), (7, 5)], transA=1, transB=1), 3 * 5 * 7),
    "convolution": (
        built(
            "Conv", [("batch", 4, 10, 12), (6, 4, 3, 2), (6,)], 4, strides=[2, 1], pads=[1, 0, 1, 0]
        ),
        6 * 5 * 11 * (4 * 3 * 2),
    ),
    "convolution in groups": (
        built("Conv", [("batch", 4, 9), (8, 1, 3)], 3, group=4),
        8 * 7 * 3,
    ),
    "rnn": (
        built("RNN", [(9, "batch", 5), (1, 7, 5), (1, 7, 7)], 4, hidden_size=7),
        9 * 7 * (5 + 7),
    ),
    "gru": (
        built("GRU", [(9, "batch", 5), (1, 21, 5), (1, 21, 7)], 4, hidden_size=7),
        9 * 3 * 7 * (5 + 7),
    ),
    "lstm, both ways": (
        built(
            "LSTM",
            [(9, "batch", 5), (2, 28, 5), (2, 28, 7)],
            4,
            hidden_size=7,
            direction="bidirectional",
        ),
        9 * 2 * 4 * 7 * (5 + 7),
    ),
    "what multiplies no matrices": (built("Mul", [("batch", 5), (5,)]), 0),
}


@pytest.mark.parametrize(("model", "wanted"), CASES.values(), ids=CASES)
def test_by_hand(model: onnx.ModelProto, wanted: int) -> None:
    before = model.SerializeToString()
    assert multiply_adds(model) == wanted
    assert model.SerializeToString() == before


def test_a_batch_takes_so_many_times_more() -> None:
    for name in ("batched product", "vector", "convolution", "gru"):
        model, one = CASES[name]
        assert multiply_adds(model, batch=6) == 6 * one


def test_nodes_add_up() -> None:
    graph = GraphBuilder("g")
    x = graph.add("MatMul", graph.input("x", ["batch", 3, 4]), graph.constant(np.ones((4, 5))))
    turned = graph.add("Transpose", x, perm=[0, 2, 1])
    graph.output("y", graph.add("MatMul", turned, graph.constant(np.ones((3, 2)))), unknown(3))
    assert multiply_adds(graph.model()) == 3 * 4 * 5 + 5 * 3 * 2


def test_a_shape_that_does_not_follow_raises() -> None:
    graph = GraphBuilder("g")
    x, shape = graph.input("x", [12]), graph.input("shape", [2])
    whole = graph.add("Cast", shape, to=onnx.TensorProto.INT64)
    value = graph.add("MatMul", graph.add("Reshape", x, whole), graph.constant(np.ones((4, 5))))
    graph.output("y", value, unknown(2))
    with pytest.raises(ValueError, match=r"MatMul .*does not follow"):
        multiply_adds(graph.model())


def test_the_rate_is_that_of_this_core() -> None:
    assert 1e8 < matmul_rate(repeats=3) < 1e12


def test_what_selected_rows_go_through_does_not_count() -> None:
    """A cascade: all rows go through the first product, and some through the second."""
    graph = GraphBuilder("g")
    x = graph.add("MatMul", graph.input("x", ["batch", 4]), graph.constant(np.ones((4, 5))))
    asked = graph.add(
        "Greater", graph.add("ReduceMax", x, axes=[1], keepdims=0), graph.constant(0.0)
    )
    rows = graph.add("Transpose", graph.add("NonZero", asked), perm=[1, 0])
    some = graph.add("MatMul", graph.add("GatherND", x, rows), graph.constant(np.ones((5, 5))))
    whole = graph.add("ScatterND", x, rows, some)
    graph.output("y", graph.add("MatMul", whole, graph.constant(np.ones((5, 2)))), unknown(2))
    assert multiply_adds(graph.model()) == 4 * 5 + 5 * 2
