"""The whole detector as one graph: a waveform in, scores out."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from bonafide.bundle import META_MODELS
from bonafide.export.meta import add_log_odds
from bonafide.export.scaler import add_limits, add_standard
from bonafide.features.frontend import add_features
from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.models.examples import Standard
from bonafide.training.stacking import Calibration

Graphs = Mapping[str, onnx.ModelProto]


def detector_graph(
    spec: FeatureSpec,
    standards: Mapping[str, Standard],
    models: Sequence[str],
    graphs: Graphs,
    views: Mapping[str, str],
    *,
    choice: str,
    calibration: Calibration,
    prior_spoof: float,
) -> onnx.ModelProto:
    """Fuse front end, scaler, base models, meta-models and calibration.

    Parameters
    ----------
    spec : FeatureSpec
        The front end.
    standards : mapping of str to Standard
        The scaler, by view, and of the statistics.
    models : sequence of str
        Names of the base models, in the order of the output ``models``.
    graphs : mapping of str to onnx.ModelProto
        The exported base models (from ``statistics``, and for some ``frames``, to ``p_spoof``) and
        meta-models, ``meta_<name>`` (from ``models`` to ``p_spoof``).
    views : mapping of str to str
        The view of each base model that takes one; views that none takes are not computed.
    choice : {"logistic", "xgboost"}
        The meta-model that decides.
    calibration : Calibration
        Of the meta-model that decides.
    prior_spoof : float
        Prior of `p_spoof`, between 0 and 1.

    Returns
    -------
    onnx.ModelProto
        Input ``waveform``, float32 [batch, window_samples], 16 kHz, at any level. Outputs, float32:
        ``llr`` [batch]; ``p_spoof`` [batch]; ``models`` [batch, n_models], p_spoof of each;
        ``stack`` [batch, 2], in the order of `META_MODELS`.
    """
    graph = GraphBuilder("detector")
    waveform = graph.input("waveform", ["batch", spec.window_samples])
    features, statistics = add_features(graph, spec, waveform, dict.fromkeys(views.values()))
    frames = {
        name: _scaled_frames(graph, value, standards[name]) for name, value in features.items()
    }
    known = add_standard(graph, statistics, standards[STATISTICS])
    scores = []
    for name in models:
        heard = {"frames": frames[views[name]]} if name in views else {}
        scores.append(graph.inline(graphs[name], {**heard, STATISTICS: known})["p_spoof"])
    base = _side_by_side(graph, scores)
    stacked = [
        graph.inline(graphs[f"meta_{name}"], {"models": base})["p_spoof"] for name in META_MODELS
    ]
    llr = _calibrated(graph, stacked[META_MODELS.index(choice)], calibration)
    prior = graph.constant(math.log(prior_spoof / (1 - prior_spoof)))
    p_spoof = graph.add("Sigmoid", graph.add("Sub", prior, llr))  # Bayes
    graph.output("llr", llr, ["batch"])
    graph.output("p_spoof", p_spoof, ["batch"])
    graph.output("models", base, ["batch", len(models)])
    graph.output("stack", _side_by_side(graph, stacked), ["batch", len(META_MODELS)])
    return graph.model()


def _scaled_frames(graph: GraphBuilder, features: str, standard: Standard) -> str:
    """Standardise a view in one pass and put time first: [batch, d, t] -> [batch, t, d]."""
    # The networks put time last again; onnxruntime drops both transpositions.
    one, nothing = np.ones_like(standard.mean), np.zeros_like(standard.mean)
    parts = (one, nothing, standard.mean, np.square(standard.scale))
    scaled = graph.add("BatchNormalization", features, *map(graph.constant, parts), epsilon=0.0)
    return graph.add("Transpose", add_limits(graph, scaled, standard), perm=[0, 2, 1])


def _side_by_side(graph: GraphBuilder, scores: list[str]) -> str:
    """Add the joining of scores as columns: n times [batch] -> [batch, n]."""
    rows = graph.add(
        "Reshape", graph.add("Concat", *scores, axis=0), graph.integers([len(scores), -1])
    )
    return graph.add("Transpose", rows, perm=[1, 0])


def _calibrated(graph: GraphBuilder, p_spoof: str, calibration: Calibration) -> str:
    """Add `Calibration.llr`: [batch] -> [batch]."""
    log_odds = add_log_odds(graph, p_spoof)
    line = graph.add("Mul", log_odds, graph.constant(-calibration.slope))
    return graph.add("Sub", line, graph.constant(calibration.intercept))
