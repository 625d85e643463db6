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

from bonafide.features.graph import OPSET, GraphBuilder
from bonafide.features.spec import STATISTICS
from bonafide.models.networks import build_network
from bonafide.process.pool import Progress
from bonafide.runtime import Graph
from bonafide.training.config import NetworkConfig

layers = keras.layers
RECURRENT_LAYERS = (layers.SimpleRNN, layers.GRU, layers.Bidirectional)


def _layers(model: keras.Model, *kinds: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def _weights(layer: Any) -> list[NDArray[np.float32]]:
    return [np.asarray(weight) for weight in layer.get_weights()]


def _folded(kernel: NDArray[np.float32], norm: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Take batch normalisation into the kernel before it, (..., out); return kernel and bias."""
    gain, shift, mean, variance = _weights(norm)
    gain = gain / np.sqrt(variance + norm.epsilon)
    return kernel * gain, shift - mean * gain


def _normed_after(model: keras.Model, layer: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return kernel and bias of a layer with the batch normalisation that follows it in them."""
    norms = _layers(model, layers.BatchNormalization)
    (norm,) = (norm for norm in norms if norm.input is layer.output)
    return _folded(_weights(layer)[0], norm)


def _add_convolutions(graph: GraphBuilder, model: keras.Model, x: str) -> str:
    """Add the convolutions, normalised and rectified: [batch, channels, 1, t] -> the same.

    As images one pixel high: for those onnxruntime has faster convolutions.
    """
    for convolution in _layers(model, layers.Conv1D):
        kernel, bias = _normed_after(model, convolution)  # (t, in, out)
        x = graph.add(
            "Conv",
            x,
            graph.constant(np.transpose(kernel)[:, :, None]),
            graph.constant(bias),
            strides=[1, *convolution.strides],
            auto_pad="SAME_UPPER",
        )
        x = graph.add("Relu", x)
    return x


def _add_decision(graph: GraphBuilder, model: keras.Model, heard: str, statistics: str) -> str:
    """Add the statistics' layers and the last one: [batch, n], [batch, n_statistics] -> [batch]."""
    *hidden, last = _layers(model, layers.Dense)
    known = statistics
    for dense in hidden:
        weights = map(graph.constant, _normed_after(model, dense))
        known = graph.add("Relu", graph.add("Gemm", known, *weights))
    both = graph.add("Concat", heard, known, axis=1)
    odds = graph.add("Gemm", both, *map(graph.constant, _weights(last)))
    return graph.add("Reshape", graph.add("Sigmoid", odds), graph.integers([-1]))


def _gates_in_onnx_order(kernel: NDArray[np.float32], order: list[int]) -> NDArray[np.float32]:
    """Reorder gates side by side, (n_in, gates * n), into rows, (gates * n, n_in)."""
    parts = np.split(kernel, len(order), axis=-1)
    return np.concatenate([parts[gate] for gate in order], axis=-1).T


def _node_weights(layer: Any) -> tuple[str, list[NDArray[np.float32]], dict[str, Any]]:
    """Return operator, (W, R, B) of one direction, and attributes of a Keras layer."""
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


def _add_recurrence(graph: GraphBuilder, layer: Any, x: str) -> str:
    """Add a recurrent layer: [batch, n, 1, t] -> [t, directions, batch, width]."""
    bidirectional = isinstance(layer, layers.Bidirectional)
    directions = [layer.forward_layer, layer.backward_layer] if bidirectional else [layer]
    weights = [_node_weights(direction) for direction in directions]
    operator, _, attributes = weights[0]
    stacked = [np.stack(parts) for parts in zip(*(w for _, w, _ in weights), strict=True)]
    return graph.add(
        operator,
        graph.add("Transpose", graph.add("Squeeze", x, graph.integers([2])), perm=[2, 0, 1]),
        *map(graph.constant, stacked),
        hidden_size=directions[0].units,
        direction="bidirectional" if bidirectional else "forward",
        **attributes,
    )


def _add_pooled(graph: GraphBuilder, model: keras.Model, x: str) -> str:
    """Add what follows the convolutions, and mean and maximum over time: -> [batch, n]."""
    recurrent = _layers(model, *RECURRENT_LAYERS)
    if not recurrent:
        parts = [graph.add(f"Global{kind}Pool", x) for kind in ("Average", "Max")]
        return graph.add("Flatten", graph.add("Concat", *parts, axis=1), axis=1)
    y = _add_recurrence(graph, recurrent[0], x)
    parts = [graph.add(f"Reduce{kind}", y, axes=[0], keepdims=1) for kind in ("Mean", "Max")]
    pooled = graph.add("Concat", *parts, axis=0)  # [pools, directions, batch, width]
    by_batch = graph.add("Transpose", pooled, perm=[2, 0, 1, 3])  # Keras: pools, then directions
    return graph.add("Flatten", by_batch, axis=1)


def convert_network(model: keras.Model) -> onnx.ModelProto:
    """Convert one network of fixed length.

    Parameters
    ----------
    model : keras.Model
        From `build_network` with `n_frames` given.

    Returns
    -------
    onnx.ModelProto
        Inputs ``frames`` [batch, n_frames, n_features] and ``statistics`` [batch, n_statistics];
        output ``p_spoof`` [batch].
    """
    graph = GraphBuilder(model.name)
    frames_shape, statistics_shape = (value.shape for value in model.inputs)
    frames = graph.input("frames", ["batch", *frames_shape[1:]])
    statistics = graph.input(STATISTICS, ["batch", *statistics_shape[1:]])
    features = graph.add("Transpose", frames, perm=[0, 2, 1])
    features = graph.add("Unsqueeze", features, graph.integers([2]))
    heard = _add_pooled(graph, model, _add_convolutions(graph, model, features))
    graph.output("p_spoof", _add_decision(graph, model, heard, statistics), ["batch"])
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
        An .npz file of standardised ``frames``, (n, n_frames, n_features), and ``statistics``,
        (n, n_statistics).
    folder : str
        Receives ``<name>.onnx`` and ``<name>.npy``: p_spoof, shape (2, n), of the source model
        and of tf2onnx's conversion of it.
    """
    trained = keras.saving.load_model(model)
    with np.load(samples) as arrays:
        inputs = [arrays["frames"], arrays[STATISTICS]]
    (_, n_frames, n_features), (_, n_statistics) = (array.shape for array in inputs)
    network = NetworkConfig.model_validate(config)
    fixed = build_network(name, network, n_features, n_statistics, n_frames)
    fixed.set_weights(trained.get_weights())
    onnx.save(convert_network(fixed), str(Path(folder) / f"{name}.onnx"))
    source = np.asarray(trained(inputs, training=False))[:, 0]
    np.save(Path(folder) / f"{name}.npy", np.stack([source, _by_tf2onnx(fixed, inputs)]))
    return {}


def _by_tf2onnx(model: keras.Model, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Score samples with what tf2onnx makes of a network: a second witness for our own nodes."""
    model([array[:1] for array in inputs])  # export wants it called once
    with TemporaryDirectory() as folder:
        path = Path(folder) / "witness.onnx"
        model.export(path, format="onnx", opset_version=OPSET, verbose=False)  # calls tf2onnx
        graph = Graph(path)
    (scores,) = graph(dict(zip(("frames", STATISTICS), inputs, strict=True))).values()
    return scores[:, 0]
