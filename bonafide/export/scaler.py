"""Conversion of the scaler to ONNX."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import FeatureSpec
from bonafide.models.examples import Standard


def add_standard(graph: GraphBuilder, value: str, standard: Standard) -> str:
    """Add `Standard.__call__` to a graph.

    Division stays division, so that the graph equals its source to the last bit.

    Parameters
    ----------
    graph : GraphBuilder
        The graph to add to.
    value : str
        Name of the features in it, [..., d].
    standard : Standard
        Of d features.

    Returns
    -------
    str
        Name of the result, [..., d].
    """
    centred = graph.add("Sub", value, graph.constant(standard.mean))
    scaled = add_limits(graph, graph.add("Div", centred, graph.constant(standard.scale)), standard)
    if standard.gain is None:
        return scaled
    return graph.add("Mul", scaled, graph.constant(standard.gain))


def add_limits(graph: GraphBuilder, scaled: str, standard: Standard) -> str:
    """Add the clipping of standardised values to the limit, if there is one."""
    if np.isinf(standard.limit):
        return scaled
    limits = (graph.constant(-standard.limit), graph.constant(standard.limit))
    return graph.add("Clip", scaled, *limits)


def read_standards(scaler: onnx.ModelProto) -> dict[str, Standard]:
    """Return the standards that `scaler_graph` made a graph of.

    Parameters
    ----------
    scaler : onnx.ModelProto
        A bundle's ``scaler.onnx``.

    Returns
    -------
    dict of str to Standard
        By view and vector.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in scaler.graph.initializer}
    after = {node.input[0]: node for node in scaler.graph.node}
    standards = {}
    for value in scaler.graph.input:
        steps, name = dict[str, NDArray[np.float32]](), value.name
        while (node := after[name]).op_type != "Identity":
            steps[node.op_type], name = constants[node.input[-1]], node.output[0]
        limit = float(steps.get("Clip", np.inf))
        standards[value.name] = Standard(steps["Sub"], steps["Div"], limit, steps.get("Mul"))
    return standards


def scaler_graph(spec: FeatureSpec, standards: Mapping[str, Standard]) -> onnx.ModelProto:
    """Build the scaler of every view and vector: ``<name>`` -> ``scaled_<name>``."""
    graph = GraphBuilder("scaler")
    shapes: dict[str, list[int | str]] = {
        name: ["batch", spec.n_frames(view), view.n_features] for name, view in spec.views.items()
    }
    shapes |= {name: ["batch", size] for name, size in spec.vectors.items()}
    for name, shape in shapes.items():
        scaled = add_standard(graph, graph.input(name, shape), standards[name])
        graph.output(f"scaled_{name}", scaled, shape)
    return graph.model()
