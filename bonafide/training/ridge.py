"""Ridge regression of classes by sums that add up, and a softmax on its outputs."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from bonafide.types import AnyFloats, Floats, Ints

SOFTMAX_STRENGTH = 100.0


def softmax(z: AnyFloats) -> Floats:
    """Return the softmax over the last axis.

    Parameters
    ----------
    z : ndarray of float, shape (..., n)
        Log odds up to a constant.

    Returns
    -------
    ndarray of float64, shape (..., n)
        Probabilities that sum to 1.

    Examples
    --------
    >>> softmax(np.array([0.0, np.log(3.0)])).round(2).tolist()
    [0.25, 0.75]
    """
    powers = np.exp(np.asarray(z, np.float64) - np.max(z, axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@dataclass
class Sums:
    """Weighted products of what a ridge regression is fitted on, which add up.

    Parameters
    ----------
    xx : ndarray of float64, shape (n + 1, n + 1)
        Of the inputs, a constant after them, with each other.
    xy : ndarray of float64, shape (n + 1, n_classes)
        Of the inputs with the classes.
    """

    xx: Floats
    xy: Floats

    @classmethod
    def none(cls, size: int, n_classes: int) -> Self:
        """Return the sums of no row; `size` counts the constant."""
        return cls(np.zeros((size, size)), np.zeros((size, n_classes)))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.xx + other.xx, self.xy + other.xy)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.xx - other.xx, self.xy - other.xy)

    def solve(self, ridge: float) -> Floats:
        """Return coefficients.

        Parameters
        ----------
        ridge : float
            What is added to the products of each input with itself; the constant's are left alone.

        Returns
        -------
        ndarray of float64, shape (n + 1, n_classes)
            The constant's last.
        """
        penalty = ridge * np.eye(len(self.xx))
        penalty[-1, -1] = 0.0
        return np.asarray(np.linalg.solve(self.xx + penalty, self.xy))


def fit_softmax(outputs: Floats, label: Ints) -> tuple[Floats, Floats]:
    """Fit a softmax on a ridge regression's outputs, all classes counting alike.

    Parameters
    ----------
    outputs : ndarray of float64, shape (n, n_classes)
        Best of rows that the regression did not learn from.
    label : ndarray of int, shape (n,)
        The class of each; every class has rows.

    Returns
    -------
    ndarray of float64, shape (n_classes, n_classes)
        Probabilities are ``softmax(outputs @ it + shift)``.
    ndarray of float64, shape (n_classes,)
        The shift.
    """
    if outputs.shape[-1] == 1:
        return np.zeros((1, 1)), np.zeros(1)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=SOFTMAX_STRENGTH, max_iter=1000, class_weight="balanced")
    model.fit(outputs, label)
    scale, shift = model.coef_.T, model.intercept_
    if outputs.shape[-1] == 2:  # scikit-learn keeps the second class alone
        scale, shift = (np.concatenate([0 * a, a], axis=-1) for a in (scale, shift))
    return np.asarray(scale), np.asarray(shift)
