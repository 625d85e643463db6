"""Keras networks to ONNX: tf2onnx for the parts, one native node for the recurrence.

tf2onnx turns Keras 3's GRU and SimpleRNN into a Loop that runs its body once a frame, ten times
slower than the ONNX operator of the same name. So a recurrent network is cut at its recurrent
layer; tf2onnx converts what stands before and after, and the layer becomes one node.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from bonafide.onnxgraph import OPSET, GraphBuilder, inline
from bonafide.training.config import NetworkConfig
from bonafide.training.networks import build_network
from bonafide.training.parallel import Progress

RECURRENT_LAYERS = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.Bidirectional)


def _convert(model: keras.Model) -> onnx.ModelProto:
    """Convert a functional model without recurrence."""
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # export wants it called once
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.onnx"
        model.export(path, format="onnx", opset_version=OPSET, verbose=False)
        return onnx.load(path)


def _inline_keras(graph: GraphBuilder, model: keras.Model, value: str) -> str:
    part = _convert(model)
    outputs = inline(graph, part, {part.graph.input[0].name: value})
    return next(iter(outputs.values()))


def _gates_in_onnx_order(kernel: NDArray[np.float32], order: list[int]) -> NDArray[np.float32]:
    """Reorder gates side by side, (n_in, gates * n), into rows, (gates * n, n_in)."""
    parts = np.split(kernel, len(order), axis=-1)
    return np.concatenate([parts[gate] for gate in order], axis=-1).T


def _node_weights(layer: Any) -> tuple[str, list[NDArray[np.float32]], dict[str, Any]]:
    """Give operator, (W, R, B) of one direction, and attributes of a Keras layer."""
    kernel, recurrent, bias = (np.asarray(w) for w in layer.get_weights())
    if isinstance(layer, keras.layers.GRU):
        order = [0, 1, 2]  # Keras and ONNX both: z, r, h; reset_after is linear_before_reset
        operator, attributes = "GRU", {"linear_before_reset": 1}
        both = bias.reshape(2, -1)  # input and recurrent bias
    elif isinstance(layer, keras.layers.LSTM):
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
    """Add a recurrent layer that gives its whole sequence: [batch, t, d] -> [batch, t, n]."""
    bidirectional = isinstance(layer, keras.layers.Bidirectional)
    directions = [layer.forward_layer, layer.backward_layer] if bidirectional else [layer]
    weights = [_node_weights(direction) for direction in directions]
    operator, _, attributes = weights[0]
    stacked = [np.stack(parts) for parts in zip(*(w for _, w, _ in weights), strict=True)]
    by_time = graph.add("Transpose", x, perm=[1, 0, 2])
    y = graph.add(  # [t, directions, batch, n]
        operator,
        by_time,
        *map(graph.constant, stacked),
        hidden_size=directions[0].units,
        direction="bidirectional" if bidirectional else "forward",
        **attributes,
    )
    by_batch = graph.add("Transpose", y, perm=[2, 0, 1, 3])
    return graph.add("Reshape", by_batch, graph.integers([0, 0, -1]))


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
    value = graph.input("frames", ["batch", *model.input_shape[1:]])
    layer = next((x for x in model.layers if isinstance(x, RECURRENT_LAYERS)), None)
    if layer is None:
        value = _inline_keras(graph, model, value)
    else:
        value = _inline_keras(graph, keras.Model(model.input, layer.input), value)
        value = _add_recurrence(graph, layer, value)
        value = _inline_keras(graph, keras.Model(layer.output, model.output), value)
    p_spoof = graph.add("Reshape", value, graph.integers([-1]))
    graph.output("p_spoof", p_spoof, ["batch"])
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
        Receives ``<name>.onnx`` and ``<name>.npy``, the source model's p_spoof, shape (n,).
    """
    trained = keras.saving.load_model(model)
    frames = np.load(samples)
    _, n_frames, n_features = frames.shape
    fixed = build_network(name, NetworkConfig.model_validate(config), n_features, n_frames)
    fixed.set_weights(trained.get_weights())
    onnx.save(convert_network(fixed, name), str(Path(folder) / f"{name}.onnx"))
    source = np.asarray(trained(frames, training=False))[:, 0]
    np.save(Path(folder) / f"{name}.npy", source)
    return {}
