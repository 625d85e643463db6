"""Stacking: fit two meta-models on out-of-fold scores, choose the better one, calibrate it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bonafide.artifact import JSON, Artifact, JsonArtifact, sha256_of
from bonafide.bundle import META_MODELS
from bonafide.evaluation.metrics import log_loss
from bonafide.training.folds import Folds
from bonafide.types import Mask, Scores

if TYPE_CHECKING:
    from bonafide.training.fitting import FittedBase

CLIP = 2.0**-20  # about 1e-6; it and 1 - CLIP are exact in float32 too

META_TREES = {
    "objective": "binary:logistic",
    "base_score": 0.5,
    "eta": 0.1,
    "max_depth": 2,
    "subsample": 0.8,
    "min_child_weight": 5,
    "tree_method": "hist",
    "nthread": 1,
}
META_ROUNDS = 60


def log_odds(p: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the log odds of probabilities, clipped to [`CLIP`, 1 - `CLIP`]."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def even_weights(is_spoof: Mask) -> NDArray[np.float64]:
    """Return a weight for each row, shape (n_rows,), by which both classes count alike."""
    share = is_spoof.mean()
    return np.where(is_spoof, 0.5 / share, 0.5 / (1 - share))


@dataclass(frozen=True)
class Linear:
    """A logistic regression: p = sigmoid(x @ coefficients + intercept)."""

    coefficients: tuple[float, ...]
    intercept: float

    def predict(self, x: NDArray[np.floating[Any]]) -> Scores:
        """Return p_spoof, shape (n_rows,), of inputs (n_rows, n_inputs)."""
        z = np.asarray(x, np.float64) @ np.array(self.coefficients) + self.intercept
        return np.asarray(1 / (1 + np.exp(-z)), dtype=np.float32)


def fit_linear(x: NDArray[np.floating[Any]], is_spoof: Mask, *, strength: float = 1.0) -> Linear:
    """Fit scikit-learn's logistic regression with both classes counting alike."""
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit(x, is_spoof, sample_weight=even_weights(is_spoof))
    return Linear(tuple(float(c) for c in model.coef_[0]), float(model.intercept_[0]))


@dataclass(frozen=True)
class Stack(Artifact):
    """Both fitted meta-models and how they did.

    Parameters
    ----------
    logistic : Linear
        On the log odds of the base models' p_spoof, in the order of the configuration.
    trees : bytes
        An XGBoost booster as UBJSON, on the base models' p_spoof.
    choice : {"logistic", "xgboost"}
        The one with the lower out-of-fold log loss.
    log_loss : dict of str to float
        Out-of-fold log loss of each, in nats, classes counting alike.
    """

    logistic: Linear
    trees: bytes = field(repr=False)
    choice: str
    log_loss: dict[str, float] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``stack.json`` and ``trees.ubj``."""
        entries = {
            "coefficients": self.logistic.coefficients,
            "intercept": self.logistic.intercept,
            "choice": self.choice,
            "log_loss": self.log_loss,
        }
        (folder / "stack.json").write_text(json.dumps(entries))
        (folder / "trees.ubj").write_bytes(self.trees)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        entries = json.loads((folder / "stack.json").read_text())
        linear = Linear(tuple(entries["coefficients"]), entries["intercept"])
        trees = (folder / "trees.ubj").read_bytes()
        return cls(linear, trees, entries["choice"], entries["log_loss"])

    def digest(self) -> str:
        """Return a hash of both and the choice."""
        return sha256_of(json.dumps(asdict(self.logistic)), self.trees, self.choice)

    def facts(self) -> dict[str, JSON]:
        """Return the choice and what it was made by."""
        return {"choice": self.choice, "log_loss": dict(self.log_loss)}

    def predict(self, models: Scores) -> Scores:
        """Return p_spoof of both meta-models, (n_rows, 2), from base scores (n_rows, n_models)."""
        booster = xgboost.Booster()
        booster.load_model(bytearray(self.trees))
        boosted = booster.predict(xgboost.DMatrix(models, nthread=1))
        return np.stack([self.logistic.predict(log_odds(models)), boosted], axis=1)


def _fit_pair(models: Scores, is_spoof: Mask, seed: int) -> Stack:
    matrix = xgboost.DMatrix(models, is_spoof, weight=even_weights(is_spoof), nthread=1)
    booster = xgboost.train({**META_TREES, "seed": seed}, matrix, META_ROUNDS)
    linear = fit_linear(log_odds(models), is_spoof)
    return Stack(linear, bytes(booster.save_raw("ubj")), "logistic")


def fit_stack(
    oof: Scores, nested: Scores, is_spoof: Mask, folds: Folds, seed: int
) -> tuple[Stack, Scores]:
    """Fit both meta-models on out-of-fold scores and choose one.

    The meta-models that score a row never saw its fold, and neither did the base models whose
    scores they were fitted on. Fitted on ordinary out-of-fold scores, which come from base models
    that did see it, they score pure noise better than chance.

    Parameters
    ----------
    oof : ndarray of float32, shape (n_rows, n_models)
        Out-of-fold p_spoof of each base model; test rows hold the final models' scores.
    nested : ndarray of float32, shape (n_rows, n_folds, n_models)
        [r, k]: p_spoof of row r by models that saw neither its fold nor fold k.
    is_spoof : ndarray of bool, shape (n_rows,)
        Labels.
    folds : Folds
        At least three.
    seed : int
        Of the trees.

    Returns
    -------
    Stack
        Fitted on the whole training side.
    ndarray of float32, shape (n_rows, 2)
        Cross-fitted p_spoof of both meta-models; of test rows, p_spoof by the final pair, which
        never saw them either.
    """
    cross_fitted = np.empty((len(oof), len(META_MODELS)), dtype=np.float32)
    for fold in range(folds.count):
        own, rest = folds.fold == fold, ~folds.is_test & (folds.fold != fold)
        pair = _fit_pair(nested[rest, fold], is_spoof[rest], seed)
        cross_fitted[own] = pair.predict(oof[own])
    side = ~folds.is_test
    pair = _fit_pair(oof[side], is_spoof[side], seed)
    if folds.is_test.any():
        cross_fitted[folds.is_test] = pair.predict(oof[folds.is_test])
    weights = even_weights(is_spoof[side])
    losses = {
        name: float(log_loss(cross_fitted[side, column], is_spoof[side], weights))
        for column, name in enumerate(META_MODELS)
    }
    choice = min(losses, key=lambda name: losses[name])
    return Stack(pair.logistic, pair.trees, choice, losses), cross_fitted


@dataclass(frozen=True)
class Calibration(JsonArtifact):
    """llr = -(slope * log_odds(p) + intercept), where p is the chosen meta-model's p_spoof."""

    FILE: ClassVar = "calibration.json"

    slope: float
    intercept: float

    def facts(self) -> dict[str, JSON]:
        """Return both numbers."""
        return self.to_json()

    def llr(self, p_spoof: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the natural-log likelihood ratio, higher for bona fide."""
        return -(self.slope * log_odds(p_spoof) + self.intercept)


def fit_calibration(p_spoof: Scores, is_spoof: Mask) -> Calibration:
    """Fit a line from log odds to llr on out-of-fold scores.

    Both classes count alike, so that the log posterior odds are the log likelihood ratio [1]_ [2]_.

    Parameters
    ----------
    p_spoof : ndarray of float32, shape (n_rows,)
        Cross-fitted scores of one meta-model, in [0, 1].
    is_spoof : ndarray of bool, shape (n_rows,)
        Labels, both of them present.

    Returns
    -------
    Calibration
        Slope and intercept are 0 if the score points the wrong way: every llr is 0 then.

    References
    ----------
    .. [1] J. C. Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to
       Regularized Likelihood Methods", Advances in Large Margin Classifiers, 1999.
    .. [2] N. Brümmer and J. du Preez, "Application-independent evaluation of speaker detection",
       Computer Speech & Language 20, 2006.
    """
    line = fit_linear(log_odds(p_spoof)[:, None], is_spoof, strength=1e6)
    if line.coefficients[0] <= 0.0:  # a score that points the wrong way says nothing
        return Calibration(0.0, 0.0)
    return Calibration(line.coefficients[0], line.intercept)


def stack_models(
    fitted: Sequence["FittedBase"], is_spoof: Mask, folds: Folds, seed: int
) -> tuple[Scores, Stack, Scores]:
    """Fit the meta-models on the scores of base models; see `fit_stack`.

    Parameters
    ----------
    fitted : sequence of FittedBase
        Their order is that of the columns.
    is_spoof : ndarray of bool, shape (n_rows,)
        Labels.
    folds : Folds
        At least three.
    seed : int
        Of the trees.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_models)
        Out-of-fold p_spoof of the base models, a column each.
    Stack
        Fitted on the whole training side.
    ndarray of float32, shape (n_rows, 2)
        Cross-fitted p_spoof of both meta-models.
    """
    oof = np.stack([base.oof for base in fitted], axis=1)
    nested = np.stack([base.nested for base in fitted], axis=2)
    return oof, *fit_stack(oof, nested, is_spoof, folds, seed)


def calibrate_stack(
    stack: Stack, cross_fitted: Scores, is_spoof: Mask, folds: Folds
) -> Calibration:
    """Calibrate the chosen meta-model on the training side; see `fit_calibration`."""
    side = ~folds.is_test
    chosen = cross_fitted[side, META_MODELS.index(stack.choice)]
    return fit_calibration(chosen, is_spoof[side])
