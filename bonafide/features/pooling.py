"""A frozen encoder in a graph, its frames pooled over time.

Needs onnx (extra ``train``), imported when a graph is built.
"""

from typing import TYPE_CHECKING

from bonafide.errors import ConfigError
from bonafide.features.encoder import EncoderSpec
from bonafide.features.frontend import at_unit_level

if TYPE_CHECKING:
    import onnx

    from bonafide.features.graph import GraphBuilder

LEVEL = 0.1  # RMS of what an encoder hears: that of ordinary speech at full scale 1


def add_encoder(
    graph: "GraphBuilder", model: "onnx.ModelProto", spec: EncoderSpec, waveform: str
) -> str:
    """Add an encoder and the pooling of its frames over time to a graph.

    Parameters
    ----------
    graph : GraphBuilder
        Receives the nodes.
    model : onnx.ModelProto
        The encoder.
    spec : EncoderSpec
        Says which outputs are pooled.
    waveform : str
        Windows of unit RMS without offset, [batch, n_samples]; there may be none.

    Returns
    -------
    str
        [batch, n_features]: output after output the means, the deviations and the mean absolute
        differences of neighbouring frames.
    """
    heard = graph.add("Mul", waveform, graph.constant(LEVEL))
    outputs = graph.inline(model, {"waveform": heard})
    pooled = []
    for name in spec.outputs:
        frames = outputs[name]
        mean = graph.add("ReduceMean", frames, axes=[1], keepdims=1)
        centred = graph.add("Sub", frames, mean)
        square = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[1], keepdims=0)
        ends = [graph.integers([end]) for end in (0, 1, -1, 2**31)]
        earlier = graph.add("Slice", frames, ends[0], ends[2], ends[1])
        later = graph.add("Slice", frames, ends[1], ends[3], ends[1])
        moves = graph.add("Abs", graph.add("Sub", later, earlier))
        pooled += [
            graph.add("Squeeze", mean, graph.integers([1])),
            graph.add("Sqrt", square),
            graph.add("ReduceMean", moves, axes=[1], keepdims=0),
        ]
    return graph.add("Concat", *pooled, axis=1)


def build_encoder(
    model: "onnx.ModelProto", spec: EncoderSpec, window_samples: int, rms_floor: float
) -> "onnx.ModelProto":
    """Build the graph from windows of any level to the pooled frames of an encoder.

    Parameters
    ----------
    model : onnx.ModelProto
        The encoder.
    spec : EncoderSpec
        Says which outputs are pooled.
    window_samples : int
        Samples of a window.
    rms_floor : float
        Quieter windows are not amplified further, as `FeatureSpec.rms_floor` says.

    Returns
    -------
    onnx.ModelProto
        Input ``waveform`` [batch, window_samples], output ``encoder`` [batch, n_features].

    Raises
    ------
    ConfigError
        ``bad_encoder`` if the encoder hears windows of another length.
    """
    from bonafide.features.graph import GraphBuilder

    if (heard := window_of(model)) not in (None, window_samples):
        message = f"hears {heard} samples: must hear {window_samples}, or any number"
        raise ConfigError("bad_encoder", f"encoder {spec.sha256[:8]}: {message}")
    graph = GraphBuilder("pooled")
    waveform = graph.input("waveform", ["batch", window_samples])
    level = at_unit_level(graph, rms_floor, waveform)
    pooled = add_encoder(graph, model, spec, level)
    graph.output("encoder", pooled, ["batch", spec.n_features])
    return graph.model()


def window_of(model: "onnx.ModelProto") -> int | None:
    """Return how many samples an encoder hears.

    Parameters
    ----------
    model : onnx.ModelProto
        The encoder.

    Returns
    -------
    int or None
        None for any number.
    """
    (shape,) = (
        value.type.tensor_type.shape.dim for value in model.graph.input if value.name == "waveform"
    )
    return shape[1].dim_value or None
