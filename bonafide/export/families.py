"""Conversion of the families of generators to ONNX."""

import onnx

from bonafide.explanation.families import FAMILY
from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import STATISTICS
from bonafide.training.families import Families


def families_graph(families: Families) -> onnx.ModelProto:
    """Build the graph that tells families apart.

    Parameters
    ----------
    families : Families
        Its numbers.

    Returns
    -------
    onnx.ModelProto
        Standardised vectors, side by side and called ``statistics`` as for base models,
        [batch, n_numbers] -> ``family`` [batch, n_families], posteriors.
    """
    graph = GraphBuilder("families")
    n_numbers, n_families = families.weights.shape
    statistics = graph.input(STATISTICS, ["batch", n_numbers])
    parts = (graph.constant(families.weights), graph.constant(families.bias))
    posterior = graph.add("Softmax", graph.add("Gemm", statistics, *parts), axis=1)
    graph.output(FAMILY, posterior, ["batch", n_families])
    return graph.model()
