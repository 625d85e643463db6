"""Whisper's encoder, written to ONNX: a tiny one of random weights against plain numpy."""

import struct
from collections.abc import Mapping
from typing import Any

import librosa
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.special import erf

from bonafide.runtime import Graph
from research.ctranslate2 import TYPES, read_weights
from research.whisper_graph import build_whisper
from research.whisper_model import quantised

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]
N, MELS, WIDTH, HEADS, LAYERS = 3_200, 8, 12, 2, 2


@pytest.fixture(scope="module")
def weights() -> Arrays:
    random = np.random.default_rng(3)

    def drawn(*shape: int) -> NDArray[np.float16]:
        return random.normal(0, 0.3, shape).astype(np.float16)

    def block(name: str, first: tuple[int, int], second: tuple[int, int]) -> Arrays:
        made: Arrays = {f"{name}/layer_norm/{k}": drawn(WIDTH) for k in ("gamma", "beta")}
        for number, shape in enumerate((first, second)):
            made |= {f"{name}/linear_{number}/weight": drawn(*shape)}
            made |= {f"{name}/linear_{number}/bias": drawn(shape[0])}
        return made

    made: Arrays = {
        "conv1/weight": drawn(WIDTH, MELS, 3),
        "conv1/bias": drawn(WIDTH),
        "conv2/weight": drawn(WIDTH, WIDTH, 3),
        "conv2/bias": drawn(WIDTH),
        "position_encodings/encodings": drawn(50, WIDTH),
        "num_heads": np.array(HEADS, np.int16),
        "layer_norm/gamma": drawn(WIDTH),
        "layer_norm/beta": drawn(WIDTH),
    }
    for layer in range(LAYERS):
        made |= block(f"layer_{layer}/self_attention", (3 * WIDTH, WIDTH), (WIDTH, WIDTH))
        made |= block(f"layer_{layer}/ffn", (4 * WIDTH, WIDTH), (WIDTH, 4 * WIDTH))
    return {f"encoder/{name}": value for name, value in made.items()}


@pytest.fixture(scope="module")
def sound() -> NDArray[np.float32]:
    return np.random.default_rng(4).normal(0, 0.1, (2, N)).astype(np.float32)


# --- Whisper in numpy -----------------------------------------------------------------------------


def log_mel(sound: NDArray[np.float32]) -> Floats:
    power = np.abs(librosa.stft(sound, n_fft=400, hop_length=160, pad_mode="reflect")) ** 2
    bands = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=MELS) @ power[..., :-1]
    logs = np.log10(np.maximum(bands, 1e-10))
    return np.asarray((np.maximum(logs, logs.max(axis=(1, 2), keepdims=True) - 8) + 4) / 4)


def gelu(x: Floats) -> Floats:
    return np.asarray(0.5 * x * (1 + erf(x / np.sqrt(2))))


def convolved(x: Floats, weight: Floats, bias: Floats, stride: int) -> Floats:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    spans = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)[:, :, ::stride]
    return np.asarray(np.einsum("bitk,oik->bot", spans, weight) + bias[:, None])


def layer(x: Floats, w: Mapping[str, Floats], name: str) -> Floats:
    def linear(x: Floats, part: str) -> Floats:
        return np.asarray(x @ w[f"{name}/{part}/weight"].T + w[f"{name}/{part}/bias"])

    hidden = linear(
        normalised(x, w, f"{name}/self_attention/layer_norm"), "self_attention/linear_0"
    )
    parts = np.split(hidden, 3, axis=2)
    q, k, v = (part.reshape(*part.shape[:2], HEADS, -1).swapaxes(1, 2) for part in parts)
    match = np.exp(q @ k.swapaxes(2, 3) / np.sqrt(WIDTH / HEADS))
    heard = (match / match.sum(axis=3, keepdims=True)) @ v
    x = x + linear(heard.swapaxes(1, 2).reshape(x.shape), "self_attention/linear_1")
    hidden = gelu(linear(normalised(x, w, f"{name}/ffn/layer_norm"), "ffn/linear_0"))
    return x + linear(hidden, "ffn/linear_1")


def normalised(x: Floats, w: Mapping[str, Floats], name: str) -> Floats:
    centred = x - x.mean(axis=2, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-5)
    return np.asarray(centred / scale * w[f"{name}/gamma"] + w[f"{name}/beta"])


def whisper(weights: Arrays, sound: NDArray[np.float32]) -> dict[str, Floats]:
    w = {k.removeprefix("encoder/"): v.astype(np.float64) for k, v in weights.items()}
    x = gelu(convolved(log_mel(sound), w["conv1/weight"], w["conv1/bias"], 1))
    x = gelu(convolved(x, w["conv2/weight"], w["conv2/bias"], 2)).swapaxes(1, 2)
    x = x + w["position_encodings/encodings"][: x.shape[1]]
    made = {"layer_0": x}
    for number in range(LAYERS):
        made[f"layer_{number + 1}"] = x = layer(x, w, f"layer_{number}")
    return made | {"encoded": normalised(x, w, "layer_norm")}


# --- the graph ------------------------------------------------------------------------------------


class TestGraph:
    def test_is_whisper(self, weights: Arrays, sound: NDArray[np.float32]) -> None:
        graph = Graph(build_whisper(weights, N, (0, 1, 2), last=True).SerializeToString())
        found, expected = graph({"waveform": sound}), whisper(weights, sound)
        assert found.keys() == expected.keys()
        for name, frames in found.items():
            np.testing.assert_allclose(frames, expected[name], atol=2e-4, rtol=2e-4, err_msg=name)

    def test_ends_at_the_last_layer_that_is_wanted(self, weights: Arrays) -> None:
        first, both = (len(build_whisper(weights, N, last).graph.node) for last in ((1,), (2,)))
        assert first < both

    def test_no_rows(self, weights: Arrays, sound: NDArray[np.float32]) -> None:
        graph = Graph(build_whisper(weights, N, (1,)).SerializeToString())
        assert graph({"waveform": sound[:0]})["layer_1"].shape == (0, N // 320, WIDTH)


@pytest.fixture(scope="module")
def made(weights: Arrays, sound: NDArray[np.float32]) -> onnx.ModelProto:
    return quantised(build_whisper(weights, N, (1, 2)), iter([sound[:1], sound[1:]]))


class TestQuantised:
    def test_is_near_to_float32(
        self, weights: Arrays, sound: NDArray[np.float32], made: onnx.ModelProto
    ) -> None:
        found = Graph(made.SerializeToString())({"waveform": sound})
        for name, frames in found.items():
            exact = whisper(weights, sound)[name]
            assert np.corrcoef(frames.ravel(), exact.ravel())[0, 1] > 0.98, name

    def test_rows_do_not_hear_each_other(
        self, sound: NDArray[np.float32], made: onnx.ModelProto
    ) -> None:
        graph = Graph(made.SerializeToString())
        alone = graph({"waveform": sound[:1]})["layer_2"]
        loud = graph({"waveform": np.concatenate([sound[:1], 9 * sound[1:]])})["layer_2"][:1]
        np.testing.assert_allclose(alone, loud, atol=0.05)
        assert graph({"waveform": sound[:0]})["layer_2"].shape == (0, N // 320, WIDTH)

    def test_no_product_saturates(self, made: onnx.ModelProto) -> None:
        tensors = [numpy_helper.to_array(tensor) for tensor in made.graph.initializer]
        quantised_ones = [t for t in tensors if t.dtype == np.int8 and t.ndim > 1]
        assert len(quantised_ones) == 2 + 4 * LAYERS
        assert max(2 * 255 * int(np.abs(t.astype(int)).max()) for t in quantised_ones) < 2**15

    def test_twice_the_same_bytes(
        self, weights: Arrays, sound: NDArray[np.float32], made: onnx.ModelProto
    ) -> None:
        again = quantised(build_whisper(weights, N, (1, 2)), iter([sound[:1], sound[1:]]))
        one, two = (m.SerializeToString(deterministic=True) for m in (made, again))
        assert one == two


# --- the file of CTranslate2 ----------------------------------------------------------------------


def written(weights: Mapping[str, NDArray[Any]], version: int = 6) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", version), text("WhisperSpec"), struct.pack("<II", 3, len(weights))]
    for name, value in weights.items():
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        kind = TYPES.index(value.dtype.type)
        parts += [text(name), shape, struct.pack("<BI", kind, value.nbytes), value.tobytes()]
    return b"".join(parts) + struct.pack("<I", 0)  # no other names


class TestReader:
    def test_reads_what_was_written(self) -> None:
        arrays: Arrays = {
            "a/weight": np.arange(6, dtype=np.float16).reshape(2, 3),
            "b": np.array(8, np.int16),
            "c": np.ones(4, np.float32),
        }
        found = read_weights(written(arrays))
        assert list(found) == list(arrays)
        for name, value in arrays.items():
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype and found[name].shape == value.shape

    def test_another_version(self) -> None:
        with pytest.raises(ValueError, match="version 5: must be 6"):
            read_weights(written({}, version=5))

    def test_a_file_that_breaks_off(self) -> None:
        with pytest.raises(ValueError):
            read_weights(written({"a": np.ones(4, np.float32)})[:-12])
