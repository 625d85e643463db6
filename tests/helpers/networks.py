"""Bundles of untrained models: every part real but its weights.

TensorFlow is imported by who calls, not by who collects the tests.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import xgboost

from bonafide.bundle import Bundle, write_bundle
from bonafide.channel import CLEAN
from bonafide.export.candidate import fuse
from bonafide.export.meta import meta_logistic_graph, meta_trees_graph
from bonafide.export.router import router_graph
from bonafide.export.scaler import scaler_graph
from bonafide.features.frontend import build_frontend
from bonafide.features.pooling import build_encoder
from bonafide.features.spec import ENCODER, NARROW, STATISTICS, FeatureSpec
from bonafide.models import family, family_of
from bonafide.models.config import FitConfig
from bonafide.models.examples import Standard
from bonafide.runtime import Graph
from bonafide.simulation.voices import Voice, speak
from bonafide.training.routing import Router
from bonafide.training.scaling import STATISTICS_LIMIT, feature_weights_of
from bonafide.training.stacking import FIRST, Linear
from tests.helpers.encoders import tiny_encoder

VIEWS = {"cnn": "lfcc_high", "rnn": "lfcc_top", "bilstm": "mfcc", "gru": "lfcc"}
CLEAN_MODELS = (*VIEWS, "xgboost", "robust")  # those of a single stage, or of the first of two
DENSE = {"robust": (STATISTICS, NARROW), "speech": (ENCODER,)}
CHANNELS = (CLEAN, "telephone", "codec")


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
    folder: Path,
    *,
    width: int = 8,
    spec: FeatureSpec | None = None,
    second_stage: bool = False,
    **entries: Any,
) -> Bundle:
    """Export random networks, trees fitted to noise and made-up stacks; `entries` replace ours.

    A second stage adds a base model that hears an encoder.
    """
    import keras

    folder.mkdir(parents=True)
    keras.utils.set_random_seed(1)
    rng, spec = np.random.default_rng(1), spec or FeatureSpec()
    if second_stage:
        spec = replace(spec, encoder=tiny_encoder(folder / "encoder.onnx"))
    features = _features(folder, spec)
    scaler = _scaler(spec, features)
    onnx.save(scaler_graph(spec, scaler), folder / "scaler.onnx")
    scaled = {name: scaler[name](features[name]) for name in spec.vectors}
    onnx.save(router_graph(_router(scaled[STATISTICS], rng)), folder / "router.onnx")
    manifest = _manifest(spec, entries)
    for name in manifest["models"]:
        if name != "xgboost":
            _save_network(folder, name, spec, manifest, width, rng)
    _save_trees(folder, scaled[STATISTICS], rng)
    for stage in manifest["stages"]:
        _save_stack(folder, stage["prefix"], len(stage["models"]), rng)
    fuse(folder, spec, scaler, manifest)
    return write_bundle(folder, manifest)


def _features(folder: Path, spec: FeatureSpec) -> dict[str, np.ndarray]:
    waveforms = {"waveform": sounds(12, spec.window_samples)}
    onnx.save(build_frontend(spec), folder / "frontend.onnx")
    features = Graph(folder / "frontend.onnx")(waveforms)
    if spec.encoder:
        model = onnx.load(folder / "encoder.onnx")
        pooled = build_encoder(model, spec.encoder, spec.window_samples, spec.rms_floor)
        features |= Graph(pooled.SerializeToString())(waveforms)
    return features


def _scaler(spec: FeatureSpec, features: dict[str, np.ndarray]) -> dict[str, Standard]:
    scaler = {name: Standard(v.mean((0, 1)), v.std((0, 1))) for name, v in features.items()
              if name in spec.views}  # fmt: skip
    for name in spec.vectors:
        gain = feature_weights_of(spec, FitConfig().feature_weights, (name,))
        mean, scale = features[name].mean(0), features[name].std(0)
        known = None if name == ENCODER else gain
        scaler[name] = Standard(mean, np.maximum(scale, 1e-6), STATISTICS_LIMIT, known)
    return scaler


def _router(x: np.ndarray, rng: np.random.Generator) -> Router:
    """Return a router that finds each channel in some of these rows."""
    n_statistics, nothing = x.shape[1], np.zeros(0, np.float32)
    weights = rng.normal(0, 3 / n_statistics**0.5, (n_statistics, len(CHANNELS)))
    weights[:, 1:] -= weights[:, 1:].mean(axis=1, keepdims=True)
    directions = rng.normal(0, 1 / n_statistics**0.5, (n_statistics, 8))
    arrays = (weights, -(x @ weights).mean(0), directions, (x @ directions).mean(0))
    numbers = [np.asarray(array, np.float32) for array in arrays]
    return Router(CHANNELS, *numbers, nothing, nothing, nothing)


def _manifest(spec: FeatureSpec, entries: dict[str, Any]) -> dict[str, Any]:
    models = (*CLEAN_MODELS, *(("speech",) if spec.encoder else ()))
    manifest = {
        "name": "untrained",
        "version": "0",
        "feature_spec": spec.to_json(),
        "models": list(models),
        "labels": {name: family("dense" if name in DENSE else name).label for name in models},
        "views": VIEWS,
        "hears": {name: list(DENSE.get(name, (STATISTICS,))) for name in models},
        "channels": [{"name": name, "label": f"sound of {name}"} for name in CHANNELS],
        "prior_spoof": 0.3,
        "thresholds": {"bonafide_to": 0.26, "spoof_from": 0.35},
        "choice": "xgboost",
        "calibration": {"slope": 0.8, "intercept": 0.1},
        **({"route": {"doubt_llr": 0.0, "clean_from": 0.5}} if spec.encoder else {}),
        **entries,
    }
    last = {key: manifest[key] for key in ("models", "choice", "calibration")}
    stages = [{"prefix": "", **last}]
    if spec.encoder:
        first = {"choice": "logistic", "calibration": {"slope": 1.1, "intercept": -0.2}}
        stages.insert(0, {"prefix": FIRST, "models": list(CLEAN_MODELS), **first})
    return {"stages": stages, **manifest}


def _save_network(
    folder: Path,
    name: str,
    spec: FeatureSpec,
    manifest: dict[str, Any],
    width: int,
    rng: np.random.Generator,
) -> None:
    from bonafide.models.networks import build_network
    from bonafide.models.networks_onnx import convert_network

    chosen: Any = family_of(name, {"family": "dense" if name in DENSE else name})
    sizes = {"statistics_width": width, **({} if name in DENSE else {"width": width})}
    config = chosen.Config().model_copy(update=sizes)
    n_numbers = sum(spec.vectors[vector] for vector in manifest["hears"][name])
    view = spec.views.get(manifest["views"].get(name, ""))
    heard = (view.n_features, n_numbers, spec.n_frames(view)) if view else (None, n_numbers)
    network = build_network(name, chosen.recurrence, config, *heard)
    graph = convert_network(_shaken(network, rng), chosen.recurrence)
    onnx.save(graph, folder / f"{name}.onnx")


def _save_trees(folder: Path, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Save the trees; `rows` are standardised statistics."""
    noisy = np.repeat(rows, 20, axis=0) + rng.normal(0, 0.1, (20 * len(rows), rows.shape[1]))
    trees: Any = family("xgboost")(family("xgboost").Config(), FitConfig(), 0)
    trees.model_ = _booster(noisy, rng, 20)
    onnx.save(trees.to_onnx({STATISTICS: noisy}), folder / "xgboost.onnx")


def _save_stack(folder: Path, prefix: str, n_models: int, rng: np.random.Generator) -> None:
    scores = rng.uniform(0.2, 0.8, (200, n_models))
    channel = rng.dirichlet(np.ones(len(CHANNELS)), 200)
    booster = _booster(np.concatenate([scores, channel], axis=1), rng, 10)
    by_channel: Sequence[float] = rng.normal(0.3, 0.7, len(CHANNELS) * (1 + n_models)).tolist()
    graphs = {
        "meta_xgboost": meta_trees_graph(booster, n_models),
        "meta_logistic": meta_logistic_graph(Linear(tuple(by_channel), 0.2), n_models),
    }
    for name, graph in graphs.items():
        onnx.save(graph, folder / f"{prefix}{name}.onnx")
