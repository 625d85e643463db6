"""Conversion of the router to ONNX."""

import onnx

from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import STATISTICS
from bonafide.training.routing import Router


def router_graph(router: Router) -> onnx.ModelProto:
    """Build the router.

    Parameters
    ----------
    router : Router
        Its numbers.

    Returns
    -------
    onnx.ModelProto
        Standardised ``statistics`` [batch, n_statistics] -> ``channel`` [batch, n_channels],
        posteriors, and ``distance`` [batch].
    """
    graph = GraphBuilder("router")
    n_statistics, n_channels = router.weights.shape
    statistics = graph.input(STATISTICS, ["batch", n_statistics])
    parts = (graph.constant(router.weights), graph.constant(router.bias))
    posterior = graph.add("Softmax", graph.add("Gemm", statistics, *parts), axis=1)
    parts = (graph.constant(router.directions), graph.constant(-router.centre))
    along = graph.add("Gemm", statistics, *parts)
    distance = graph.add("ReduceMean", graph.add("Mul", along, along), axes=[1], keepdims=0)
    graph.output("channel", posterior, ["batch", n_channels])
    graph.output("distance", distance, ["batch"])
    return graph.model()
