"""A few lines over onnx.helper, so that graphs read like formulas. Needs onnx (extra ``train``)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx.compose
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8

Shape = Sequence[int | str]


class GraphBuilder:
    """Builds an ONNX graph; nodes and constants get running names.

    Parameters
    ----------
    name : str
        Name of the graph, and prefix of everything in it.

    Examples
    --------
    >>> graph = GraphBuilder("double")
    >>> x = graph.input("x", ["batch", 3])
    >>> graph.output("y", graph.add("Add", x, x), ["batch", 3])
    >>> [node.op_type for node in graph.model().graph.node]
    ['Add', 'Identity']
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{self.name}/{kind}_{self._count}"

    def input(self, name: str, shape: Shape) -> str:
        """Declare a float32 input.

        Parameters
        ----------
        name : str
            What the caller of the graph names it.
        shape : sequence of int or str
            A string names a free size, such as ``"batch"``.

        Returns
        -------
        str
            The same name, as a value to compute with.
        """
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, name: str, value: str, shape: Shape) -> None:
        """Declare a float32 output.

        Parameters
        ----------
        name : str
            What the caller of the graph names it.
        value : str
            The value that it returns.
        shape : sequence of int or str
            As in `input`.

        Raises
        ------
        ValueError
            If an input or output has that name.
        """
        if name in (known.name for known in (*self._inputs, *self._outputs)):
            raise ValueError(f"{name}: an input or output has that name")
        self._nodes.append(helper.make_node("Identity", [value], [name], self._fresh("Identity")))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def _initializer(self, value: ArrayLike, dtype: type[np.generic]) -> str:
        name = self._fresh("constant")
        self._constants.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
        return name

    def constant(self, value: ArrayLike) -> str:
        """Add a float32 constant.

        Parameters
        ----------
        value : array_like
            Copied into the graph.

        Returns
        -------
        str
            Its name.
        """
        return self._initializer(value, np.float32)

    def integers(self, value: ArrayLike) -> str:
        """Add an int64 constant, such as a shape, axes or indices.

        Parameters
        ----------
        value : array_like
            Copied into the graph.

        Returns
        -------
        str
            Its name.
        """
        return self._initializer(value, np.int64)

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output.

        Parameters
        ----------
        operator : str
            Its name in ONNX, such as ``MatMul``.
        *inputs : str
            Values; empty for an optional one that is left out.
        domain : str
            Empty for the standard operators, ``ai.onnx.ml`` for those of trees.
        **attributes
            Those of the operator.

        Returns
        -------
        str
            The output's name.
        """
        return self.add_many(operator, 1, *inputs, domain=domain, **attributes)[0]

    def add_many(
        self, operator: str, n_outputs: int, *inputs: str, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs.

        Parameters
        ----------
        operator : str
            As in `add`.
        n_outputs : int
            At least 1.
        *inputs : str
            As in `add`.
        domain : str
            As in `add`.
        **attributes
            As in `add`.

        Returns
        -------
        list of str
            The outputs' names.
        """
        names = [self._fresh(operator) for _ in range(n_outputs)]
        node = helper.make_node(operator, inputs, names, names[0], domain=domain, **attributes)
        self._nodes.append(node)
        return names

    def inline(self, model: onnx.ModelProto, inputs: Mapping[str, str]) -> dict[str, str]:
        """Copy another model's nodes into this graph.

        Parameters
        ----------
        model : onnx.ModelProto
            Its opsets must not be newer than this module's; older ones are converted first.
        inputs : mapping of str to str
            Input name of `model` -> value in this graph.

        Returns
        -------
        dict of str to str
            Output name of `model` -> value in this graph.
        """
        versions = (o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        version = next(versions, OPSET)  # a model of ai.onnx.ml nodes alone names no other
        if version != OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
        prefix = f"{self._fresh('inline')}/"
        # An input that is not given gets the prefix too, lest it pick up an outer value.
        names = {value.name: f"{prefix}{value.name}" for value in model.graph.input} | {**inputs}
        # onnx.compose renames subgraphs too; its merge_graphs would need two finished graphs.
        part = onnx.compose.add_prefix_graph(
            model.graph, prefix, rename_inputs=False, name_map=names
        )
        self._constants += part.initializer
        self._nodes += part.node
        return {value.name: names[value.name] for value in model.graph.output}

    def model(self) -> onnx.ModelProto:
        """Return the graph as a model, checked.

        Returns
        -------
        onnx.ModelProto
            In a canonical form: the same graph has the same bytes.

        Raises
        ------
        onnx.checker.ValidationError
            If it is not valid: an operator that does not exist, a value that no node computes.
        onnx.shape_inference.InferenceError
            If the shapes do not fit.
        """
        nodes, constants = self._in_canonical_form()
        graph = helper.make_graph(nodes, self.name, self._inputs, self._outputs, constants)
        model = helper.make_model(
            graph,
            producer_name="bonafide",
            ir_version=IR_VERSION,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", ML_OPSET),
            ],
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _in_canonical_form(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Return nodes and constants, ordered and named by where the outputs reach them first."""
        # Converters name and order what they fold by memory addresses, which differ between runs.
        made_by = {name: node for node in self._nodes for name in node.output}
        constants = {tensor.name: tensor for tensor in self._constants}
        names = {value.name: value.name for value in (*self._inputs, *self._outputs)}
        nodes: list[onnx.NodeProto] = []
        used: list[onnx.TensorProto] = []
        for name in self._values_in_order(made_by):
            if name in constants:
                names[name] = f"{self.name}/constant_{len(used)}"
                used.append(constants[name])
            elif node := made_by.get(name):
                for number, output in enumerate(node.output):
                    names.setdefault(output, f"{self.name}/{node.op_type}_{len(nodes)}_{number}")
                nodes.append(node)
        return (
            [
                _renamed(node, f"{self.name}/{node.op_type}_{number}", names)
                for number, node in enumerate(nodes)
            ],
            [_named(tensor, names[tensor.name]) for tensor in used],
        )

    def _values_in_order(self, made_by: Mapping[str, onnx.NodeProto]) -> Iterator[str]:
        """Yield one value of each node, constant and input in use, after what it depends on."""
        pending = [value.name for value in reversed(self._outputs)]
        done: set[str] = set()
        while pending:  # depth first, without recursion: graphs are deep
            name = pending[-1]
            node = made_by.get(name)
            waiting = [n for n in reversed(node.input) if n and n not in done] if node else []
            if waiting and name not in done:
                pending += waiting
                continue
            pending.pop()
            if name not in done:
                done.update(node.output if node else [name])
                yield name


def _renamed(node: onnx.NodeProto, name: str, names: dict[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(value, value) for value in node.input]  # others fail the check
    copy.output[:] = [names.get(value, value) for value in node.output]
    copy.name = name
    copy.ClearField("doc_string")
    return copy


def _named(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    copy.ClearField("doc_string")
    return copy
