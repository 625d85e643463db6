"""Stacking: fit two meta-models on out-of-fold scores by channel, and choose the better one."""

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
from bonafide.corpora.schema import Corpus
from bonafide.evaluation.metrics import log_loss
from bonafide.judging import calibrated, log_odds
from bonafide.models.examples import source_weights
from bonafide.training.folds import Folds
from bonafide.training.routing import Router
from bonafide.types import AnyFloats, Floats, Mask, Scores

if TYPE_CHECKING:
    from bonafide.training.fitting import FittedBase


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


def meta_inputs(models: AnyFloats, channel: AnyFloats) -> Floats:
    """Return what the logistic meta-model is fitted on.

    Parameters
    ----------
    models : ndarray of float, shape (n, n_models)
        p_spoof of the base models.
    channel : ndarray of float, shape (n, n_channels)
        Posteriors of the channels.

    Returns
    -------
    ndarray of float64, shape (n, n_channels * (1 + n_models))
        The posteriors, then channel after channel its posterior times the models' log odds: each
        channel has an offset and weights of its own.
    """
    odds = log_odds(models)[:, None, :] * np.asarray(channel, np.float64)[:, :, None]
    return np.concatenate([channel, odds.reshape(len(odds), -1)], axis=1)


def row_weights(corpus: Corpus, side: Mask, stretches: Sequence[str]) -> Floats:
    """Weigh recordings and copies so that channels count alike, and in each of them both classes.

    Parameters
    ----------
    corpus : Corpus
        Sources, and labels.
    side : ndarray of bool, shape (n_rows,)
        The rows that are fitted on, of both labels.
    stretches : sequence of str
        Channel of the recordings and of each copy.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_stretches)
        In proportion to the power -1/2 of how many of these rows share source and label; 1 on
        average over them, and 0 for the others.
    """
    source = np.unique(corpus.column("source"), return_inverse=True)[1]
    weight = np.zeros(len(side))
    weight[side] = source_weights(source[side], corpus.is_spoof[side])
    names, counts = np.unique(np.array(stretches), return_counts=True)
    share = {name: 1 / len(names) / count for name, count in zip(names, counts, strict=True)}
    by_stretch = np.array([share[name] for name in stretches])
    return np.asarray(weight[:, None] * by_stretch * len(by_stretch))


@dataclass(frozen=True)
class Linear:
    """A logistic regression: p = sigmoid(x @ coefficients + intercept)."""

    coefficients: tuple[float, ...]
    intercept: float

    def predict(self, x: NDArray[np.floating[Any]]) -> Scores:
        """Return p_spoof, shape (n_rows,), of inputs (n_rows, n_inputs)."""
        z = np.asarray(x, np.float64) @ np.array(self.coefficients) + self.intercept
        return np.asarray(1 / (1 + np.exp(-z)), dtype=np.float32)


def fit_linear(
    x: NDArray[np.floating[Any]], is_spoof: Mask, weights: AnyFloats, *, strength: float = 1.0
) -> Linear:
    """Fit scikit-learn's logistic regression with a weight for each row."""
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit(x, is_spoof, sample_weight=weights)
    return Linear(tuple(float(c) for c in model.coef_[0]), float(model.intercept_[0]))


@dataclass(frozen=True)
class Stack(Artifact):
    """Both fitted meta-models and how they did.

    Parameters
    ----------
    logistic : Linear
        On `meta_inputs`: the base models' log odds, in the order of the stage, by channel.
    trees : bytes
        An XGBoost booster as UBJSON, on the base models' p_spoof and the channels' posteriors.
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

    def predict(self, models: AnyFloats, channel: AnyFloats) -> Scores:
        """Return p_spoof of both meta-models.

        Parameters
        ----------
        models : ndarray of float, shape (n_rows, n_models)
            p_spoof of the base models.
        channel : ndarray of float, shape (n_rows, n_channels)
            Posteriors of the channels.

        Returns
        -------
        ndarray of float32, shape (n_rows, 2)
            In the order of `META_MODELS`.
        """
        booster = xgboost.Booster()
        booster.load_model(bytearray(self.trees))
        both = np.concatenate([models, channel], axis=1, dtype=np.float32)
        boosted = booster.predict(xgboost.DMatrix(both, nthread=1))
        logistic = self.logistic.predict(meta_inputs(models, channel))
        return np.stack([logistic, boosted], axis=1)


@dataclass(frozen=True)
class Scored:
    """Rows as meta-models see them: a row each, recordings and copies alike.

    Parameters
    ----------
    models : ndarray of float32, shape (n, n_models)
        p_spoof of the base models.
    channel : ndarray of float32, shape (n, n_channels)
        Posteriors of the channels.
    """

    models: Scores
    channel: Scores

    @classmethod
    def of(cls, models: Scores, channel: Scores) -> Self:
        """Return rows of scores of recordings and copies.

        Parameters
        ----------
        models : ndarray of float32, shape (..., n_models)
            p_spoof of the base models.
        channel : ndarray of float32, shape (..., n_channels)
            Posteriors, of the same leading shape.

        Returns
        -------
        Scored
            A row for each combination of leading indices.
        """
        return cls(models.reshape(-1, models.shape[-1]), channel.reshape(-1, channel.shape[-1]))


def _fit_pair(scored: Scored, is_spoof: Mask, weights: AnyFloats, seed: int) -> Stack:
    both = np.concatenate([scored.models, scored.channel], axis=1)
    matrix = xgboost.DMatrix(both, is_spoof, weight=weights, nthread=1)
    booster = xgboost.train({**META_TREES, "seed": seed}, matrix, META_ROUNDS)
    linear = fit_linear(meta_inputs(scored.models, scored.channel), is_spoof, weights, strength=0.1)
    return Stack(linear, bytes(booster.save_raw("ubj")), "logistic")


def fit_stack(
    oof: Scores,
    nested: Scores,
    router: Router,
    is_spoof: Mask,
    weights: Floats,
    folds: Folds,
    seed: int,
) -> tuple[Stack, Scores]:
    """Fit both meta-models on out-of-fold scores and choose one.

    The meta-models that score a row never saw its fold, and neither did the base models whose
    scores they were fitted on. Fitted on ordinary out-of-fold scores, which come from base models
    that did see it, they score pure noise better than chance.

    Parameters
    ----------
    oof : ndarray of float32, shape (n_rows, n_stretches, n_models)
        Out-of-fold p_spoof of each base model; test rows hold the final models' scores.
    nested : ndarray of float32, shape (n_rows, n_folds, n_stretches, n_models)
        [r, k]: p_spoof of row r by models that saw neither its fold nor fold k.
    router : Router
        Its posteriors, out of fold and nested in the same way.
    is_spoof : ndarray of bool, shape (n_rows,)
        Labels.
    weights : ndarray of float64, shape (n_rows, n_stretches)
        See `row_weights`.
    folds : Folds
        At least three.
    seed : int
        Of the trees.

    Returns
    -------
    Stack
        Fitted on the whole training side.
    ndarray of float32, shape (n_rows, n_stretches, 2)
        Cross-fitted p_spoof of both meta-models; of test rows, p_spoof by the final pair, which
        never saw them either.
    """
    count = oof.shape[1]
    cross_fitted = np.empty((*oof.shape[:2], len(META_MODELS)), dtype=np.float32)

    def scored_by(pair: Stack, rows: Mask) -> None:
        every = Scored.of(oof[rows], router.posteriors[rows])
        cross_fitted[rows] = pair.predict(every.models, every.channel).reshape(-1, count, 2)

    def fitted_on(models: Scores, channel: Scores, rows: Mask) -> Stack:
        labels, mass = np.repeat(is_spoof[rows], count), weights[rows].ravel()
        return _fit_pair(Scored.of(models, channel), labels, mass, seed)

    for fold in range(folds.count):
        rest = ~folds.is_test & (folds.fold != fold)
        pair = fitted_on(nested[rest, fold], router.nested[rest, fold], rest)
        scored_by(pair, folds.fold == fold)
    side = ~folds.is_test
    pair = fitted_on(oof[side], router.posteriors[side], side)
    if folds.is_test.any():
        scored_by(pair, folds.is_test)
    labels, mass = np.repeat(is_spoof[side], count), weights[side].ravel()
    losses = {
        name: float(log_loss(cross_fitted[side, :, column].ravel(), labels, mass))
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
        return calibrated(p_spoof, self.slope, self.intercept)


def fit_calibration(p_spoof: AnyFloats, is_spoof: Mask, weights: AnyFloats) -> Calibration:
    """Fit a line from log odds to llr on out-of-fold scores.

    Both classes count alike, so that the log posterior odds are the log likelihood ratio [1]_ [2]_.
    Labels are taken for a little less than certain, by Platt's rule, which bounds the slope where
    the scores tell all of them apart.

    Parameters
    ----------
    p_spoof : ndarray of float32, shape (n,)
        Cross-fitted scores of one meta-model, in [0, 1].
    is_spoof : ndarray of bool, shape (n,)
        Labels, both of them present.
    weights : ndarray of float64, shape (n,)
        Of the rows; those of both classes sum to the same.

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
    n_of = np.where(is_spoof, is_spoof.sum(), (~is_spoof).sum())
    doubt = 1 / (n_of + 2)
    odds = np.tile(log_odds(p_spoof)[:, None], (2, 1))
    labels = np.concatenate([is_spoof, ~is_spoof])
    mass = np.concatenate([weights * (1 - doubt), weights * doubt])
    line = fit_linear(odds, labels, mass, strength=1e6)
    if line.coefficients[0] <= 0.0:  # a score that points the wrong way says nothing
        return Calibration(0.0, 0.0)
    return Calibration(line.coefficients[0], line.intercept)


@dataclass(frozen=True)
class Stage(Artifact):
    """The meta-models of some base models, and their scores.

    Parameters
    ----------
    prefix : str
        Begins the names of its meta-models' files; empty for the last stage.
    models : tuple of str
        Names of its base models.
    stack : Stack
        Both meta-models.
    cross_fitted : ndarray of float32, shape (n_rows, n_stretches, 2)
        As `fit_stack` returns them.
    """

    prefix: str
    models: tuple[str, ...]
    stack: Stack
    cross_fitted: Scores = field(repr=False)

    @property
    def chosen(self) -> Scores:
        """Cross-fitted p_spoof of the meta-model that decides, (n_rows, n_stretches)."""
        return self.cross_fitted[:, :, META_MODELS.index(self.stack.choice)]

    def save(self, folder: Path) -> None:
        """Write what `Stack.save` does, ``stage.json`` and ``cross_fitted.npy``."""
        self.stack.save(folder)
        (folder / "stage.json").write_text(json.dumps([self.prefix, self.models]))
        np.save(folder / "cross_fitted.npy", self.cross_fitted, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        prefix, models = json.loads((folder / "stage.json").read_text())
        scores = np.load(folder / "cross_fitted.npy", allow_pickle=False)
        return cls(prefix, tuple(models), Stack.load(folder), scores)

    def digest(self) -> str:
        """Return a hash of names, meta-models and scores."""
        names = json.dumps([self.prefix, self.models])
        return sha256_of(names, self.stack.digest(), self.cross_fitted.tobytes())

    def facts(self) -> dict[str, JSON]:
        """Return its base models, the choice and what it was made by."""
        return {"models": list(self.models), **self.stack.facts()}


FIRST = "fast_"  # prefix of the first of two stages


def stack_models(
    fitted: Sequence["FittedBase"],
    stages: Sequence[Sequence[str]],
    router: Router,
    corpus: Corpus,
    folds: Folds,
    stretches: Sequence[str],
    seed: int,
) -> list[Stage]:
    """Fit the meta-models of each stage on the scores of its base models; see `fit_stack`.

    Parameters
    ----------
    fitted : sequence of FittedBase
        The base models.
    stages : sequence of sequence of str
        Names of the base models of each stage.
    router : Router
        Posteriors of the channels.
    corpus : Corpus
        Labels and sources.
    folds : Folds
        At least three.
    stretches : sequence of str
        Channel of the recordings and of each copy.
    seed : int
        Of the trees.

    Returns
    -------
    list of Stage
    """
    by_name = {base.name: base for base in fitted}
    is_spoof = corpus.is_spoof
    weights = row_weights(corpus, ~folds.is_test, stretches)
    found = []
    for number, names in enumerate(stages):
        prefix = FIRST if number + 1 < len(stages) else ""
        oof = np.stack([by_name[name].oof for name in names], axis=-1)
        nested = np.stack([by_name[name].nested for name in names], axis=-1)
        stack, scores = fit_stack(oof, nested, router, is_spoof, weights, folds, seed)
        found.append(Stage(prefix, tuple(names), stack, scores))
    return found
