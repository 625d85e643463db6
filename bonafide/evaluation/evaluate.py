"""Evaluate systems on labelled recordings, and the decision by group, with intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import Plain
from bonafide.corpora.schema import UNKNOWN, Corpus, describe
from bonafide.corpora.simulated import simulated_rows
from bonafide.evaluation.metrics import Interval, bootstrap, eer, summarise

Scores = NDArray[np.floating[Any]]
Group = dict[str, Interval | int | str]
DECISION = "decision"
MEAN = "mean of the base models"
# Groups evaluated on their own rows of both labels; groups of spoofs, against all bona fide rows.
BOTH_SIDES = {"source": "source", "language": "language", "codec": "original_codec"}
SPOOF_SIDE = {"generator": "system", "attack_type": "attack_type"}
MIN_GROUP_ROWS = 4
MIN_CLUSTERS = 5  # resampling fewer whole says nothing: the rows are resampled then
ROWS = "recording"
TOO_NARROW = "they are too narrow, for recordings of one source or speaker are alike"
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
        Kind of group -> group -> ``eer`` (Interval), ``bonafide``, ``spoof`` (row counts), and
        ``clusters``, as below, of that interval.
    clusters : str
        What was resampled whole for the intervals: ``source``, ``speaker`` or ``recording``.
    notes : tuple of str
        What must be read beside the numbers.
    """

    title: str
    counts: dict[str, int]
    systems: dict[str, dict[str, Interval]]
    groups: dict[str, dict[str, Group]]
    clusters: str
    notes: tuple[str, ...] = ()


def cluster_column(corpus: Corpus) -> tuple[str, NDArray[np.str_]]:
    """Choose what intervals resample whole: sources if at least five are known, else speakers.

    Parameters
    ----------
    corpus : Corpus
        The rows that are evaluated.

    Returns
    -------
    str
        ``source``, ``speaker`` or, with fewer than five known of either, ``recording``.
    ndarray of str, shape (n_rows,)
        The cluster of each row; one whose source or speaker is not known is its own.
    """
    for name in ("source", "speaker"):
        values = corpus.column(name).astype("U200")
        unknown = values == UNKNOWN
        if len(np.unique(values[~unknown])) >= MIN_CLUSTERS:
            values[unknown] = [f"row {row}" for row in np.flatnonzero(unknown)]
            return name, values
    return ROWS, np.arange(len(corpus)).astype("U20")


def rows_alone(counts: Mapping[str, int]) -> str:
    """Explain in a clause why intervals resample rows: how few sources and speakers are known."""
    sources, speakers = (
        f"{counts[f'{name}s']} {name}{'' if counts[f'{name}s'] == 1 else 's'}"
        for name in ("source", "speaker")
    )
    return f"only {sources} and {speakers} known"


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
    """Evaluate systems on labelled recordings.

    Parameters
    ----------
    scores : mapping of str to ndarray, shape (n_rows,)
        System -> llr, higher for bona fide. The one named ``decision`` is broken down by group.
    corpus : Corpus
        The rows.
    title : str
        Which rows, in words.
    prior_spoof : float
        The prior of p_spoof, above 0 and below 1; its log odds are the threshold on llr.
    seen_generators : set of str or None
        Generators in the training data, to evaluate their spoofs and those of others separately.
    resamples, seed : int
        Of the clustered bootstrap.
    notes : tuple of str
        What must be read beside the numbers.

    Returns
    -------
    Evaluation
        Without groups of fewer than `MIN_GROUP_ROWS` rows of a label.

    Raises
    ------
    BonafideError
        As in `bonafide.evaluation.metrics.summarise`.
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
    decided = np.asarray(scores[DECISION])
    judge = _GroupJudge(decided, is_spoof, cluster_name, clusters, resamples, seed)
    groups, counts = judge.by_kind(corpus, seen_generators), describe(corpus)
    if cluster_name == ROWS:
        alone = f"Intervals resample single rows, not groups ({rows_alone(counts)}): {TOO_NARROW}."
        notes = (*notes, alone)
    return Evaluation(title, counts, systems, groups, cluster_name, notes)


@dataclass(frozen=True)
class _GroupJudge:
    llr: Scores
    is_spoof: NDArray[np.bool_]
    cluster_name: str
    clusters: NDArray[np.str_]
    resamples: int
    seed: int

    def by_kind(
        self, corpus: Corpus, seen_generators: set[str] | None
    ) -> dict[str, dict[str, Group]]:
        """Return the groups of each kind, by kind."""
        groups = {
            kind: self.judged(corpus.column(column), against_all=kind in SPOOF_SIDE)
            for kind, column in (BOTH_SIDES | SPOOF_SIDE).items()
        }
        if seen_generators is not None:
            seen = np.isin(corpus.column("system"), sorted(seen_generators))
            kind = np.where(self.is_spoof, np.where(seen, "seen in training", "unseen"), UNKNOWN)
            groups["generator seen or unseen"] = self.judged(kind, against_all=True)
        return groups

    def judged(self, values: NDArray[np.str_], *, against_all: bool) -> dict[str, Group]:
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
            eer_of_group, over = self._eer(rows)
            counts: Group = {"bonafide": real, "spoof": spoof, "clusters": over}
            found[group] = {"eer": eer_of_group, **counts}
        return found

    def _eer(self, rows: NDArray[np.bool_]) -> tuple[Interval, str]:
        """Return the EER of some rows, and what its interval resamples whole."""
        clusters, over = self.clusters[rows], self.cluster_name
        if len(np.unique(clusters)) < MIN_CLUSTERS:  # one source, say: only its recordings are left
            clusters, over = np.arange(len(clusters)).astype("U20"), ROWS
        found = bootstrap(
            self.llr[rows],
            self.is_spoof[rows],
            clusters,
            metrics={"eer": eer},
            n_resamples=min(self.resamples, 200),
            seed=self.seed,
        )
        return found["eer"], over


def simulated_note(corpus: Corpus) -> tuple[str, ...]:
    """Return the note that belongs beside numbers of simulated rows; none where there are none."""
    simulated = simulated_rows(corpus)
    if not simulated.any():
        return ()
    if simulated.all():
        return (SIMULATED_NOTE,)
    return (f"{simulated.sum()} of {len(corpus)} recordings are simulated: nobody speaks in them.",)


def percent(interval: Interval) -> str:
    """Return a share and its interval in per cent.

    Parameters
    ----------
    interval : Interval
        Of a share, 0 to 1.

    Returns
    -------
    str
        To one decimal place.

    Examples
    --------
    >>> percent(Interval(0.123, 0.101, 0.145))
    '12.3 % [10.1, 14.5]'
    """
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:.1f} % [{low:.1f}, {high:.1f}]"
