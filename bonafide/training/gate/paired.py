"""Two bundles on the same rows: the difference of each measure, by a paired bootstrap."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.evaluation.metrics import resampled
from bonafide.training.folds import connected_groups
from bonafide.training.served import BONAFIDE, SPOOF, UNDECIDED, Answers
from bonafide.types import Floats, Ints, Mask

EER, CLLR, UNDECIDED_SHARE, SOURCES = "eer", "cllr", "undecided", "sources"
WRONG = {"bonafide_called_spoof": (False, SPOOF), "spoof_called_bonafide": (True, BONAFIDE)}
OTHERS = "others"  # channels or languages that are too few for a group of their own
MIN_GROUP_ROWS = 20  # of each label, for a channel or language to be a group of its own
MIN_GROUP_CLUSTERS = 8
TAIL = 0.1  # the share of the sources that fare worst
BLOCK = 64  # resamples at a time
Measure = Callable[[Floats], Floats]  # weights (n_resamples, n_rows) to values (n_resamples,)


@dataclass(frozen=True)
class Difference:
    """A measure of a candidate and of what it would replace, on the same rows.

    Parameters
    ----------
    ours, theirs : float
        The candidate's, and the other's; lower is better.
    error : float
        Standard error of their difference.
    freedom : float
        Degrees of freedom of that error: as many equal clusters would tell as much, less one.
    """

    ours: float
    theirs: float
    error: float
    freedom: float

    @property
    def value(self) -> float:
        """How much higher, and so worse, the candidate's is."""
        return self.ours - self.theirs

    def low(self, level: float) -> float:
        """Return what the difference is at least, with this confidence."""
        return self.value - self._reach(level)

    def high(self, level: float) -> float:
        """Return what the difference is at most, with this confidence."""
        return self.value + self._reach(level)

    def _reach(self, level: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, level)) * self.error


@dataclass(frozen=True)
class Pair:
    """The answers of two bundles to the same rows.

    Parameters
    ----------
    ours, theirs : Answers
        The candidate's, and those of what it would replace; each row has an llr of both.
    corpus : Corpus
        The rows.
    """

    ours: Answers
    theirs: Answers
    corpus: Corpus

    @cached_property
    def is_spoof(self) -> Mask:
        """Labels, shape (n_rows,)."""
        return self.corpus.is_spoof

    @cached_property
    def cluster(self) -> Ints:
        """What is resampled whole: connected sources and speakers, shape (n_rows,), from 0."""
        return connected_groups(self.corpus)

    @cached_property
    def n_clusters(self) -> int:
        """How many of them there are."""
        return len(np.unique(self.cluster))

    @cached_property
    def freedom(self) -> float:
        """Kish's effective number of clusters, less one; at least one."""
        return _freedom(self.cluster)

    @property
    def have_verdicts(self) -> bool:
        """Whether verdicts of both are known, not scores alone."""
        return self.ours.called is not None and self.theirs.called is not None

    @property
    def counts(self) -> str:
        """How many rows there are, in words."""
        spoofs = int(self.is_spoof.sum())
        return (
            f"{len(self.corpus)} recordings ({len(self.corpus) - spoofs} bona fide, {spoofs} "
            f"spoof) of {self.n_clusters} groups of known sources and speakers"
        )

    def take(self, rows: NDArray[np.intp]) -> "Pair":
        """Return some of the rows."""
        return Pair(self.ours.take(rows), self.theirs.take(rows), self.corpus.take(rows))

    def groups(self) -> dict[str, Mask]:
        """Return which rows are in each channel or language that is large enough to judge by.

        Small ones are one group together. The channel is what the other bundle heard.

        Returns
        -------
        dict of str to ndarray of bool, shape (n_rows,)
            By kind and name, such as ``language en``.
        """
        kinds = {"channel": self.theirs.channel, "language": self.corpus.column("language")}
        found: dict[str, Mask] = {}
        for kind, values in kinds.items():
            rest = values != UNKNOWN
            for value in sorted(set(values[rest].tolist())):
                if self._is_enough(rows := values == value) and not rows.all():
                    found[f"{kind} {value}"] = rows
                    rest &= ~rows
            if self._is_enough(rest) and not rest.all():
                found[f"{kind} {OTHERS}"] = rest
        return found

    def _is_enough(self, rows: Mask) -> bool:
        spoofs = int(self.is_spoof[rows].sum())
        few = min(spoofs, int(rows.sum()) - spoofs)
        return few >= MIN_GROUP_ROWS and len(np.unique(self.cluster[rows])) >= MIN_GROUP_CLUSTERS

    def worst_source(self, answers: Answers) -> tuple[str, float]:
        """Return the source with the most errors of these answers, and the share of them."""
        names, _, errors = self._of_sources(answers)
        worst = int(errors.argmax())
        return str(names[worst]), float(errors[worst])

    def _of_sources(self, answers: Answers) -> tuple[NDArray[np.str_], Ints, Floats]:
        """Return the known sources, the cluster of each, and its errors: the mean over labels."""
        wrong = (answers.llr >= 0) == self.is_spoof  # on the other side of 0
        source = self.corpus.column("source")
        known = np.flatnonzero(source != UNKNOWN)
        names, first, member = np.unique(source[known], return_index=True, return_inverse=True)
        rates = []
        for label in (self.is_spoof[known], ~self.is_spoof[known]):
            total = np.bincount(member, label, len(names))
            errors = np.bincount(member, label & wrong[known], len(names))
            rates.append(np.divide(errors, total, out=np.full(len(names), np.nan), where=total > 0))
        return names, self.cluster[known][first], np.nanmean(rates, axis=0)

    def measures(self, answers: Answers) -> dict[str, Measure]:
        """Return what is measured of one side, by name; each is lower for a better bundle."""
        llr, spoof = answers.llr, self.is_spoof
        found = {EER: _eers(llr, spoof), CLLR: _cllrs(llr, spoof)}
        if answers.called is not None and self.have_verdicts:
            decided = answers.called != UNDECIDED
            found[UNDECIDED_SHARE] = _share(~decided, np.ones_like(decided))
            for name, (label, called) in WRONG.items():
                of_label = decided & (spoof == label)
                found[name] = _share(of_label & (answers.called == called), of_label)
        if len(set(self.corpus.column("source").tolist()) - {UNKNOWN}) > 1:
            found[SOURCES] = self._tail(answers)
        for name, rows in self.groups().items():
            found[name] = _within(_eers(llr[rows], spoof[rows]), rows)
        return found

    def _tail(self, answers: Answers) -> Measure:
        """Return the mean error of the tenth of the sources that fares worst."""
        _, cluster, errors = self._of_sources(answers)
        order = np.argsort(-errors, kind="stable")
        row_of = np.array([np.flatnonzero(self.cluster == each)[0] for each in cluster[order]])

        def of(weights: Floats) -> Floats:
            times = weights[:, row_of]
            wanted = TAIL * times.sum(axis=1, keepdims=True)
            before = np.cumsum(times, axis=1) - times
            taken = np.clip(wanted - before, 0.0, times)
            return np.asarray(taken @ errors[order] / np.maximum(wanted[:, 0], 1e-12))

        return of

    def differences(self, *, n_resamples: int, seed: int) -> dict[str, Difference]:
        """Measure both sides on each resample of whole clusters.

        Parameters
        ----------
        n_resamples : int
            At least 2.
        seed : int
            The same seed draws the same resamples.

        Returns
        -------
        dict of str to Difference
            By the names of `measures`.

        Raises
        ------
        BonafideError
            ``one_class`` where a label is in too few clusters to be in resamples.
        """
        sides = [self.measures(answers) for answers in (self.ours, self.theirs)]
        all_rows = np.ones((1, len(self.corpus)))
        ours, theirs = ({name: float(f(all_rows)[0]) for name, f in m.items()} for m in sides)
        drawn: dict[str, list[Floats]] = {name: [] for name in ours}
        for weights in _blocks(resampled(self.is_spoof, self.cluster, n_resamples, seed)):
            for name, of in sides[0].items():
                drawn[name].append(of(weights) - sides[1][name](weights))
        groups = self.groups()
        return {
            name: Difference(
                ours[name],
                theirs[name],
                _standard_error(np.concatenate(values), self._n_within(groups, name)),
                _freedom(self.cluster[groups[name]]) if name in groups else self.freedom,
            )
            for name, values in drawn.items()
        }

    def _n_within(self, groups: Mapping[str, Mask], name: str) -> int:
        return len(np.unique(self.cluster[groups[name]])) if name in groups else self.n_clusters


def _freedom(cluster: Ints) -> float:
    sizes = np.bincount(cluster).astype(np.float64)
    return max(1.0, float(sizes.sum() ** 2 / (sizes**2).sum()) - 1.0)


def _standard_error(drawn: Floats, n_clusters: int) -> float:
    """Return the spread of resamples, which is too small by a factor of few clusters."""
    return float(np.nanstd(drawn, ddof=1) * np.sqrt(n_clusters / (n_clusters - 1)))


def _blocks(weights: Iterator[Floats]) -> Iterator[Floats]:
    """Stack resamples, as many as `BLOCK` at a time."""
    held: list[Floats] = []
    for each in weights:
        held.append(each)
        if len(held) == BLOCK:
            yield np.stack(held)
            held.clear()
    if held:
        yield np.stack(held)


def _eers(llr: Floats, is_spoof: Mask) -> Measure:
    """Return `bonafide.evaluation.metrics.eer` of many weightings at once."""
    order = np.argsort(llr, kind="stable")
    values, fake = llr[order], is_spoof[order]
    last = np.flatnonzero(np.r_[values[1:] != values[:-1], True])

    def of(weights: Floats) -> Floats:
        mass = weights[:, order]
        real, spoof = (
            np.pad(np.cumsum(np.where(label, mass, 0.0), axis=1)[:, last], ((0, 0), (1, 0)))
            for label in (~fake, fake)
        )
        with np.errstate(invalid="ignore"):  # NaN without a row of a label
            miss, false_alarm = real / real[:, -1:], (spoof[:, -1:] - spoof) / spoof[:, -1:]
        nearest = np.abs(miss - false_alarm).argmin(axis=1)
        rows = np.arange(len(weights))
        return np.asarray((miss + false_alarm)[rows, nearest] / 2)

    return of


def _cllrs(llr: Floats, is_spoof: Mask) -> Measure:
    """Return `bonafide.evaluation.metrics.cllr` of many weightings at once."""
    bits = np.logaddexp(0.0, np.where(is_spoof, llr, -llr)) / np.log(2.0)

    def of(weights: Floats) -> Floats:
        sides = [
            weights[:, label] @ bits[label] / weights[:, label].sum(axis=1)
            for label in (is_spoof, ~is_spoof)
        ]
        return np.asarray((sides[0] + sides[1]) / 2)

    return of


def _share(part: Mask, whole: Mask) -> Measure:
    """Return the share of some rows in others; 0 where there are none of these."""

    def of(weights: Floats) -> Floats:
        total = weights @ whole.astype(np.float64)
        return np.asarray(weights @ part.astype(np.float64) / np.maximum(total, 1e-12))

    return of


def _within(measure: Measure, rows: Mask) -> Measure:
    """Return a measure of some of the rows."""
    return lambda weights: measure(weights[:, rows])
