"""Scaler, trees and meta-models to ONNX: skl2onnx, onnxmltools and a few nodes around them."""

from collections.abc import Mapping

import numpy as np
import onnx
import xgboost
from onnxmltools.convert import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType as SklearnFloatTensorType
from sklearn.linear_model import LogisticRegression

from bonafide.features.graph import ML_OPSET, OPSET, GraphBuilder
from bonafide.features.spec import BASE_MODELS, STATISTICS, FeatureSpec
from bonafide.training.sampling import Standard
from bonafide.training.stacking import CLIP, Linear

ONNXMLTOOLS_OPSET = 15  # the newest it writes; the nodes mean the same in 17


def add_standard(graph: GraphBuilder, value: str, standard: Standard) -> str:
    """Add `Standard.__call__`, of features [..., d].

    Division is kept a division, so that the graph equals its source to the last bit.
    """
    centred = graph.add("Sub", value, graph.constant(standard.mean))
    scaled = add_limits(graph, graph.add("Div", centred, graph.constant(standard.scale)), standard)
    if standard.gain is None:
        return scaled
    return graph.add("Mul", scaled, graph.constant(standard.gain))


def add_limits(graph: GraphBuilder, scaled: str, standard: Standard) -> str:
    """Keep standardised values within the limit, if there is one."""
    if np.isinf(standard.limit):
        return scaled
    limits = (graph.constant(-standard.limit), graph.constant(standard.limit))
    return graph.add("Clip", scaled, *limits)


def scaler_graph(spec: FeatureSpec, standards: Mapping[str, Standard]) -> onnx.ModelProto:
    """Standardise every view and the statistics: input ``<name>``, output ``scaled_<name>``."""
    graph = GraphBuilder("scaler")
    shapes: dict[str, list[int | str]] = {
        name: ["batch", spec.n_frames(view), view.n_features] for name, view in spec.views.items()
    }
    shapes[STATISTICS] = ["batch", spec.n_statistics]
    for name, shape in shapes.items():
        scaled = add_standard(graph, graph.input(name, shape), standards[name])
        graph.output(f"scaled_{name}", scaled, shape)
    return graph.model()


def _trees(graph: GraphBuilder, booster: xgboost.Booster, x: str, n_inputs: int) -> str:
    """Add a booster: [batch, n_inputs] -> p_spoof [batch]."""
    booster.feature_names = [f"f{number}" for number in range(n_inputs)]
    part = convert_xgboost(
        booster,
        initial_types=[("x", FloatTensorType([None, n_inputs]))],
        target_opset=ONNXMLTOOLS_OPSET,
    )
    outputs = graph.inline(part, {"x": x})
    return _second_column(graph, outputs["probabilities"])


def _second_column(graph: GraphBuilder, probabilities: str) -> str:
    """Take the spoof column: [batch, 2] -> [batch]."""
    return graph.add("Gather", probabilities, graph.integers(1), axis=1)


def trees_graph(booster: xgboost.Booster) -> onnx.ModelProto:
    """Build the trees: ``statistics`` [batch, n_statistics] -> ``p_spoof`` [batch]."""
    graph = GraphBuilder("xgboost")
    n_statistics = booster.num_features()
    statistics = graph.input(STATISTICS, ["batch", n_statistics])
    graph.output("p_spoof", _trees(graph, booster, statistics, n_statistics), ["batch"])
    return graph.model()


def meta_trees_graph(booster: xgboost.Booster) -> onnx.ModelProto:
    """Build the XGBoost meta-model: ``models`` [batch, 5] -> ``p_spoof`` [batch]."""
    graph = GraphBuilder("meta_xgboost")
    models = graph.input("models", ["batch", len(BASE_MODELS)])
    graph.output("p_spoof", _trees(graph, booster, models, len(BASE_MODELS)), ["batch"])
    return graph.model()


def add_log_odds(graph: GraphBuilder, p: str) -> str:
    """Add `bonafide.training.stacking.log_odds`, element by element."""
    clipped = graph.add("Clip", p, graph.constant(CLIP), graph.constant(1 - CLIP))
    odds = graph.add("Div", clipped, graph.add("Sub", graph.constant(1.0), clipped))
    return graph.add("Log", odds)


def meta_logistic_graph(linear: Linear) -> onnx.ModelProto:
    """Build the logistic meta-model on log odds: ``models`` [batch, 5] -> ``p_spoof`` [batch]."""
    graph = GraphBuilder("meta_logistic")
    models = graph.input("models", ["batch", len(BASE_MODELS)])
    part = to_onnx(
        _as_sklearn(linear),
        initial_types=[("x", SklearnFloatTensorType([None, len(BASE_MODELS)]))],
        options={"zipmap": False},
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
    )
    outputs = graph.inline(part, {"x": add_log_odds(graph, models)})
    graph.output("p_spoof", _second_column(graph, outputs["probabilities"]), ["batch"])
    return graph.model()


def _as_sklearn(linear: Linear) -> LogisticRegression:
    model = LogisticRegression()
    model.classes_ = np.array([0, 1])
    model.coef_ = np.array([linear.coefficients])
    model.intercept_ = np.array([linear.intercept])
    model.n_features_in_ = len(linear.coefficients)
    return model
