"""Keras networks to ONNX, layer by layer from their weights.

A network then has only the nodes that it needs: batch normalisation is folded into the layer before
it, recurrences are ONNX's own operators (converters turn them into loops), and time stays the last
axis until a recurrence needs it first.
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
from bonafide.models.architecture import Recurrence
from bonafide.models.base import Inputs
from bonafide.runtime import Graph
from bonafide.types import Scores

layers = keras.layers


def _layers(model: keras.Model, *kinds: type) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def _weights(layer: Any) -> list[NDArray[np.float32]]:
    return [np.asarray(weight) for weight in layer.get_weights()]


def _folded(kernel: NDArray[np.float32], norm: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Fold batch normalisation into the kernel before it, (..., out); return kernel and bias."""
    gain, shift, mean, variance = _weights(norm)
    gain = gain / np.sqrt(variance + norm.epsilon)
    return kernel * gain, shift - mean * gain


def _normed_after(model: keras.Model, layer: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a layer's kernel and bias with the batch normalisation after it folded in."""
    norms = _layers(model, layers.BatchNormalization)
    (norm,) = (norm for norm in norms if norm.input is layer.output)
    return _folded(_weights(layer)[0], norm)


def _add_convolutions(graph: GraphBuilder, model: keras.Model, x: str) -> str:
    """Add the convolutions, normalised and rectified: [batch, channels, 1, t] -> the same."""
    # as images one pixel high, for which onnxruntime has faster convolutions
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
    # A network that hears no frames has nothing but the statistics.
    both = graph.add("Concat", heard, known, axis=1) if heard else known
    odds = graph.add("Gemm", both, *map(graph.constant, _weights(last)))
    return graph.add("Reshape", graph.add("Sigmoid", odds), graph.integers([-1]))


def _gates_in_onnx_order(kernel: NDArray[np.float32], order: list[int]) -> NDArray[np.float32]:
    """Reorder gates side by side, (n_in, gates * n), into rows, (gates * n, n_in)."""
    parts = np.split(kernel, len(order), axis=-1)
    return np.concatenate([parts[gate] for gate in order], axis=-1).T


def _node_weights(layer: Any, recurrence: Recurrence) -> list[NDArray[np.float32]]:
    """Return ONNX's W, R and B of one direction of a Keras layer."""
    kernel, recurrent, bias = _weights(layer)
    order = list(recurrence.gates)
    with_recurrent = recurrence.recurrent_bias
    both = bias.reshape(2, -1) if with_recurrent else np.stack([bias, np.zeros_like(bias)])
    w = _gates_in_onnx_order(kernel, order)
    r = _gates_in_onnx_order(recurrent, order)
    b = np.concatenate([_gates_in_onnx_order(row[None], order)[:, 0] for row in both])
    return [w, r, b]


def _add_recurrence(graph: GraphBuilder, layer: Any, recurrence: Recurrence, x: str) -> str:
    """Add a recurrent layer: [batch, n, 1, t] -> [t, directions, batch, width]."""
    bidirectional = recurrence.bidirectional
    directions = [layer.forward_layer, layer.backward_layer] if bidirectional else [layer]
    weights = [_node_weights(direction, recurrence) for direction in directions]
    stacked = [np.stack(parts) for parts in zip(*weights, strict=True)]
    return graph.add(
        recurrence.operator,
        graph.add("Transpose", graph.add("Squeeze", x, graph.integers([2])), perm=[2, 0, 1]),
        *map(graph.constant, stacked),
        hidden_size=directions[0].units,
        direction="bidirectional" if bidirectional else "forward",
        **recurrence.attributes,
    )


def _add_pooled(
    graph: GraphBuilder, model: keras.Model, recurrence: Recurrence | None, x: str
) -> str:
    """Add what follows the convolutions, and mean and maximum over time: -> [batch, n]."""
    if recurrence is None:
        parts = [graph.add(f"Global{kind}Pool", x) for kind in ("Average", "Max")]
        return graph.add("Flatten", graph.add("Concat", *parts, axis=1), axis=1)
    name = "Bidirectional" if recurrence.bidirectional else recurrence.layer
    (layer,) = _layers(model, getattr(layers, name))
    y = _add_recurrence(graph, layer, recurrence, x)
    parts = [graph.add(f"Reduce{kind}", y, axes=[0], keepdims=1) for kind in ("Mean", "Max")]
    pooled = graph.add("Concat", *parts, axis=0)  # [pools, directions, batch, width]
    by_batch = graph.add("Transpose", pooled, perm=[2, 0, 1, 3])  # Keras: pools, then directions
    return graph.add("Flatten", by_batch, axis=1)


def convert_network(model: keras.Model, recurrence: Recurrence | None) -> onnx.ModelProto:
    """Convert one network of fixed length.

    Parameters
    ----------
    model : keras.Model
        From `build_network` with `n_frames` given.
    recurrence : Recurrence or None
        What `build_network` was given.

    Returns
    -------
    onnx.ModelProto
        Inputs ``frames`` [batch, n_frames, n_features], if it hears any, and ``statistics``
        [batch, n_statistics]; output ``p_spoof`` [batch].
    """
    graph = GraphBuilder(model.name)
    *frames_shape, statistics_shape = (value.shape for value in model.inputs)
    heard = ""
    if frames_shape:
        frames = graph.input("frames", ["batch", *frames_shape[0][1:]])
        features = graph.add("Transpose", frames, perm=[0, 2, 1])
        features = graph.add("Unsqueeze", features, graph.integers([2]))
        heard = _add_pooled(graph, model, recurrence, _add_convolutions(graph, model, features))
    statistics = graph.input(STATISTICS, ["batch", *statistics_shape[1:]])
    graph.output("p_spoof", _add_decision(graph, model, heard, statistics), ["batch"])
    return graph.model()


def score_by_tf2onnx(model: keras.Model, inputs: Inputs) -> Scores:
    """Score by tf2onnx's conversion of a network: an independent check of ours.

    Parameters
    ----------
    model : keras.Model
        As in `convert_network`.
    inputs : mapping of str to ndarray of float32
        ``frames`` (n, n_frames, n_features), if any, and ``statistics`` (n, n_statistics).

    Returns
    -------
    ndarray of float32, shape (n,)
        p_spoof.
    """
    names = [name for name in ("frames", STATISTICS) if name in inputs]
    values = [inputs[name] for name in names]
    model([array[:1] for array in values])  # export needs it called once
    with TemporaryDirectory() as folder:
        path = Path(folder) / "witness.onnx"
        model.export(path, format="onnx", opset_version=OPSET, verbose=False)  # calls tf2onnx
        graph = Graph(path)
    (scores,) = graph(dict(zip(names, values, strict=True))).values()
    return scores[:, 0]
