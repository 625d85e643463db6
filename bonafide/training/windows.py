"""The window of a recording that is trained on.

A file of its own: what only scores windows loads nothing of what extraction needs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonafide.audio import Waveform, decode, tile
from bonafide.features.spec import FeatureSpec
from bonafide.training.ingest import LIMITS


def training_window(waveform: Waveform, spec: FeatureSpec) -> Waveform:
    """Return the window of a recording that is trained on: its middle, tiled if it is shorter.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        At 16 kHz.
    spec : FeatureSpec
        Sets the length of the window.

    Returns
    -------
    ndarray of float32, shape (window_samples,)
    """
    start = max(0, (len(waveform) - spec.window_samples) // 2)
    return tile(waveform[start:], spec.window_samples)


def training_windows(paths: Sequence[Path], spec: FeatureSpec) -> NDArray[np.float32]:
    """Decode recordings and return their training windows, (len(paths), window_samples)."""
    decoded = (decode(path, limits=LIMITS) for path in paths)
    return np.stack([training_window(waveform, spec) for waveform in decoded])
