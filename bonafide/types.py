"""Array types, named after what they hold, with shapes and units.

A type checker sees the dtype alone; shapes and units are for people.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Waveform: TypeAlias = NDArray[np.float32]
"""Shape (n_samples,): mono sound at 16 kHz, full scale 1."""

Spectrum: TypeAlias = NDArray[np.complexfloating[Any, Any]]
"""Shape (n_bins, n_frames): a short-time Fourier transform."""

Features: TypeAlias = NDArray[np.float32]
"""Shape (n, n_frames, n_coefficients): what a base model hears."""

Scores: TypeAlias = NDArray[np.float32]
"""Shape (n,) or (n, n_models): llr in nats, or p_spoof from 0 to 1."""

Tensor: TypeAlias = NDArray[np.float32]
"""Any shape: what an ONNX graph takes and returns, and the tables inside one."""

Mask: TypeAlias = NDArray[np.bool_]
"""Shape (n,): a boolean for each row or frame, such as is_spoof."""

Ints: TypeAlias = NDArray[np.int64]
"""Shape (n,): row or fold numbers, from 0."""

Floats: TypeAlias = NDArray[np.float64]
"""Any shape: numbers in the precision that sums need."""

AnyFloats: TypeAlias = NDArray[np.floating[Any]]
"""Any shape: numbers in whichever float precision they come in."""


class WindowScores(NamedTuple):
    """What a detector says of each of n windows.

    Parameters
    ----------
    llr : ndarray of float32, shape (n,)
        Natural-log likelihood ratios, higher for bona fide.
    models : ndarray of float32, shape (n, n_models)
        p_spoof of each base model, in the order of the bundle's `models`; NaN: it was not asked.
    stack : ndarray of float32, shape (n, 2)
        p_spoof of each meta-model, in the order of `META_MODELS`.
    channel : ndarray of float32, shape (n, n_channels), or None
        Posterior of each channel, in the order of the bundle's `channels`; None without channels.
    distance : ndarray of float32, shape (n,), or None
        How unlike all known channels a window sounds, from 0; None without channels.
    """

    llr: Scores
    models: Scores
    stack: Scores
    channel: Scores | None = None
    distance: Scores | None = None
