"""How good a detector is: every system, and the decision by kind of recording, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import Plain
from bonafide.corpora.schema import UNKNOWN, Corpus, describe
from bonafide.evaluation.metrics import Interval, bootstrap, eer, summarise

Scores = NDArray[np.floating[Any]]
Group = dict[str, Interval | int]
DECISION = "decision"
MEAN = "mean of the base models"
# Groups judged on their own rows of both labels, and spoof groups judged against all bona fide.
BOTH_SIDES = {"source": "source", "language": "language", "codec": "original_codec"}
SPOOF_SIDE = {"generator": "system", "attack_type": "attack_type"}
MIN_GROUP_ROWS = 4
SIMULATED_NOTE = (
    "This corpus is simulated: its numbers prove that the machinery runs, never that it detects."
)


@dataclass(frozen=True)
class Evaluation(Plain):
    """Metrics of several systems on the same rows.

    Parameters
    ----------
    title : str
        Which rows, in words.
    counts : dict
        ``rows``, ``bonafide``, ``spoof``, ``sources``, ``speakers``, ``generators``.
    systems : dict of str to dict of str to Interval
        System -> metric -> value with its 95 % interval.
    groups : dict of str to dict of str to dict
        Kind of group -> group -> ``eer`` (Interval), ``bonafide``, ``spoof`` (row counts).
    clusters : str
        What was resampled whole for the intervals.
    notes : tuple of str
        What a reader must know beside the numbers.
    """

    title: str
    counts: dict[str, int]
    systems: dict[str, dict[str, Interval]]
    groups: dict[str, dict[str, Group]]
    clusters: str
    notes: tuple[str, ...] = ()


def cluster_column(corpus: Corpus) -> tuple[str, NDArray[np.str_]]:
    """Choose what intervals resample whole: sources if there are at least five, else speakers.

    Rows of an unknown cluster are clusters of their own.
    """
    for name in ("source", "speaker"):
        values = corpus.column(name).astype("U200")
        unknown = values == UNKNOWN
        values[unknown] = [f"row {row}" for row in np.flatnonzero(unknown)]
        if len(np.unique(values)) >= 5:
            return name, values
    return "recording", np.arange(len(corpus)).astype("U20")


def evaluate(
    scores: Mapping[str, Scores],
    corpus: Corpus,
    *,
    title: str,
    prior_spoof: float,
    seen_generators: set[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    notes: tuple[str, ...] = (),
) -> Evaluation:
    """Judge systems on labelled recordings.

    Parameters
    ----------
    scores : mapping of str to ndarray, shape (n_rows,)
        System -> llr, higher for bona fide. The one called ``decision`` is broken down by group.
    corpus : Corpus
        The rows.
    title : str
    prior_spoof : float
        The prior of p_spoof; the frozen threshold is llr = log odds of this prior.
    seen_generators : set of str or None
        Generators that the training side held; spoofs of these and of others are told apart.
    resamples, seed : int
        Of the clustered bootstrap.

    Returns
    -------
    Evaluation
        With no group table, and a note, for groups too small to judge.
    """
    is_spoof = corpus.is_spoof
    cluster_name, clusters = cluster_column(corpus)
    threshold = float(np.log(prior_spoof / (1 - prior_spoof)))
    systems = {
        name: summarise(
            llr,
            is_spoof,
            clusters,
            prior_spoof=prior_spoof,
            threshold=threshold,
            n_resamples=resamples,
            seed=seed,
        )
        for name, llr in scores.items()
    }
    judge = _GroupJudge(np.asarray(scores[DECISION]), is_spoof, clusters, resamples, seed)
    groups = {
        kind: judge.tables(corpus.column(column), against_all=False)
        for kind, column in BOTH_SIDES.items()
    } | {
        kind: judge.tables(corpus.column(column), against_all=True)
        for kind, column in SPOOF_SIDE.items()
    }
    if seen_generators is not None:
        seen = np.isin(corpus.column("system"), sorted(seen_generators))
        kind = np.where(is_spoof, np.where(seen, "seen in training", "unseen"), UNKNOWN)
        groups["generator seen or unseen"] = judge.tables(kind, against_all=True)
    return Evaluation(title, describe(corpus), systems, groups, cluster_name, notes)


@dataclass(frozen=True)
class _GroupJudge:
    llr: Scores
    is_spoof: NDArray[np.bool_]
    clusters: NDArray[np.str_]
    resamples: int
    seed: int

    def tables(self, values: NDArray[np.str_], *, against_all: bool) -> dict[str, Group]:
        """Return the EER of each group that has enough rows of both labels."""
        found: dict[str, Group] = {}
        for group in sorted(set(values.tolist()) - {UNKNOWN}):
            rows = values == group
            if against_all:
                rows = (rows & self.is_spoof) | ~self.is_spoof
            spoof = int(self.is_spoof[rows].sum())
            real = int(rows.sum()) - spoof
            if min(spoof, real) < MIN_GROUP_ROWS:
                continue
            found[group] = {"eer": self._eer(rows), "bonafide": real, "spoof": spoof}
        return found

    def _eer(self, rows: NDArray[np.bool_]) -> Interval:
        clusters = self.clusters[rows]
        if len(np.unique(clusters)) < 5:  # one source: its recordings are all there is to resample
            clusters = np.arange(len(clusters)).astype("U20")
        return bootstrap(
            self.llr[rows],
            self.is_spoof[rows],
            clusters,
            metrics={"eer": eer},
            n_resamples=min(self.resamples, 200),
            seed=self.seed,
        )["eer"]


def simulated_note(corpus: Corpus) -> tuple[str, ...]:
    """Return what must stand beside every number from a simulated corpus; nothing for others."""
    return (SIMULATED_NOTE,) if set(corpus.column("corpus").tolist()) == {"simulated"} else ()


def percent(interval: Interval) -> str:
    """Write a share and its interval as ``12.3 % [10.1, 14.5]``."""
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:.1f} % [{low:.1f}, {high:.1f}]"
