"""A bundle of two stages whose parts are small random graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bonafide.bundle import META_MODELS, Bundle, write_bundle
from bonafide.export.candidate import fuse
from bonafide.export.meta import meta_logistic_graph
from bonafide.export.router import router_graph
from bonafide.export.scaler import scaler_graph
from bonafide.features.encoder import read_encoder
from bonafide.features.frontend import build_frontend
from bonafide.features.graph import GraphBuilder
from bonafide.features.pooling import build_encoder
from bonafide.features.spec import ENCODER, STATISTICS, FeatureSpec, ViewSpec
from bonafide.models.examples import Standard
from bonafide.monitoring.expected import Expected, said_of
from bonafide.runtime import Graph
from bonafide.training.routing import Router
from bonafide.training.stacking import Linear

HEARS = {"low": [STATISTICS], "both": [STATISTICS, "narrow"], "speech": [ENCODER]}
CHANNELS = ("clean", "telephone")
SHARE = {"value": 0.04, "low": 0.02, "high": 0.07}
CARD = """# two

On sources it never heard, this detector errs in about 2 of 100 recordings. A note.

## Data

Many recordings.

## Results

Out of fold.

| system | EER |
| --- | ---: |
| low | 8.0 % |
| speech | 3.0 % |
| decision | 2.0 % |

## Channels

| channel | EER |
| --- | ---: |
| clean | 2.0 % |

## Limits

Some.
"""


def small_encoder(path: Path) -> None:
    """Save an encoder of two features a frame."""
    graph, rng = GraphBuilder("encoder"), np.random.default_rng(0)
    waveform = graph.input("waveform", ["batch", "n"])
    row = graph.add("Unsqueeze", waveform, graph.integers([1]))
    kernel = graph.constant(rng.normal(size=(2, 1, 640)).astype(np.float32))
    heard = graph.add("Relu", graph.add("Conv", row, kernel, strides=[640]))
    graph.output("frames", graph.add("Transpose", heard, perm=[0, 2, 1]), ["batch", "frames", 2])
    onnx.save(graph.model(), path)


def two_stage_bundle(folder: Path, sound: np.ndarray, **entries: Any) -> Bundle:
    """Export random parts, standardised on some windows; `entries` replace the manifest's."""
    folder.mkdir(parents=True)
    small_encoder(folder / "encoder.onnx")
    spec = FeatureSpec(
        views={"mfcc": ViewSpec("mfcc")},
        statistics={"mfcc": ViewSpec("mfcc")},
        narrow={"low": ViewSpec("lfcc", high_hz=3_600.0)},
        encoder=read_encoder(folder / "encoder.onnx"),
    )
    onnx.save(build_frontend(spec), folder / "frontend.onnx")
    scaler = _standards(folder, spec, sound)
    onnx.save(scaler_graph(spec, scaler), folder / "scaler.onnx")
    rng = np.random.default_rng(1)
    onnx.save(router_graph(_router(spec.n_statistics, rng)), folder / "router.onnx")
    for name, vectors in HEARS.items():
        size = sum(spec.vectors[vector] for vector in vectors)
        onnx.save(_base(size, rng), folder / f"{name}.onnx")
    stages = [_stage("fast_", 2, 0.9), _stage("", 3, 1.2)]
    for stage in stages:
        for name in META_MODELS:
            n_models = len(stage["models"])
            inputs = rng.normal(size=len(CHANNELS) * (1 + n_models))
            graph = meta_logistic_graph(Linear(tuple(inputs.tolist()), 0.1), n_models)
            onnx.save(graph, folder / f"{stage['prefix']}meta_{name}.onnx")
    (folder / "card.md").write_text(CARD)
    expected(rng, 8).write(folder)
    manifest = _manifest(spec, stages) | entries
    fuse(folder, spec, scaler, manifest)
    return write_bundle(folder, manifest)


def expected(rng: np.random.Generator, n: int) -> Expected:
    """Draw what the bundle answers to recordings, to every other of them without `speech`."""
    said = {}
    for prefix, n_models in (("fast_", 2), ("", 3)):
        models = {name: rng.random(n) for name in list(HEARS)[:n_models]}
        if "speech" in models:
            models["speech"][::2] = np.nan
        llr = rng.normal(size=n)
        said[prefix] = said_of(llr, np.where(llr < 0, "spoof", "inconclusive").tolist(), models)
    return Expected([CHANNELS[row % 2] for row in range(n)], said)


def _standards(folder: Path, spec: FeatureSpec, sound: np.ndarray) -> dict[str, Standard]:
    assert spec.encoder is not None
    encoder = onnx.load(folder / "encoder.onnx")
    pooled = build_encoder(encoder, spec.encoder, spec.window_samples, spec.rms_floor)
    features = Graph(folder / "frontend.onnx")({"waveform": sound})
    features |= Graph(pooled.SerializeToString())({"waveform": sound})
    return {
        name: Standard(*(part.reshape(-1, part.shape[-1]).mean(0) for part in (v, 1 + abs(v))))
        for name, v in features.items()
    }


def _router(n_statistics: int, rng: np.random.Generator) -> Router:
    nothing = np.zeros(0, np.float32)
    weights, directions = (
        rng.normal(size=(n_statistics, size)).astype(np.float32) for size in (len(CHANNELS), 4)
    )
    flat = (np.zeros(size, np.float32) for size in (len(CHANNELS), 4))
    bias, centre = flat
    return Router(CHANNELS, weights, bias, directions, centre, nothing, nothing, nothing)


def _base(size: int, rng: np.random.Generator) -> onnx.ModelProto:
    graph = GraphBuilder("base")
    weights = graph.constant(rng.normal(0, size**-0.5, (size, 1)).astype(np.float32))
    score = graph.add(
        "Sigmoid", graph.add("MatMul", graph.input(STATISTICS, ["batch", size]), weights)
    )
    graph.output("p_spoof", graph.add("Squeeze", score, graph.integers([1])), ["batch"])
    return graph.model()


def _stage(prefix: str, n_models: int, slope: float) -> dict[str, Any]:
    errors = {
        "rows": 50,
        "undecided": 0.1,
        **dict.fromkeys(("eer", "wrong", "bonafide_called_spoof", "spoof_called_bonafide"), SHARE),
    }
    ends = {"bonafide_to": slope / 4, "spoof_from": 0.8}
    return {
        "prefix": prefix,
        "models": list(HEARS)[:n_models],
        "choice": "logistic",
        "calibration": {"slope": slope, "intercept": 0.1},
        "thresholds": {**ends, "distance_to": 9.0, "channels": {"clean": ends}},
        "channel_errors": {"clean": errors},
    }


def _manifest(spec: FeatureSpec, stages: list[dict[str, Any]]) -> dict[str, Any]:
    last = {key: value for key, value in stages[-1].items() if key not in ("prefix", "models")}
    return {
        "name": "two",
        "version": "3",
        "feature_spec": spec.to_json(),
        "feature_spec_sha256": spec.sha256,
        "models": list(HEARS),
        "labels": {name: name.title() for name in HEARS},
        "views": {},
        "hears": HEARS,
        "channels": [{"name": name, "label": f"{name} sound"} for name in CHANNELS],
        "corpus": {"rows_sha256": "0" * 64, "rows": 50},
        "config": {},
        "prior_spoof": 0.5,
        "stages": stages,
        "route": {"doubt_llr": 0.7, "clean_from": 0.5, "spared": ["clean"]},
        "parity": {"low": 1e-7, "speech": 2e-7, "fast_meta_logistic": 3e-7, "meta_logistic": 4e-7},
        **last,
    }
