"""A trial of a frozen encoder, before training spends hours on it. Needs onnx (extra ``train``)."""

from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import onnx

from bonafide.errors import BundleError, ConfigError
from bonafide.features.encoder import EncoderSpec, read_encoder
from bonafide.features.graph import OPSET
from bonafide.features.pooling import LEVEL, build_encoder, window_of
from bonafide.runtime import Graph
from bonafide.types import Tensor

N_TIMED = 20
RMS_FLOOR = 1e-4
NEIGHBOUR = 0.01  # most that a loud neighbour may move a row's frames, of what they are
STANDARD = ("", "ai.onnx", "ai.onnx.ml")


class Trial(NamedTuple):
    """What an encoder is, and what it costs.

    Parameters
    ----------
    spec : EncoderSpec
        As `read_encoder` returns it.
    n_bytes : int
        Size of the file.
    milliseconds : float
        Median for one window on one thread, pooling included.
    """

    spec: EncoderSpec
    n_bytes: int
    milliseconds: float


def try_encoder(path: Path, window_samples: int) -> Trial:
    """Check that an encoder can be part of a detector, and time it.

    Parameters
    ----------
    path : Path
        An ONNX file, as `read_encoder` takes it.
    window_samples : int
        Length of a window.

    Returns
    -------
    Trial

    Raises
    ------
    ConfigError
        ``no_encoder`` and ``bad_encoder`` as in `read_encoder` and `build_encoder`; ``bad_encoder``
        too for operators that are not standard ones of opset 17 or before, fewer than two frames a
        window, frames that are not finite, no answer for zero rows, or a row whose answer depends
        on the others, as under dynamic quantisation.
    """
    spec, model = read_encoder(path), onnx.load(path)
    _check_operators(path, model)
    _check_answers(path, window_of(model) or window_samples)
    graph = Graph(build_encoder(model, spec, window_samples, RMS_FLOOR).SerializeToString())
    noise, times = _noise(window_samples), list[float]()
    for _ in range(N_TIMED + 1):  # the first makes room
        start = perf_counter()
        graph({"waveform": noise})
        times.append(perf_counter() - start)
    return Trial(spec, path.stat().st_size, 1e3 * float(np.median(times[1:])))


def _noise(n_samples: int) -> Tensor:
    return np.random.default_rng(0).normal(0, LEVEL, (1, n_samples)).astype(np.float32)


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    for used in model.opset_import:
        if used.domain not in STANDARD:
            raise _bad(path, f"operators of {used.domain}: must be standard ones")
        if used.domain in STANDARD[:2] and used.version > OPSET:
            raise _bad(path, f"opset {used.version}: must be at most {OPSET}")
    if model.functions:
        raise _bad(path, f"function {model.functions[0].name}: must be inlined")


def _check_answers(path: Path, n_samples: int) -> None:
    noise = _noise(n_samples)
    loud = np.concatenate([noise, 10 * noise[:, ::-1]])
    try:
        graph = Graph(path)
        alone, beside, none = (graph({"waveform": rows}) for rows in (noise, loud, noise[:0]))
    except BundleError as error:
        raise ConfigError("bad_encoder", error.message) from error
    except Exception as error:  # onnxruntime's own have no base but this
        raise _bad(path, f"cannot be run on 0, 1 and 2 windows: {error}") from error
    for name, frames in alone.items():
        if frames.shape[1] < 2 or (len(frames), len(none[name])) != (1, 0):
            message = "must be [1, n_frames, n_features] with at least 2 frames, and empty for none"
            raise _bad(path, f"output {name}, {list(frames.shape)} for a window: {message}")
        if not np.isfinite(frames).all():
            raise _bad(path, f"output {name} for noise: must be finite")
        moved = np.abs(beside[name][:1] - frames).mean() / max(np.abs(frames).mean(), 1e-9)
        if moved > NEIGHBOUR:
            message = "must not move, so quantise with static scales"
            raise _bad(path, f"output {name} moves by {moved:.1%} beside a loud window: {message}")


def _bad(path: Path, message: str) -> ConfigError:
    return ConfigError("bad_encoder", f"{path}: {message}")
