"""A final layer over a detector, as graphs: the layer alone, and the detector with it."""

import math

import onnx

from bonafide.bundle import ADAPTER
from bonafide.export.meta import add_log_odds
from bonafide.features.graph import GraphBuilder
from bonafide.training.final_layer import FinalLayer


def adapter_graph(layer: FinalLayer) -> onnx.ModelProto:
    """Build a final layer: ``llr`` [batch] and ``models`` [batch, n_models] -> ``llr`` [batch].

    Parameters
    ----------
    layer : FinalLayer
        Its numbers.

    Returns
    -------
    onnx.ModelProto
        ``models`` is the p_spoof of each base model; one that is NaN, not asked, counts as nothing.
        The output is named ``adapted``, for a graph cannot have an output of an input's name.
    """
    graph = GraphBuilder(ADAPTER)
    llr = graph.input("llr", ["batch"])
    models = graph.input("models", ["batch", len(layer.weights)])
    nothing = graph.add("IsNaN", models)
    known = graph.add("Where", nothing, graph.constant(0.5), models)
    centred = graph.add("Sub", add_log_odds(graph, known), graph.constant(layer.centre))
    heard = graph.add("Where", nothing, graph.constant(0.0), centred)
    moved = graph.add("MatMul", heard, graph.constant(layer.weights))
    line = graph.add("Mul", llr, graph.constant(layer.slope))
    total = graph.add("Add", graph.add("Add", line, moved), graph.constant(layer.offset))
    graph.output("adapted", total, ["batch"])
    return graph.model()


def adapted_graph(
    detector: onnx.ModelProto, adapter: onnx.ModelProto, prior_spoof: float
) -> onnx.ModelProto:
    """Put a final layer over a detector.

    Parameters
    ----------
    detector : onnx.ModelProto
        From ``waveform`` to ``llr``, ``p_spoof``, ``models`` and others.
    adapter : onnx.ModelProto
        As `adapter_graph` builds it.
    prior_spoof : float
        Prior of `p_spoof`, between 0 and 1.

    Returns
    -------
    onnx.ModelProto
        ``llr`` and ``p_spoof`` by the final layer, every other output as it was.
    """
    graph = GraphBuilder("detector")
    (sound,) = detector.graph.input
    found = graph.inline(detector, {"waveform": graph.input(sound.name, _shape(sound))})
    scores = {name: found[name] for name in ("llr", "models")}
    found["llr"] = graph.inline(adapter, scores)["adapted"]
    prior = graph.constant(math.log(prior_spoof / (1 - prior_spoof)))
    found["p_spoof"] = graph.add("Sigmoid", graph.add("Sub", prior, found["llr"]))  # Bayes
    for value in detector.graph.output:
        graph.output(value.name, found[value.name], _shape(value))
    return graph.model()


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
