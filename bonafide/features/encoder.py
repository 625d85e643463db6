"""Frozen speech encoders as a vector of a window: their frames, pooled over time.

An encoder is an ONNX file of anybody's: input ``waveform``, float32 [batch, n] at 16 kHz, and
outputs of frames, float32 [batch, n_frames, n_features]. It is known by its hash, and found in the
shipped bundle or in the home. `bonafide.features.pooling` builds with it.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bonafide.artifact import file_sha256
from bonafide.errors import ConfigError

SHIPPED_ENCODER = "shipped"
_FLOAT = "tensor(float)"
HASH = re.compile("[0-9a-f]{64}")


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
        digest = file_sha256(path)
    except OSError as error:
        raise ConfigError("no_encoder", f"{path}: cannot be read: {error.strerror}") from error
    try:
        session = onnxruntime.InferenceSession(path.read_bytes())  # whole: without files beside it
    except Exception as error:  # onnxruntime's errors have no class of their own
        message = f"{path}: no ONNX file that runs by itself: {error}"
        raise ConfigError("bad_encoder", message) from error
    inputs = {value.name: (value.type, len(value.shape)) for value in session.get_inputs()}
    if inputs != {"waveform": (_FLOAT, 2)}:
        raise ConfigError(
            "bad_encoder",
            f"{path}: inputs {inputs}: must be waveform alone, float32 [batch, n_samples]",
        )
    outputs = {}
    for value in session.get_outputs():
        size = value.shape[-1] if value.shape else None
        if value.type != _FLOAT or len(value.shape) != 3 or not isinstance(size, int) or not size:
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
    if HASH.fullmatch(ref) and _kept(root, ref).exists():
        return read_encoder(_kept(root, ref))
    return keep_encoder(root, Path(ref))


def is_kept(root: Path, path: Path) -> bool:
    """Return whether the home has an encoder already; errors are those of `read_encoder`."""
    return _kept(root, read_encoder(path).sha256).exists()


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
        if path.is_file() and file_sha256(path) == spec.sha256:
            return path
    raise ConfigError(
        "no_encoder",
        f"encoder {spec.sha256}: neither shipped nor in {root / 'encoders'}; add it with "
        "`bonafide models encoder FILE`",
    )


def _kept(root: Path, sha256: str) -> Path:
    return root / "encoders" / f"{sha256}.onnx"


def _shipped() -> Path:
    return Path(__file__).resolve().parents[1] / "shipped" / "default" / "encoder.onnx"
