"""Parity: how much the scores of an exported graph may differ from those of its source."""

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
    """Check that every difference is a number of at most `MAX_DIFFERENCE`.

    Parameters
    ----------
    parity : mapping of str to float
        Largest absolute difference of each graph from its source.

    Raises
    ------
    BonafideError
        ``parity_failed``, naming those that are larger.
    """
    bad = {name: value for name, value in parity.items() if not value <= MAX_DIFFERENCE}
    if bad:
        raise BonafideError(
            "parity_failed",
            f"exported models differ from their sources by {bad}; must be at most {MAX_DIFFERENCE}",
        )
