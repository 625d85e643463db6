"""Judging the protocol's scores: every system, fold by fold, with intervals over sources."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.evaluation.evaluate import DECISION, evaluate
from bonafide.evaluation.metrics import Interval, bootstrap, eer
from bonafide.training.judgement import systems
from bonafide.types import AnyFloats, Floats, Ints, Mask
from research.ablations import MODELS, SEEDS
from research.answers import Answers
from research.folds import both_labels, source_id
from research.heard import Heard, read_heard
from research.source_errors import mean_interval, own_eers
from research.workspace import Workspace

Metric = Callable[..., float]
REFERENCE, SHIPPED = "reference", "default"
BUNDLES = (REFERENCE, "fast", SHIPPED)  # the first: the design before, trained on the same corpus


@dataclass(frozen=True)
class Results:
    """Scores with the rows they belong to, and the numbers of `bonafide bench --json`.

    Parameters
    ----------
    workspace : Workspace
        Recordings and folds.
    scores : mapping of str to ndarray of float32
        By ``run|model``, as `Workspace.fitted` returns them.
    parts : mapping of str to ndarray of float32
        What stacks make of the base models, out of fold, as `research.held_out` wrote it: by
        ``stack|seed`` p_spoof of the last stage's meta-models, (n_rows, 2), and by ``part|what is
        left out`` the decision's llr of recordings and copies, (n_rows, n_channels).
    conditions : mapping of str to ndarray
        ``rows``, and by ``bundle|condition`` what `research.conditions` wrote.
    answers : mapping of str to ndarray of ANSWER, shape (n_rows,)
        By ``bundle|seed``: to every row by what heard none of its source.
    edition : ndarray of int, shape (n_rows,)
        The edition of the corpus that each row's source came in with.
    speed : mapping
        What `bonafide bench --json` wrote.
    bundle : str
        The one of `BUNDLES` whose decision is told where a section tells of one.
    resamples : int
        Bootstrap resamples of every interval.
    """

    workspace: Workspace
    scores: Mapping[str, AnyFloats]
    parts: Mapping[str, AnyFloats]
    conditions: Mapping[str, NDArray[Any]]
    answers: Mapping[str, Answers]
    edition: Ints
    speed: Mapping[str, Any]
    bundle: str = SHIPPED
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
    def present(self) -> tuple[str, ...]:
        """Those of `BUNDLES` that were fitted with the first seed."""
        return tuple(name for name in BUNDLES if f"{name}|{SEEDS[0]}" in self.answers)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that the bundles which ship were fitted with."""
        return tuple(s for s in SEEDS if all(f"{b}|{s}" in self.answers for b in BUNDLES[1:]))

    @cached_property
    def reference_seeds(self) -> tuple[int, ...]:
        """Those of the seeds that the reference was fitted with too: it may lack some, or all."""
        if REFERENCE not in self.present:
            return ()
        return tuple(seed for seed in self.seeds if f"{REFERENCE}|{seed}" in self.answers)

    @cached_property
    def by_seed(self) -> list[dict[str, AnyFloats]]:
        """The llr of every system, seed by seed."""
        return [self.systems(seed) for seed in self.seeds]

    @property
    def decision(self) -> AnyFloats:
        """The llr of the bundle's first seed, shape (n_rows,)."""
        found: AnyFloats = self.answers[f"{self.bundle}|{SEEDS[0]}"]["llr"]
        return found

    @cached_property
    def bundles(self) -> dict[str, dict[int, Answers]]:
        """The answers of each bundle, by seed."""
        return {
            bundle: {
                seed: self.answers[f"{bundle}|{seed}"]
                for seed in (self.reference_seeds if bundle == REFERENCE else self.seeds)
            }
            for bundle in self.present
        }

    @cached_property
    def heard(self) -> dict[str, Heard]:
        """What each bundle answers under the channel conditions."""
        return {
            bundle: read_heard(self.conditions, bundle, self.is_spoof, self.source, self.resamples)
            for bundle in self.present
        }

    def systems(self, seed: int) -> dict[str, AnyFloats]:
        """Return the llr of every system, for each fold by what was fitted on the others."""
        odds = np.stack([self.scores[f"seed {seed}|{name}"][:, 0] for name in MODELS], axis=1)
        models = 1 / (1 + np.exp(-odds.astype(np.float64)))
        decision = self.answers[f"{SHIPPED}|{seed}"]["llr"]
        return systems(models, self.parts[f"stack|{seed}"], decision, names=MODELS)

    def run_llr(self, key: str) -> AnyFloats:
        """Return the llr of one ``run|model``, shape (n_rows, n_channels)."""
        return -self.scores[key].astype(np.float64)

    def on_channels(self, llr: AnyFloats, rows: Mask) -> float:
        """Return the mean EER over the channels but clean sound, of llr (n_rows, n_channels)."""
        found = [eer(copies[rows], self.is_spoof[rows]) for copies in llr.T[1:]]
        return float(np.mean(found))

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """The first seed's decision by kind of recording, as `evaluate` returns it."""
        corpus = self.workspace.recordings.corpus
        scores = {DECISION: self.decision}
        return evaluate(scores, corpus, title="", prior_spoof=0.5, resamples=200).groups

    @property
    def by_condition(self) -> dict[str, Interval]:
        """The bundle's EER under each condition."""
        return self.heard[self.bundle].eers

    def interval(self, llr: AnyFloats, rows: Mask, metric: Metric = eer) -> Interval:
        """Return a metric on some rows; its interval resamples whole sources."""
        found = bootstrap(
            llr[rows],
            self.is_spoof[rows],
            self.source[rows],
            metrics={"it": metric},
            n_resamples=self.resamples,
        )
        return found["it"]

    def over_seeds(
        self, name: str, rows: Mask, metric: Metric = eer
    ) -> tuple[Interval, list[float]]:
        """Return the interval averaged over seeds, and the value of each seed."""
        found = [self.interval(scores[name], rows, metric) for scores in self.by_seed]
        return mean_interval(found), [f.value for f in found]

    def pooled(self, bundle: str, rows: Mask) -> Interval:
        """Return a bundle's EER over some rows, averaged over its seeds."""
        answers = self.bundles[bundle].values()
        return mean_interval([self.interval(found["llr"], rows) for found in answers])

    def source_eers(self, scores: Sequence[AnyFloats], rows: Mask) -> Floats:
        """Return the EER of each source by itself, averaged over the seeds' scores."""
        spoof, source = self.is_spoof[rows], self.source[rows]
        return np.asarray(np.mean([own_eers(llr[rows], spoof, source) for llr in scores], axis=0))
