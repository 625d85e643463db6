"""Shapley values: what each of a few players adds, however they come together."""

import numpy as np
from numpy.typing import NDArray

from bonafide.types import AnyFloats, Floats


def coalitions(n: int) -> NDArray[np.bool_]:
    """Return every coalition of n players.

    Parameters
    ----------
    n : int
        Number of players, at least 1.

    Returns
    -------
    ndarray of bool, shape (2**n, n)
        Row k holds player i where bit i of k is set: the first row is empty, the last one full.

    Examples
    --------
    >>> coalitions(2).astype(int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    return np.asarray((np.arange(2**n)[:, None] >> np.arange(n)) & 1, dtype=bool)


def shapley_values(worth: AnyFloats) -> Floats:
    """Return what each player adds, on average over all orders of joining (Shapley, 1953).

    Parameters
    ----------
    worth : ndarray of float, shape (2**n, ...)
        What each of `coalitions` is worth.

    Returns
    -------
    ndarray of float64, shape (n, ...)
        Their sum is the worth of all less that of none.

    References
    ----------
    .. [1] L. S. Shapley, "A value for n-person games", Contributions to the Theory of Games II,
       1953.

    Examples
    --------
    >>> shapley_values(np.array([0.0, 1.0, 2.0, 5.0])).tolist()
    [2.0, 3.0]
    """
    n, worth = len(worth).bit_length() - 1, np.asarray(worth, dtype=np.float64)
    joined = coalitions(n)
    size = joined.sum(axis=1)
    values = np.zeros((n, *worth.shape[1:]))
    for player in range(n):
        for others in range(n):  # every size of a coalition counts alike
            without = np.flatnonzero(~joined[:, player] & (size == others))
            values[player] += (worth[without + 2**player] - worth[without]).mean(axis=0) / n
    return values
