"""Judging the protocol's scores: every system, fold by fold, with intervals over sources."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import META_MODELS
from bonafide.evaluation.evaluate import DECISION, evaluate
from bonafide.evaluation.metrics import Interval, bootstrap, eer
from bonafide.training.judgement import systems
from bonafide.training.stacking import log_odds
from bonafide.types import AnyFloats, Mask
from research.ablations import MODELS, SEEDS
from research.folds import both_labels, source_id
from research.workspace import Workspace, own_column, stacked

Metric = Callable[..., float]


@dataclass(frozen=True)
class Results:
    """Scores with the rows they belong to, and the numbers of `bonafide bench --json`.

    Parameters
    ----------
    workspace : Workspace
        Recordings and folds.
    scores : mapping of str to ndarray of float32
        By ``run|model``, as `Workspace.fitted` returns them.
    conditions : mapping of str to ndarray
        ``rows``, and by condition what `research.conditions.score_conditions` returned.
    speed : mapping
        What `bonafide bench --json` wrote.
    resamples : int
        Bootstrap resamples of every interval.
    """

    workspace: Workspace
    scores: Mapping[str, AnyFloats]
    conditions: Mapping[str, AnyFloats]
    speed: Mapping[str, Any]
    resamples: int = 1000

    @property
    def is_spoof(self) -> Mask:
        """Labels of the corpus, shape (n_rows,)."""
        return self.workspace.recordings.corpus.is_spoof

    @property
    def fold(self) -> NDArray[np.int64]:
        """Fold of each row, by source, shape (n_rows,)."""
        return self.workspace.folds["sources"].fold

    @cached_property
    def source(self) -> NDArray[np.str_]:
        """Sources of the corpus by `source_id`, shape (n_rows,)."""
        names = self.workspace.recordings.corpus.column("source").tolist()
        return np.array([source_id(name) for name in names])

    @cached_property
    def both(self) -> Mask:
        """Rows of `both_labels`, shape (n_rows,)."""
        return both_labels(self.workspace.recordings.corpus)

    @property
    def everything(self) -> Mask:
        """All rows, shape (n_rows,)."""
        return np.ones(len(self.is_spoof), dtype=bool)

    @cached_property
    def by_seed(self) -> list[dict[str, AnyFloats]]:
        """The llr of every system, for each seed that was run."""
        return [self.systems(seed) for seed in SEEDS if f"seed {seed}|{MODELS[0]}" in self.scores]

    @property
    def decision(self) -> AnyFloats:
        """The llr of the first seed's decision, shape (n_rows,)."""
        return self.by_seed[0][DECISION]

    def systems(self, seed: int) -> dict[str, AnyFloats]:
        """Return the llr of every system, for each fold by what was fitted on the others."""
        folds = self.workspace.folds["sources"]
        models = np.stack([self.scores[f"seed {seed}|{name}"] for name in MODELS], axis=2)
        stack_scores = np.empty((len(models), len(META_MODELS)), np.float32)
        llr = np.empty(len(models))
        for fold in range(folds.count):
            rows, nested = folds.fold == fold, models[:, fold]
            stack, calibration = stacked(nested, self.is_spoof, folds, fold, seed)
            stack_scores[rows] = stack.predict(nested[rows])
            chosen = stack_scores[rows, META_MODELS.index(stack.choice)]
            llr[rows] = calibration.llr(chosen)
        return systems(own_column(models, folds.fold), stack_scores, llr, names=MODELS)

    def mean_llr(self, names: Sequence[str]) -> AnyFloats:
        """Return the mean llr of some base models of the first seed, shape (n_rows,)."""
        return np.asarray(np.mean([self.by_seed[0][name] for name in names], axis=0))

    def run_llr(self, key: str) -> AnyFloats:
        """Return the llr of one ``run|model`` that is not nested, shape (n_rows,)."""
        return -log_odds(self.scores[key])

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """The first seed's decision by kind of recording, as `evaluate` returns it."""
        corpus = self.workspace.recordings.corpus
        scores = {DECISION: self.decision}
        return evaluate(scores, corpus, title="", prior_spoof=0.5, resamples=200).groups

    @cached_property
    def by_condition(self) -> dict[str, Interval]:
        """EER under each condition."""
        rows = self.conditions["rows"]
        return {
            name: self._judged(scores[:, 0], self.is_spoof[rows], self.source[rows], eer)
            for name, scores in self.conditions.items()
            if name != "rows"
        }

    def interval(self, llr: AnyFloats, rows: Mask, metric: Metric = eer) -> Interval:
        """Return a metric on some rows; its interval resamples whole sources."""
        return self._judged(llr[rows], self.is_spoof[rows], self.source[rows], metric)

    def over_seeds(
        self, name: str, rows: Mask, metric: Metric = eer
    ) -> tuple[Interval, list[float]]:
        """Return the interval averaged over seeds, and the value of each seed."""
        found = [self.interval(scores[name], rows, metric) for scores in self.by_seed]
        ends = ("value", "low", "high")
        mean = Interval(*(float(np.mean([getattr(f, end) for f in found])) for end in ends))
        return mean, [f.value for f in found]

    def _judged(
        self, llr: AnyFloats, is_spoof: Mask, source: NDArray[np.str_], metric: Metric
    ) -> Interval:
        metrics = {"it": metric}
        return bootstrap(llr, is_spoof, source, metrics=metrics, n_resamples=self.resamples)["it"]
