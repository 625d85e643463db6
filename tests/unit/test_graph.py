"""GraphBuilder and inline: graphs that read like formulas must compute what they read like."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bonafide.features.graph import IR_VERSION, ML_OPSET, OPSET, GraphBuilder
from bonafide.runtime import Graph

Floats = NDArray[np.float32]
X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -6.0]], dtype=np.float32)


def run(model: onnx.ModelProto, **inputs: Floats) -> dict[str, Floats]:
    return Graph(model.SerializeToString())(inputs)


def made(
    nodes: list[onnx.NodeProto],
    opset: int = OPSET,
    constants: dict[str, Any] | None = None,
    out_shape: tuple[Any, ...] = ("n", 3),
    outputs: tuple[str, ...] = ("y",),
) -> onnx.ModelProto:
    """A model from elsewhere, x [n, 3] to y, its names chosen to clash."""
    graph = helper.make_graph(
        nodes,
        "elsewhere",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, out_shape) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    model = helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", opset)]
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def scaler(factor: float, opset: int = OPSET) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Mul", ["x", "k"], ["t"], "node"),
        helper.make_node("Identity", ["t"], ["y"], "last"),
    ]
    return made(nodes, opset, {"k": np.float32(factor)})


# --- the builder ----------------------------------------------------------------------------------


def test_a_formula() -> None:
    graph = GraphBuilder("formula")
    x = graph.input("x", ["batch", 3])
    scaled = graph.add("Mul", x, graph.constant(2))
    shifted = graph.add("Add", scaled, graph.constant([1, 2, 3]))
    graph.output("y", shifted, ["batch", 3])
    seen = run(graph.model(), x=X)
    assert list(seen) == ["y"]
    np.testing.assert_array_equal(seen["y"], X * 2 + [1, 2, 3])


def test_inputs_outputs_and_versions_stand_in_the_model() -> None:
    graph = GraphBuilder("two")
    a, b = graph.input("a", ["batch", 3]), graph.input("b", ["batch", 3])
    graph.output("sum", graph.add("Add", a, b), ["batch", 3])
    graph.output("a_again", a, ["batch", 3])
    model = graph.model()
    assert model.ir_version == IR_VERSION and model.producer_name == "bonafide"
    assert {o.domain: o.version for o in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    assert [v.name for v in model.graph.input] == ["a", "b"]
    assert [v.name for v in model.graph.output] == ["sum", "a_again"]
    types = {v.type.tensor_type.elem_type for v in [*model.graph.input, *model.graph.output]}
    assert types == {TensorProto.FLOAT}
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert (dims[0].dim_param, dims[1].dim_value) == ("batch", 3)
    seen = run(model, a=X, b=2 * X)
    np.testing.assert_array_equal(seen["sum"], 3 * X)
    np.testing.assert_array_equal(seen["a_again"], X)


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_name_is_given_to_the_outside_once(name: str) -> None:
    graph = GraphBuilder("twice")
    x = graph.input("x", ["n", 3])
    graph.output("y", graph.add("Relu", x), ["n", 3])
    with pytest.raises(ValueError, match=f"{name}: an input or output has that name"):
        graph.output(name, graph.add("Abs", x), ["n", 3])


def test_constants_are_float32_and_integers_int64() -> None:
    graph = GraphBuilder("types")
    used = [graph.constant(np.float64(1.5)), graph.constant([1, 2])]
    used += [graph.integers([3, 4]), graph.integers(np.int32(5))]
    graph.constant(9.0)  # what nothing uses is left out
    value = graph.input("x", [2])
    for constant in used:
        value = graph.add("Add", value, graph.add("Cast", constant, to=onnx.TensorProto.FLOAT))
    graph.output("y", value, [2])
    first, second, third, fourth = map(numpy_helper.to_array, graph.model().graph.initializer)
    assert first.dtype == second.dtype == np.float32
    assert third.dtype == fourth.dtype == np.int64
    assert (first, fourth) == (1.5, 5)
    assert (second.tolist(), third.tolist()) == ([1, 2], [3, 4])


def test_a_constant_is_a_copy() -> None:
    graph, value = GraphBuilder("copy"), np.ones(3, dtype=np.float32)
    name = graph.constant(value)
    value[:] = 7
    graph.output("y", graph.add("Add", graph.input("x", ["n", 3]), name), ["n", 3])
    np.testing.assert_array_equal(run(graph.model(), x=X)["y"], X + 1)


def test_several_outputs_and_attributes() -> None:
    graph = GraphBuilder("split")
    x = graph.input("x", ["n", 3])
    left, right = graph.add_many("Split", 2, x, graph.integers([1, 2]), axis=1)
    turned = graph.add("Concat", right, left, axis=1)
    graph.output("y", turned, ["n", 3])
    np.testing.assert_array_equal(run(graph.model(), x=X)["y"], X[:, [1, 2, 0]])


def test_names_are_unique_and_carry_the_graphs_name() -> None:
    graph = GraphBuilder("mine")
    x = graph.input("x", ["n", 3])
    for _ in range(20):
        x = graph.add("Add", x, graph.constant(1))
    graph.output("y", x, ["n", 3])
    model = graph.model()
    nodes = [node.name for node in model.graph.node]
    values = [name for node in model.graph.node for name in node.output]
    values += [tensor.name for tensor in model.graph.initializer]
    assert len(set(nodes)) == len(nodes) and len(set(values)) == len(values)
    assert all(name.startswith("mine/") for name in nodes)
    assert all(name.startswith("mine/") for name in values if name != "y")


def test_a_node_of_another_domain() -> None:
    graph = GraphBuilder("ml")
    x = graph.input("x", ["n", 3])
    y = graph.add("Scaler", x, domain="ai.onnx.ml", offset=[1.0, 1.0, 1.0], scale=[2.0, 2.0, 2.0])
    graph.output("y", y, ["n", 3])
    np.testing.assert_array_equal(run(graph.model(), x=X)["y"], (X - 1) * 2)


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        ("NoSuchOperator", ["x"], "No Op registered for NoSuchOperator"),
        ("Add", ["x", "nowhere"], "nowhere"),
        ("Add", ["x"], "Add"),
        ("MatMul", ["x", "x"], "MatMul|[Ii]ncompatible|dimension"),
    ],
)
def test_the_model_is_checked(operator: str, inputs: list[str], message: str) -> None:
    graph = GraphBuilder("wrong")
    graph.input("x", [2, 3])
    graph.output("y", graph.add(operator, *inputs), [2, 3])
    with pytest.raises(
        (onnx.checker.ValidationError, onnx.shape_inference.InferenceError)
    ) as error:
        graph.model()
    assert error.match(message)


# --- inline ---------------------------------------------------------------------------------------


def test_two_copies_of_a_model_do_not_meet() -> None:
    graph = GraphBuilder("outer")
    x = graph.input("x", ["n", 3])
    first = graph.inline(scaler(2.0), {"x": x})
    second = graph.inline(scaler(5.0), {"x": first["y"]})
    third = graph.inline(scaler(2.0), {"x": x})
    graph.output("y", graph.add("Add", second["y"], third["y"]), ["n", 3])
    model = graph.model()
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    np.testing.assert_array_equal(run(model, x=X)["y"], X * 10 + X * 2)


def test_the_model_that_is_copied_stays_as_it_was() -> None:
    model = scaler(3.0)
    before = model.SerializeToString()
    graph = GraphBuilder("outer")
    graph.inline(model, {"x": graph.input("x", ["n", 3])})
    assert model.SerializeToString() == before


def test_outer_values_may_bear_the_inner_names() -> None:
    graph = GraphBuilder("outer")
    k, t = graph.input("k", ["n", 3]), graph.input("t", ["n", 3])
    inner = graph.inline(scaler(3.0), {"x": t})
    graph.output("y", graph.add("Sub", inner["y"], k), ["n", 3])
    np.testing.assert_array_equal(run(graph.model(), k=X, t=2 * X)["y"], 5 * X)


def test_every_output_is_given_by_its_name() -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["y"]),  # without names of their own
        helper.make_node("Abs", ["x"], ["z"]),
    ]
    graph = GraphBuilder("outer")
    inner = graph.inline(made(nodes, outputs=("y", "z")), {"x": graph.input("x", ["n", 3])})
    assert set(inner) == {"y", "z"}
    for name, value in inner.items():
        graph.output(f"{name}_out", value, ["n", 3])
    seen = run(graph.model(), x=X)
    np.testing.assert_array_equal(seen["y_out"], -X)
    np.testing.assert_array_equal(seen["z_out"], np.abs(X))


def test_left_out_inputs_stay_left_out() -> None:
    clip = made(
        [helper.make_node("Clip", ["x", "", "top"], ["y"])], constants={"top": np.float32(1)}
    )
    graph = GraphBuilder("outer")
    inner = graph.inline(clip, {"x": graph.input("x", ["n", 3])})
    graph.output("y", inner["y"], ["n", 3])
    np.testing.assert_array_equal(run(graph.model(), x=X)["y"], np.minimum(X, 1))


def test_an_older_opset_is_converted() -> None:
    """Up to opset 12 Unsqueeze and Squeeze take axes as an attribute, from 13 as an input."""
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["wide"], axes=[0]),
        helper.make_node("ReduceSum", ["wide"], ["sum"], axes=[2], keepdims=1),
        helper.make_node("Mul", ["wide", "sum"], ["product"]),
        helper.make_node("Squeeze", ["product"], ["y"], axes=[0]),
    ]
    graph = GraphBuilder("outer")
    inner = graph.inline(made(nodes, opset=12), {"x": graph.input("x", ["n", 3])})
    graph.output("y", inner["y"], ["n", 3])
    model = graph.model()
    assert {o.domain: o.version for o in model.opset_import}[""] == OPSET
    np.testing.assert_allclose(run(model, x=X)["y"], X * X.sum(axis=1, keepdims=True))


def test_conversion_keeps_what_an_operator_meant() -> None:
    """Before opset 13 Softmax flattened all axes from `axis` on."""
    nodes = [
        helper.make_node("Reshape", ["x", "cube"], ["cubes"]),
        helper.make_node("Softmax", ["cubes"], ["soft"], axis=1),
        helper.make_node("Reshape", ["soft", "flat"], ["y"]),
    ]
    shapes = {"cube": np.array([-1, 3, 1], np.int64), "flat": np.array([-1, 3], np.int64)}
    graph = GraphBuilder("outer")
    inner = graph.inline(made(nodes, 11, shapes), {"x": graph.input("x", ["n", 3])})
    graph.output("y", inner["y"], ["n", 3])
    wanted = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(graph.model(), x=X)["y"], wanted, rtol=1e-5)


def test_a_model_of_ml_operators_alone() -> None:
    node = helper.make_node("Normalizer", ["x"], ["y"], "normal", domain="ai.onnx.ml", norm="L1")
    ml = helper.make_model(
        helper.make_graph(
            [node],
            "ml",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))],
        ),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("ai.onnx.ml", 1)],
    )
    graph = GraphBuilder("outer")
    inner = graph.inline(ml, {"x": graph.input("x", ["n", 3])})
    graph.output("y", inner["y"], ["n", 3])
    wanted = X / np.abs(X).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run(graph.model(), x=X)["y"], wanted, rtol=1e-6)


def test_a_missing_input_is_told() -> None:
    graph = GraphBuilder("outer")
    graph.input("x", ["n", 3])
    inner = graph.inline(scaler(2.0), {"wrong": "x"})
    graph.output("y", inner["y"], ["n", 3])
    with pytest.raises(onnx.checker.ValidationError, match="inline_1/x"):
        graph.model()


def test_an_unknown_output_is_no_value() -> None:
    graph = GraphBuilder("outer")
    inner = graph.inline(scaler(2.0), {"x": graph.input("x", ["n", 3])})
    assert list(inner) == ["y"]


def test_names_and_order_given_by_a_converter_do_not_matter() -> None:
    """Converters name what they fold by addresses in memory: the bytes must not follow."""

    def outer(prefix: str, *, reverse: bool) -> bytes:
        names = [f"{prefix}{number}" for number in range(3)]
        constants = [
            numpy_helper.from_array(np.full(3, number, np.float32), f"{name}c")
            for number, name in enumerate(names)
        ]
        nodes = [helper.make_node("Add", ["x", f"{n}c"], [n], name=f"{n}n") for n in names]
        total = helper.make_node("Sum", names, ["z"], name=f"{prefix}sum")
        order = slice(None, None, -1 if reverse else 1)
        value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [3]) for n in ("x", "z")]
        inner = helper.make_model(
            helper.make_graph(
                [*nodes[order], total], "inner", value[:1], value[1:], constants[order]
            ),
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        graph = GraphBuilder("outer")
        x = graph.input("x", [3])
        graph.output("y", graph.inline(inner, {"x": x})["z"], [3])
        return bytes(graph.model().SerializeToString())

    assert outer("a", reverse=False) == outer("fold__7", reverse=True)
