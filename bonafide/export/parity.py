"""How far an exported graph may be from what it was made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.errors import BonafideError

MAX_DIFFERENCE = 1e-4


def largest(seen: NDArray[np.floating[Any]], source: NDArray[np.floating[Any]]) -> float:
    """Return the largest absolute difference, in float64."""
    return float(np.abs(seen.astype(np.float64) - source).max())


def require_parity(parity: Mapping[str, float]) -> None:
    """Refuse differences that are too large, or not numbers.

    Raises
    ------
    BonafideError
        ``parity_failed``.
    """
    bad = {name: value for name, value in parity.items() if not value <= MAX_DIFFERENCE}
    if bad:
        raise BonafideError(
            "parity_failed",
            f"exported models differ from their sources by {bad}; must be at most {MAX_DIFFERENCE}",
        )
