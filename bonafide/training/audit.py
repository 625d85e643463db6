"""The shortcut audit: how well trivial measures alone do, without a look at the speech."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xgboost
from numpy.typing import NDArray

from bonafide.artifact import JSON, JsonArtifact
from bonafide.evaluation.evaluate import cluster_column
from bonafide.evaluation.metrics import Interval, bootstrap, eer
from bonafide.judging import log_odds
from bonafide.training.folds import Folds
from bonafide.training.recordings import MEASURES, Recordings

PARAMETERS = {
    "objective": "binary:logistic",
    "base_score": 0.5,
    "eta": 0.05,
    "max_depth": 3,
    "subsample": 0.8,
    "tree_method": "hist",
    "nthread": 1,
}
ROUNDS = 150


@dataclass(frozen=True)
class Audit(JsonArtifact):
    """What a classifier on `MEASURES` alone reaches.

    Parameters
    ----------
    test_eer : Interval or None
        On the rows held out for the final judgement, trained on the training side; None if no
        row is.
    fold_eer : Interval
        On the training side, each fold by a classifier that never saw it.
    importance : dict of str to float
        Share of the gain that each measure brought, largest first.
    """

    FILE: ClassVar = "audit.json"

    test_eer: Interval | None
    fold_eer: Interval
    importance: dict[str, float]

    @property
    def eer(self) -> Interval:
        """The EER to compare with the detector's: on held-out rows, or else out of fold."""
        return self.test_eer or self.fold_eer

    def facts(self) -> dict[str, JSON]:
        """Return the EER to compare with the detector's, and the one out of fold."""
        return {"eer": self.eer.value, "fold_eer": self.fold_eer.value}


def _fit(measures: NDArray[np.float64], is_spoof: NDArray[np.bool_], seed: int) -> xgboost.Booster:
    matrix = xgboost.DMatrix(measures, is_spoof, feature_names=list(MEASURES))
    return xgboost.train({**PARAMETERS, "seed": seed}, matrix, ROUNDS)


def audit_shortcuts(
    recordings: Recordings, folds: Folds, *, resamples: int = 1000, seed: int = 0
) -> Audit:
    """Train XGBoost on trivial measures alone, split as the detector is.

    The better it does, the more of a detector's result may be a shortcut [1]_.

    Parameters
    ----------
    recordings : Recordings
        The usable rows, with their measures.
    folds : Folds
        Of these rows; a classifier never sees the fold that it scores.
    resamples, seed : int
        Of the clustered bootstrap; the seed is the trees' too.

    Returns
    -------
    Audit
        EER with intervals, and what each measure contributed.

    References
    ----------
    .. [1] N. M. Müller et al., "Speech is Silver, Silence is Golden: What do ASVspoof-trained
       Models Really Learn?", ASVspoof Workshop 2021: leading silence alone separates much of
       ASVspoof 2019.
    """
    is_spoof, measures = recordings.corpus.is_spoof, recordings.measures
    scores = np.empty(len(is_spoof))
    booster = None
    for fold in (*range(folds.count), -1):
        side = (folds.fold != fold) & ~folds.is_test
        booster = _fit(measures[side], is_spoof[side], seed)
        rows = folds.fold == fold
        if not rows.any():
            continue
        matrix = xgboost.DMatrix(measures[rows], feature_names=list(MEASURES))
        scores[rows] = -log_odds(booster.predict(matrix))
    assert booster is not None

    def judged(rows: NDArray[np.bool_]) -> Interval:
        _, clusters = cluster_column(recordings.corpus.take(np.flatnonzero(rows)))
        return bootstrap(
            scores[rows],
            is_spoof[rows],
            clusters,
            metrics={"eer": eer},
            n_resamples=resamples,
            seed=seed,
        )["eer"]

    held_out = judged(folds.is_test) if folds.is_test.any() else None
    return Audit(held_out, judged(~folds.is_test), _importance(booster))


def _importance(booster: xgboost.Booster) -> dict[str, float]:
    """Return the share of the gain that each measure brought, largest first."""
    gain = {str(k): float(v) for k, v in booster.get_score(importance_type="total_gain").items()}
    total = sum(gain.values()) or 1.0
    return {name: round(gain[name] / total, 4) for name in sorted(gain, key=lambda n: -gain[n])}
