"""The shortcut audit: what trivial measures alone can tell, without a look at the speech."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from bonafide.evaluation.evaluate import cluster_column
from bonafide.evaluation.metrics import Interval, bootstrap, eer
from bonafide.training.folds import Folds
from bonafide.training.recordings import MEASURES, Recordings
from bonafide.training.stacking import log_odds

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
class Audit:
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

    test_eer: Interval | None
    fold_eer: Interval
    importance: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "test_eer": self.test_eer and self.test_eer.to_json(),
            "fold_eer": self.fold_eer.to_json(),
            "importance": self.importance,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Audit":
        """Read what `to_json` gave."""
        test, fold = values["test_eer"], Interval(**values["fold_eer"])
        return cls(test and Interval(**test), fold, values["importance"])

    @property
    def eer(self) -> Interval:
        """What is held against the detector's: on held-out rows, or else out of fold."""
        return self.test_eer or self.fold_eer


def _fit(measures: NDArray[np.float64], is_spoof: NDArray[np.bool_], seed: int) -> xgboost.Booster:
    matrix = xgboost.DMatrix(measures, is_spoof, feature_names=list(MEASURES))
    return xgboost.train({**PARAMETERS, "seed": seed}, matrix, ROUNDS)


def audit_shortcuts(
    recordings: Recordings, folds: Folds, *, resamples: int = 1000, seed: int = 0
) -> Audit:
    """Train XGBoost on trivial measures alone, split as the detector is.

    The better it does, the more of a detector's result may be a shortcut (Müller et al., 2021:
    leading silence alone tells much of ASVspoof 2019 apart).
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
    gain = {str(k): float(v) for k, v in booster.get_score(importance_type="total_gain").items()}
    total = sum(gain.values()) or 1.0
    ranked = sorted(gain, key=lambda name: -gain[name])

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

    importance = {name: round(gain[name] / total, 4) for name in ranked}
    held_out = judged(folds.is_test) if folds.is_test.any() else None
    return Audit(held_out, judged(~folds.is_test), importance)
