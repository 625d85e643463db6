"""Keras networks to ONNX, layer by layer from their weights.

Written out, a network takes only the nodes it needs: batch normalisation goes into the convolution
before it, recurrences are ONNX's own operators (converters make loops of them), and time stays the
last axis until a recurrence wants it first.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from bonafide.onnxgraph import OPSET, GraphBuilder
from bonafide.runtime import Graph
from bonafide.training.config import NetworkConfig
from bonafide.training.networks import build_network
from bonafide.training.parallel import Progress

layers = keras.layers
RECURRENT_LAYERS = (layers.SimpleRNN, layers.GRU, layers.Bidirectional)


def _layers(model: keras.Model, *kinds: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def _weights(layer: Any) -> list[NDArray[np.float32]]:
    return [np.asarray(weight) for weight in layer.get_weights()]


def _add_convolutions(graph: GraphBuilder, model: keras.Model, x: str) -> str:
    """Add the convolutions, normalised and rectified: [batch, channels, height, t] -> the same.

    Keras's images have time before features, ours after; a 1-D convolution has a height of one.
    """
    convolutions = _layers(model, layers.Conv1D, layers.Conv2D)
    norms = _layers(model, layers.BatchNormalization)
    for convolution, norm in zip(convolutions, norms, strict=True):
        (kernel,) = _weights(convolution)  # ([t,] features or t, in, out)
        gain, shift, mean, variance = _weights(norm)
        gain = gain / np.sqrt(variance + norm.epsilon)
        weight = np.transpose(kernel * gain)  # (out, in, [features,] t)
        strides = convolution.strides[::-1]
        if weight.ndim == 3:
            weight, strides = weight[:, :, None], (1, *strides)
        bias = graph.constant(shift - mean * gain)
        x = graph.add(
            "Conv", x, graph.constant(weight), bias, strides=strides, auto_pad="SAME_UPPER"
        )
        x = graph.add("Relu", x)
    return x


def _add_decision(graph: GraphBuilder, pooled: str, kernel: NDArray[Any], bias: Any) -> str:
    """Add the last layer: [batch, n] -> [batch]."""
    odds = graph.add("Gemm", pooled, graph.constant(kernel), graph.constant(bias))
    return graph.add("Reshape", graph.add("Sigmoid", odds), graph.integers([-1]))


def _add_cnn(graph: GraphBuilder, model: keras.Model, features: str) -> str:
    """Add the CNN: [batch, d, t] -> [batch]."""
    image = graph.add("Unsqueeze", features, graph.integers([1]))
    x = _add_convolutions(graph, model, image)  # [batch, channels, height, t / 8]
    dense, last = (_weights(layer) for layer in _layers(model, layers.Dense))
    n_channels = _layers(model, layers.Conv2D)[-1].filters
    kernel = dense[0].reshape(-1, n_channels, dense[0].shape[1])  # (height, channels, out)
    weight = graph.constant(kernel.transpose(2, 1, 0)[..., None])  # as a convolution over time
    x = graph.add("Relu", graph.add("Conv", x, weight, graph.constant(dense[1])))
    parts = [graph.add(f"Global{kind}Pool", x) for kind in ("Average", "Max")]
    pooled = graph.add("Flatten", graph.add("Concat", *parts, axis=1), axis=1)
    return _add_decision(graph, pooled, *last)


def _gates_in_onnx_order(kernel: NDArray[np.float32], order: list[int]) -> NDArray[np.float32]:
    """Reorder gates side by side, (n_in, gates * n), into rows, (gates * n, n_in)."""
    parts = np.split(kernel, len(order), axis=-1)
    return np.concatenate([parts[gate] for gate in order], axis=-1).T


def _node_weights(layer: Any) -> tuple[str, list[NDArray[np.float32]], dict[str, Any]]:
    """Give operator, (W, R, B) of one direction, and attributes of a Keras layer."""
    kernel, recurrent, bias = _weights(layer)
    if isinstance(layer, layers.GRU):
        order = [0, 1, 2]  # Keras and ONNX both: z, r, h; reset_after is linear_before_reset
        operator, attributes = "GRU", {"linear_before_reset": 1}
        both = bias.reshape(2, -1)  # input and recurrent bias
    elif isinstance(layer, layers.LSTM):
        order, operator, attributes = [0, 3, 1, 2], "LSTM", {}  # Keras i, f, c, o; ONNX i, o, f, c
        both = np.stack([bias, np.zeros_like(bias)])
    else:
        order, operator, attributes = [0], "RNN", {}
        both = np.stack([bias, np.zeros_like(bias)])
    w = _gates_in_onnx_order(kernel, order)
    r = _gates_in_onnx_order(recurrent, order)
    b = np.concatenate([_gates_in_onnx_order(row[None], order)[:, 0] for row in both])
    return operator, [w, r, b], attributes


def _add_recurrent(graph: GraphBuilder, model: keras.Model, features: str) -> str:
    """Add a recurrent network: [batch, d, t] -> [batch]."""
    line = graph.add("Unsqueeze", features, graph.integers([2]))
    x = graph.add("Squeeze", _add_convolutions(graph, model, line), graph.integers([2]))
    (layer,) = _layers(model, *RECURRENT_LAYERS)
    bidirectional = isinstance(layer, layers.Bidirectional)
    directions = [layer.forward_layer, layer.backward_layer] if bidirectional else [layer]
    weights = [_node_weights(direction) for direction in directions]
    operator, _, attributes = weights[0]
    stacked = [np.stack(parts) for parts in zip(*(w for _, w, _ in weights), strict=True)]
    y = graph.add(  # [t / 4, directions, batch, n]
        operator,
        graph.add("Transpose", x, perm=[2, 0, 1]),
        *map(graph.constant, stacked),
        hidden_size=directions[0].units,
        direction="bidirectional" if bidirectional else "forward",
        **attributes,
    )
    parts = [graph.add(f"Reduce{kind}", y, axes=[0], keepdims=0) for kind in ("Mean", "Max")]
    pooled = graph.add("Concat", *parts, axis=2)  # [directions, batch, 2 * n]
    by_batch = graph.add("Flatten", graph.add("Transpose", pooled, perm=[1, 0, 2]), axis=1)
    (last,) = _layers(model, layers.Dense)
    kernel, bias = _weights(last)
    by_pool = kernel.reshape(2, len(directions), -1)  # Keras: mean and maximum, then directions
    return _add_decision(graph, by_batch, by_pool.swapaxes(0, 1).reshape(kernel.shape), bias)


def convert_network(model: keras.Model, kind: str) -> onnx.ModelProto:
    """Convert one network of fixed length.

    Parameters
    ----------
    model : keras.Model
        From `build_network` with `n_frames` given.
    kind : {"cnn", "rnn", "bilstm", "gru"}

    Returns
    -------
    onnx.ModelProto
        Input ``frames`` [batch, n_frames, n_features]; output ``p_spoof`` [batch].
    """
    graph = GraphBuilder(kind)
    frames = graph.input("frames", ["batch", *model.input_shape[1:]])
    features = graph.add("Transpose", frames, perm=[0, 2, 1])
    add = _add_cnn if kind == "cnn" else _add_recurrent
    graph.output("p_spoof", add(graph, model, features), ["batch"])
    return graph.model()


def export_networks(*, progress: Progress, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Export several networks (an `Isolated` function): `jobs` are `export_network`'s arguments.

    One process for all: importing tensorflow takes longer than the work.
    """
    for done, job in enumerate(jobs, start=1):
        export_network(progress=progress, **job)
        progress(done, len(jobs))
    return {}


def export_network(
    *,
    progress: Progress,
    name: str,
    config: dict[str, Any],
    model: str,
    samples: str,
    folder: str,
) -> dict[str, Any]:
    """Export one network and score the samples with its source (an `Isolated` function).

    Parameters
    ----------
    name : {"cnn", "rnn", "bilstm", "gru"}
    config : dict
        Its `NetworkConfig` as JSON.
    model : str
        The .keras file.
    samples : str
        An .npy file of standardised features, (n, n_frames, n_features).
    folder : str
        Receives ``<name>.onnx`` and ``<name>.npy``: p_spoof, shape (2, n), of the source model
        and of tf2onnx's conversion of it.
    """
    trained = keras.saving.load_model(model)
    frames = np.load(samples)
    _, n_frames, n_features = frames.shape
    fixed = build_network(name, NetworkConfig.model_validate(config), n_features, n_frames)
    fixed.set_weights(trained.get_weights())
    onnx.save(convert_network(fixed, name), str(Path(folder) / f"{name}.onnx"))
    source = np.asarray(trained(frames, training=False))[:, 0]
    np.save(Path(folder) / f"{name}.npy", np.stack([source, _by_tf2onnx(fixed, frames)]))
    return {}


def _by_tf2onnx(model: keras.Model, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score frames with what tf2onnx makes of a network: a second witness for our own nodes."""
    model(frames[:1])  # export wants it called once
    with TemporaryDirectory() as folder:
        path = Path(folder) / "witness.onnx"
        model.export(path, format="onnx", opset_version=OPSET, verbose=False)  # calls tf2onnx
        graph = Graph(path)
    (scores,) = graph({graph.inputs[0]: frames}).values()
    return scores[:, 0]
