"""A frozen encoder small enough for tests. Needs onnx (extra ``train``)."""

from pathlib import Path

import numpy as np
import onnx

from bonafide.features.encoder import EncoderSpec, read_encoder
from bonafide.features.graph import GraphBuilder

HOP, FEATURES = 640, 6


def tiny_encoder(path: Path) -> EncoderSpec:
    """Write an encoder of one convolution and return what it is."""
    graph = GraphBuilder("tiny")
    sound = graph.add("Unsqueeze", graph.input("waveform", ["batch", "n"]), graph.integers([1]))
    taps = np.random.default_rng(0).normal(0, 0.05, (FEATURES, 1, HOP))
    frames = graph.add("Relu", graph.add("Conv", sound, graph.constant(taps), strides=[HOP]))
    graph.output("frames", graph.add("Transpose", frames, perm=[0, 2, 1]), ["batch", "t", FEATURES])
    onnx.save(graph.model(), path)
    return read_encoder(path)
