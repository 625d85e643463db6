"""Whisper's encoder as an ONNX graph, from the waveform on, cut off after its early layers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import librosa
import numpy as np
import onnx
from numpy.typing import NDArray

from bonafide.features.frontend import fourier_tables
from bonafide.features.graph import GraphBuilder

Floats = NDArray[np.float32]
SAMPLE_RATE_HZ, N_FFT, HOP = 16_000, 400, 160
N_REST = 20  # points of the DFT's second sum; divides both of them
FLOOR, BELOW_TOP = 1e-10, 8.0  # of the power, and of its decimal logarithm below the loudest
EPSILON = 1e-5


def build_whisper(
    weights: Mapping[str, NDArray[Any]],
    n_samples: int,
    outputs: Collection[int],
    *,
    last: bool = False,
) -> onnx.ModelProto:
    """Build the graph from a waveform to the frames after some layers.

    Parameters
    ----------
    weights : mapping of str to ndarray
        As `read_weights` returns them; sizes follow from their shapes.
    n_samples : int
        Length of the waveform, a multiple of 320; 480,000 is what Whisper itself hears.
    outputs : collection of int
        Layers whose frames are wanted: output ``layer_N`` is the frames after N of them. No
        layer beyond the last of these is in the graph.
    last : bool
        Also return ``encoded``, what all layers and the closing normalisation make of it: the
        whole encoder.

    Returns
    -------
    onnx.ModelProto
        Input ``waveform``, float32 [batch, n_samples], 16 kHz, full scale 1. Each output float32
        [batch, n_samples / 320, d].

    References
    ----------
    Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
    """
    of_encoder = {k.removeprefix("encoder/"): v for k, v in weights.items() if k[:8] == "encoder/"}
    n_all = sum(name.endswith("/ffn/linear_0/weight") for name in of_encoder)
    part = _Encoder(GraphBuilder("whisper"), of_encoder)
    graph = part.graph
    waveform = graph.input("waveform", ["batch", n_samples])
    frames = part.convolved(_log_mel(graph, waveform, n_samples, part.n_mels), n_samples)
    shape = ["batch", n_samples // HOP // 2, part.width]
    if 0 in outputs:
        graph.output("layer_0", frames, shape)
    for layer in range(n_all if last else max(outputs)):
        frames = part.layer(frames, f"layer_{layer}")
        if layer + 1 in outputs:
            graph.output(f"layer_{layer + 1}", frames, shape)
    if last:
        graph.output("encoded", part.normalised(frames, "layer_norm"), shape)
    return graph.model()


def _log_mel(graph: GraphBuilder, waveform: str, n_samples: int, n_mels: int) -> str:
    """Add Whisper's log-mel: [batch, n_samples] -> [batch, n_mels, n_samples / 160]."""
    power, bins = _power(graph, waveform, n_samples)
    table = librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=N_FFT, n_mels=n_mels)[:, bins] * (bins > 0)
    bands = graph.add(
        "Clip", graph.add("MatMul", graph.constant(table), power), graph.constant(FLOOR)
    )
    logs = graph.add("Mul", graph.add("Log", bands), graph.constant(1 / np.log(10)))
    top = graph.add("ReduceMax", logs, axes=[1, 2], keepdims=1)
    logs = graph.add("Max", logs, graph.add("Sub", top, graph.constant(BELOW_TOP)))
    return graph.add("Mul", graph.add("Add", logs, graph.constant(4)), graph.constant(0.25))


def _power(graph: GraphBuilder, waveform: str, n_samples: int) -> tuple[str, NDArray[np.intp]]:
    """Add the power spectrum, [batch, bins, frames], in the order of `fourier_tables`' bins."""
    # As the front end does it: a column a hop, and each frame what a grouped convolution spans.
    first, second, bins = fourier_tables(N_FFT, N_REST)
    window = librosa.filters.get_window("hann", N_FFT, fftbins=True).reshape(-1, N_REST)
    taps = (first * window.T[:, None, None]).reshape(-1, len(window))
    n_slabs, n_frames = -(-N_FFT // HOP), n_samples // HOP
    taps = np.pad(taps, ((0, 0), (0, n_slabs * HOP // N_REST - len(window))))
    taps = taps.reshape(len(taps), n_slabs, -1).transpose(0, 2, 1)
    n_columns = n_frames + n_slabs - 1
    side = N_FFT // 2  # the ends are mirrored; what is beyond a frame has taps of 0
    mirrored = graph.add("Pad", waveform, graph.integers([0, side, 0, side]), mode="reflect")
    beyond = n_columns * HOP - n_samples - N_FFT
    whole = graph.add("Pad", mirrored, graph.integers([0, 0, 0, beyond]))
    columns = graph.add("Reshape", whole, graph.integers([-1, n_columns, HOP]))
    by_rest = graph.integers(np.arange(HOP).reshape(-1, N_REST).T.ravel())
    columns = graph.add("Gather", graph.add("Transpose", columns, perm=[0, 2, 1]), by_rest, axis=1)
    sums = graph.add("Conv", columns, graph.constant(taps), group=N_REST)
    per_rest = len(bins) // N_REST * n_frames  # sizes are named, for no -1 may stand beside no rows
    sums = graph.add("Reshape", sums, graph.integers([-1, 2 * N_REST, per_rest]))
    spectrum = graph.add("MatMul", graph.constant(second), sums)
    squares = graph.add("Mul", spectrum, spectrum)
    parts = graph.add("Reshape", squares, graph.integers([-1, N_REST, 2, per_rest]))
    power = graph.add("ReduceSum", parts, graph.integers([2]), keepdims=0)
    return graph.add("Reshape", power, graph.integers([-1, len(bins), n_frames])), bins


@dataclass(frozen=True)
class _Encoder:
    graph: GraphBuilder
    weights: Mapping[str, NDArray[Any]]

    @property
    def n_mels(self) -> int:
        return int(self.weights["conv1/weight"].shape[1])

    @property
    def width(self) -> int:
        return int(self.weights["conv1/weight"].shape[0])

    def constant(self, name: str) -> str:
        return self.graph.constant(self.weights[name])

    def gelu(self, value: str) -> str:
        # in the order of operations that onnxruntime makes one of
        graph = self.graph
        shares = graph.add("Erf", graph.add("Div", value, graph.constant(np.sqrt(2))))
        twice = graph.add("Mul", value, graph.add("Add", shares, graph.constant(1)))
        return graph.add("Mul", twice, graph.constant(0.5))

    def convolved(self, mel: str, n_samples: int) -> str:
        """Add both convolutions and the positions: [batch, n_mels, 2 n] -> [batch, n, width]."""
        graph, value = self.graph, mel
        for name, stride in (("conv1", 1), ("conv2", 2)):
            parts = (self.constant(f"{name}/weight"), self.constant(f"{name}/bias"))
            value = self.gelu(graph.add("Conv", value, *parts, strides=[stride], pads=[1, 1]))
        positions = self.weights["position_encodings/encodings"][: n_samples // HOP // 2]
        by_frame = graph.add("Transpose", value, perm=[0, 2, 1])
        return graph.add("Add", by_frame, graph.constant(positions))

    def normalised(self, value: str, name: str) -> str:
        parts = (self.constant(f"{name}/gamma"), self.constant(f"{name}/beta"))
        return self.graph.add("LayerNormalization", value, *parts, axis=-1, epsilon=EPSILON)

    def linear(self, value: str, name: str) -> str:
        weight = self.graph.constant(self.weights[f"{name}/weight"].T)
        product = self.graph.add("MatMul", value, weight)
        return self.graph.add("Add", product, self.constant(f"{name}/bias"))

    def layer(self, frames: str, name: str) -> str:
        """Add one layer: [batch, n, width] -> the same."""
        frames = self.graph.add("Add", frames, self.attention(frames, f"{name}/self_attention"))
        hidden = self.normalised(frames, f"{name}/ffn/layer_norm")
        hidden = self.gelu(self.linear(hidden, f"{name}/ffn/linear_0"))
        return self.graph.add("Add", frames, self.linear(hidden, f"{name}/ffn/linear_1"))

    def attention(self, frames: str, name: str) -> str:
        graph, n_heads = self.graph, int(self.weights["num_heads"])
        size = self.width // n_heads
        joined = self.linear(self.normalised(frames, f"{name}/layer_norm"), f"{name}/linear_0")
        joined = graph.add("Reshape", joined, graph.integers([0, 0, 3, n_heads, size]))
        parts = graph.add_many("Split", 3, joined, axis=2)
        query, key, value = (graph.add("Squeeze", part, graph.integers([2])) for part in parts)
        query = graph.add("Transpose", query, perm=[0, 2, 1, 3])
        query = graph.add("Mul", query, graph.constant(size**-0.5))
        match = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 2, 3, 1]))
        weights = graph.add("Softmax", match, axis=-1)
        heard = graph.add("MatMul", weights, graph.add("Transpose", value, perm=[0, 2, 1, 3]))
        heard = graph.add("Transpose", heard, perm=[0, 2, 1, 3])
        heard = graph.add("Reshape", heard, graph.integers([0, 0, self.width]))
        return self.linear(heard, f"{name}/linear_1")
