"""A bundle that knows channels: what it hears is written into the sound, as `coded` does."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bonafide.audio import Waveform
from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import SHIPPED
from bonafide.manifest import META_MODELS, OF_ERRORS
from tests.helpers.coded import NATS, THRESHOLDS, sound_of, without_channels

WRONG = {"value": 0.093, "low": 0.06, "high": 0.118}
CHANNELS = [
    {"name": "clean", "label": "no channel that leaves a trace"},
    {"name": "opus", "label": "Opus, as voice notes have"},
    {"name": "telephone", "label": "a telephone call"},
]
BY_CHANNEL = {
    "opus": {"bonafide_to": 0.1, "spoof_from": 0.97},
    "telephone": {"bonafide_to": None, "spoof_from": 0.9},
}
OFFSET = {"clean": 0.0, "opus": 0.1, "telephone": -0.1}  # the sound's mean tells its channel
FAR = 0.4  # an offset from which on a channel is unlike all known ones


def through(channel: str, *llrs: float, n_samples: int = 4 * SAMPLE_RATE_HZ) -> Waveform:
    """Return sound whose windows score these llrs on a channel."""
    return sound_of(*llrs, n_samples=n_samples) + np.float32(OFFSET[channel])


def channel_bundle(folder: Path, **entries: Any) -> Bundle:
    """Write a bundle of format 3: its last model is asked only where the channel is not clean."""
    shutil.copytree(SHIPPED, folder)
    shipped = without_channels(read_bundle(SHIPPED))
    models = list(shipped["models"])
    onnx.save(_graph(len(models)), folder / "detector.onnx")
    shutil.copy(folder / "scaler.onnx", folder / "router.onnx")
    for name in META_MODELS:
        shutil.copy(folder / f"meta_{name}.onnx", folder / f"fast_meta_{name}.onnx")
    stage = {key: shipped[key] for key in ("choice", "calibration")}
    known = {
        "channels": CHANNELS,
        "hears": {name: ["statistics"] for name in models},
        "stages": [
            {"prefix": "fast_", "models": models[:-1], **stage},
            {"prefix": "", "models": models, **stage},
        ],
        "route": {"doubt_llr": 2.0, "clean_from": 0.5},
        "thresholds": {**THRESHOLDS, "channels": BY_CHANNEL, "distance_to": 10 * FAR},
        "channel_errors": {
            "opus": {"rows": 600, "undecided": 0.3, **dict.fromkeys(OF_ERRORS, WRONG)}
        },
    }
    return write_bundle(folder, {**shipped, **known, "name": "channels", **entries})


def _graph(n_models: int) -> onnx.ModelProto:
    """Wrap the shipped graph: llr by level, channel and distance by offset."""
    graph = GraphBuilder("detector")
    waveform = graph.input("waveform", ["batch", 4 * SAMPLE_RATE_HZ])
    inner = graph.inline(onnx.load(SHIPPED / "detector.onnx"), {"waveform": waveform})
    offset = graph.add("ReduceMean", waveform, axes=[1], keepdims=1)
    rest = graph.add("Sub", waveform, offset)
    power = graph.add("ReduceMean", graph.add("Mul", rest, rest), axes=[1], keepdims=0)
    level = graph.add("Sub", graph.add("Sqrt", power), graph.constant(0.6))
    llr = graph.add("Mul", level, graph.constant(NATS))
    steep = graph.add("Mul", offset, graph.constant(200.0))
    opus = graph.add("Sigmoid", graph.add("Sub", steep, graph.constant(10.0)))
    telephone = graph.add("Sigmoid", graph.add("Sub", graph.constant(-10.0), steep))
    heard = graph.add("Add", opus, telephone)
    clean = graph.add("Sub", graph.constant(1.0), heard)
    asked = graph.add("Greater", heard, graph.constant(0.5))
    nothing = np.zeros(n_models)
    nothing[-1] = np.nan
    without = graph.add("Add", inner["models"], graph.constant(nothing))
    models = graph.add("Where", asked, inner["models"], without)
    distance = graph.add("Abs", graph.add("Squeeze", offset, graph.integers([1])))
    graph.output("llr", llr, ["batch"])
    graph.output("p_spoof", graph.add("Sigmoid", graph.add("Neg", llr)), ["batch"])
    graph.output("models", models, ["batch", n_models])
    graph.output("stack", inner["stack"], ["batch", len(META_MODELS)])
    graph.output("channel", graph.add("Concat", clean, opus, telephone, axis=1), ["batch", 3])
    graph.output("distance", graph.add("Mul", distance, graph.constant(10.0)), ["batch"])
    return graph.model()
