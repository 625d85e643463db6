"""Bundles of untrained models: every part real but its weights.

TensorFlow is imported by who calls, not by who collects the tests.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import xgboost

from bonafide.bundle import Bundle, write_bundle
from bonafide.export.candidate import fuse
from bonafide.export.meta import meta_logistic_graph, meta_trees_graph
from bonafide.export.scaler import scaler_graph
from bonafide.features.frontend import build_frontend
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.models import BUILT_IN, family
from bonafide.models.config import FitConfig
from bonafide.models.examples import Standard
from bonafide.runtime import Graph
from bonafide.simulation.voices import Voice, speak
from bonafide.training.scaling import STATISTICS_LIMIT, feature_weights_of
from bonafide.training.stacking import Linear

VIEWS = {"cnn": "lfcc_high", "rnn": "lfcc_top", "bilstm": "mfcc", "gru": "lfcc"}


def sounds(n: int, n_samples: int) -> np.ndarray:
    """Speech-like sounds of several levels, (n, n_samples)."""
    rng = np.random.default_rng(5)
    voices = [speak(rng, Voice.draw(rng), n_samples) for _ in range(n)]
    gains = 10 ** rng.uniform(-2, 0, n)
    return np.stack([g * v / np.abs(v).max() for g, v in zip(gains, voices, strict=True)]).astype(
        np.float32
    )


def _shaken(model: Any, rng: np.random.Generator) -> Any:
    """Move batch normalisation off its start, where a forgotten part of it would not show."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gain, shift, mean, variance = (rng.uniform(0.3, 1.7, w.shape) for w in layer.weights)
            layer.set_weights([gain, shift - 1, mean - 1, variance])
    return model


def _booster(x: np.ndarray, rng: np.random.Generator, rounds: int) -> xgboost.Booster:
    settings = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "nthread": 1}
    labels = rng.integers(0, 2, len(x))
    return xgboost.train(settings, xgboost.DMatrix(x, labels), rounds)


def untrained_bundle(
    folder: Path, *, width: int = 8, spec: FeatureSpec | None = None, **entries: Any
) -> Bundle:
    """Export random networks, trees fitted to noise and a made-up stack; `entries` replace ours."""
    import keras

    from bonafide.models.networks import build_network
    from bonafide.models.networks_onnx import convert_network

    folder.mkdir(parents=True)
    keras.utils.set_random_seed(1)
    rng, spec = np.random.default_rng(1), spec or FeatureSpec()
    onnx.save(build_frontend(spec), folder / "frontend.onnx")
    features = Graph(folder / "frontend.onnx")({"waveform": sounds(12, spec.window_samples)})
    statistics = features.pop(STATISTICS)
    scaler = {name: Standard(v.mean((0, 1)), v.std((0, 1))) for name, v in features.items()}
    gain = feature_weights_of(spec, FitConfig().feature_weights)
    scaler[STATISTICS] = Standard(statistics.mean(0), statistics.std(0), STATISTICS_LIMIT, gain)
    onnx.save(scaler_graph(spec, scaler), folder / "scaler.onnx")
    manifest = {
        "name": "untrained",
        "version": "0",
        "feature_spec": spec.to_json(),
        "models": list(BUILT_IN),
        "labels": {name: family(name).label for name in BUILT_IN},
        "views": VIEWS,
        "prior_spoof": 0.3,
        "thresholds": {"bonafide_to": 0.26, "spoof_from": 0.35},
        "choice": "xgboost",
        "calibration": {"slope": 0.8, "intercept": 0.1},
        **entries,
    }
    for name, heard in manifest["views"].items():
        sizes = {"width": width, "statistics_width": width}
        chosen = family(name)
        config = chosen.Config().model_copy(update=sizes)
        view = spec.views[heard]
        numbers = (view.n_features, spec.n_statistics, spec.n_frames(view))
        network = build_network(name, chosen.recurrence, config, *numbers)
        graph = convert_network(_shaken(network, rng), chosen.recurrence)
        onnx.save(graph, folder / f"{name}.onnx")
    _save_tables(folder, scaler[STATISTICS](statistics), rng)
    fuse(folder, spec, scaler, manifest)
    return write_bundle(folder, manifest)


def _save_tables(folder: Path, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Save trees and stack; `rows` are standardised statistics."""
    noisy = np.repeat(rows, 20, axis=0) + rng.normal(0, 0.1, (20 * len(rows), rows.shape[1]))
    trees = family("xgboost")(family("xgboost").Config(), FitConfig(), 0)
    trees.model_ = _booster(noisy, rng, 20)
    scores = rng.uniform(0.2, 0.8, (200, len(BUILT_IN)))
    graphs = {
        "xgboost": trees.to_onnx({STATISTICS: noisy}),
        "meta_xgboost": meta_trees_graph(_booster(scores, rng, 10)),
        "meta_logistic": meta_logistic_graph(Linear((2.0, 1.0, -1.0, 1.5, 0.7), 0.2)),
    }
    for name, graph in graphs.items():
        onnx.save(graph, folder / f"{name}.onnx")
