"""Array types, named after what they hold, with shapes and units.

A type checker sees the dtype alone; shapes and units are for people.
"""

from typing import Any, TypeAlias

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
