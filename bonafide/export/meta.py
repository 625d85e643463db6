"""Conversion of the meta-models to ONNX: skl2onnx, onnxmltools and a few nodes around them."""

import numpy as np
import onnx
import xgboost
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression

from bonafide.features.graph import ML_OPSET, OPSET, GraphBuilder
from bonafide.judging import CLIP
from bonafide.models.xgboost import add_trees
from bonafide.training.stacking import Linear


def meta_trees_graph(booster: xgboost.Booster, n_models: int) -> onnx.ModelProto:
    """Build the XGBoost meta-model.

    Parameters
    ----------
    booster : Booster
        On the base models' p_spoof and the channels' posteriors.
    n_models : int
        Number of base models.

    Returns
    -------
    onnx.ModelProto
        ``models`` [batch, n_models] and ``channel`` [batch, n_channels] -> ``p_spoof`` [batch].
    """
    graph = GraphBuilder("meta_xgboost")
    models = graph.input("models", ["batch", n_models])
    channel = graph.input("channel", ["batch", booster.num_features() - n_models])
    both = graph.add("Concat", models, channel, axis=1)
    graph.output("p_spoof", add_trees(graph, booster, both), ["batch"])
    return graph.model()


def add_log_odds(graph: GraphBuilder, p: str) -> str:
    """Add `bonafide.judging.log_odds`, element by element."""
    clipped = graph.add("Clip", p, graph.constant(CLIP), graph.constant(1 - CLIP))
    odds = graph.add("Div", clipped, graph.add("Sub", graph.constant(1.0), clipped))
    return graph.add("Log", odds)


def meta_logistic_graph(linear: Linear, n_models: int) -> onnx.ModelProto:
    """Build the logistic meta-model on `bonafide.training.stacking.meta_inputs`.

    Parameters
    ----------
    linear : Linear
        Its coefficients.
    n_models : int
        Number of base models.

    Returns
    -------
    onnx.ModelProto
        ``models`` [batch, n_models] and ``channel`` [batch, n_channels] -> ``p_spoof`` [batch].
    """
    graph = GraphBuilder("meta_logistic")
    n_inputs = len(linear.coefficients)
    n_channels = n_inputs // (1 + n_models)
    models = graph.input("models", ["batch", n_models])
    channel = graph.input("channel", ["batch", n_channels])
    part = to_onnx(
        _as_sklearn(linear),
        initial_types=[("x", FloatTensorType([None, n_inputs]))],
        options={"zipmap": False},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    odds = graph.add("Unsqueeze", add_log_odds(graph, models), graph.integers([1]))
    odds = graph.add("Mul", odds, graph.add("Unsqueeze", channel, graph.integers([2])))
    odds = graph.add("Reshape", odds, graph.integers([-1, n_channels * n_models]))
    outputs = graph.inline(part, {"x": graph.add("Concat", channel, odds, axis=1)})
    spoof = graph.add("Gather", outputs["probabilities"], graph.integers(1), axis=1)
    graph.output("p_spoof", spoof, ["batch"])
    return graph.model()


def _as_sklearn(linear: Linear) -> LogisticRegression:
    model = LogisticRegression()
    model.classes_ = np.array([0, 1])
    model.coef_ = np.array([linear.coefficients])
    model.intercept_ = np.array([linear.intercept])
    model.n_features_in_ = len(linear.coefficients)
    return model
