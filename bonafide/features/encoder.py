"""Frozen speech encoders as a vector of a window: their frames, pooled over time.

An encoder is an ONNX file of anybody's: input ``waveform``, float32 [batch, n] at 16 kHz, and
outputs of frames, float32 [batch, n_frames, n_features]. It is known by its hash, and found in the
shipped bundle or in the home. This module needs onnx (extra ``train``) only where it builds.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bonafide.errors import ConfigError

if TYPE_CHECKING:
    import onnx

    from bonafide.features.graph import GraphBuilder

LEVEL = 0.1  # RMS of what an encoder hears: that of ordinary speech at full scale 1
SHIPPED_ENCODER = "shipped"
_FLOAT = "tensor(float)"


@dataclass(frozen=True)
class EncoderSpec:
    """A frozen encoder.

    Parameters
    ----------
    sha256 : str
        Hash of its file.
    outputs : dict of str to int
        Name of each output, in order, and how many features its frames have.
    """

    sha256: str
    outputs: dict[str, int]

    @property
    def n_features(self) -> int:
        """Numbers of the pooled vector: three of each feature."""
        return 3 * sum(self.outputs.values())


def read_encoder(path: Path) -> EncoderSpec:
    """Read what a file's inputs and outputs are.

    Parameters
    ----------
    path : Path
        An ONNX file.

    Returns
    -------
    EncoderSpec

    Raises
    ------
    ConfigError
        ``no_encoder`` if it cannot be read; ``bad_encoder`` if it is no encoder.
    """
    import onnxruntime

    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError("no_encoder", f"{path}: cannot be read: {error.strerror}") from error
    try:
        session = onnxruntime.InferenceSession(path)
    except Exception as error:  # onnxruntime's errors have no class of their own
        raise ConfigError("bad_encoder", f"{path}: no ONNX file that runs: {error}") from error
    inputs = {value.name: (value.type, len(value.shape)) for value in session.get_inputs()}
    if inputs != {"waveform": (_FLOAT, 2)}:
        raise ConfigError(
            "bad_encoder",
            f"{path}: inputs {inputs}: must be waveform alone, float32 [batch, n_samples]",
        )
    outputs = {}
    for value in session.get_outputs():
        size = value.shape[-1] if value.shape else None
        if value.type != _FLOAT or len(value.shape) != 3 or not isinstance(size, int):
            raise ConfigError(
                "bad_encoder",
                f"{path}: output {value.name}, {value.type} {value.shape}: must be float32 "
                "[batch, n_frames, n_features] with a fixed number of features",
            )
        outputs[value.name] = size
    return EncoderSpec(digest, outputs)


def keep_encoder(root: Path, path: Path) -> EncoderSpec:
    """Copy an encoder into the home, under its hash.

    Parameters
    ----------
    root : Path
        The home folder.
    path : Path
        An ONNX file.

    Returns
    -------
    EncoderSpec

    Raises
    ------
    ConfigError
        As in `read_encoder`.
    """
    spec = read_encoder(path)
    kept = _kept(root, spec.sha256)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(".draft")
        shutil.copyfile(path, draft)
        draft.replace(kept)  # whole or not at all
    return spec


def find_encoder(root: Path, ref: str) -> EncoderSpec:
    """Return the encoder that a configuration names.

    Parameters
    ----------
    root : Path
        The home folder.
    ref : str
        ``shipped``, that of the shipped bundle; the hash of one in the home; or a file, which is
        kept there.

    Returns
    -------
    EncoderSpec

    Raises
    ------
    ConfigError
        ``no_encoder`` if there is none; ``bad_encoder`` if it is no encoder.
    """
    if ref == SHIPPED_ENCODER:
        return read_encoder(_shipped())
    known = _kept(root, ref)
    return read_encoder(known) if known.exists() else keep_encoder(root, Path(ref))


def encoder_path(spec: EncoderSpec, root: Path) -> Path:
    """Return the file of an encoder.

    Parameters
    ----------
    spec : EncoderSpec
        Known by its hash.
    root : Path
        The home folder.

    Returns
    -------
    Path
        In the home, or else in the shipped bundle.

    Raises
    ------
    ConfigError
        ``no_encoder`` if neither has it.
    """
    for path in (_kept(root, spec.sha256), _shipped()):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == spec.sha256:
            return path
    raise ConfigError(
        "no_encoder",
        f"encoder {spec.sha256}: neither shipped nor in {root / 'encoders'}; add it with "
        "`bonafide models encoder FILE`",
    )


def _kept(root: Path, sha256: str) -> Path:
    return root / "encoders" / f"{sha256}.onnx"


def _shipped() -> Path:
    from bonafide.home import SHIPPED

    return SHIPPED / "encoder.onnx"


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
    """
    from bonafide.features.frontend import at_unit_level
    from bonafide.features.graph import GraphBuilder

    graph = GraphBuilder("pooled")
    waveform = graph.input("waveform", ["batch", window_samples])
    level = at_unit_level(graph, rms_floor, waveform)
    pooled = add_encoder(graph, model, spec, level)
    graph.output("encoder", pooled, ["batch", spec.n_features])
    return graph.model()
