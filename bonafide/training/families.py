"""Families of generators: which known one a spoof sounds most like, and whether like any."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.corpora.families import family_of
from bonafide.corpora.schema import Corpus
from bonafide.evaluation.evaluate import cluster_column
from bonafide.evaluation.metrics import Interval
from bonafide.features.spec import NARROW, STATISTICS
from bonafide.models.examples import Standard
from bonafide.training.folds import Folds
from bonafide.training.ridge import Sums, fit_softmax, softmax
from bonafide.training.store import FeatureStore
from bonafide.types import Features, Floats, Ints, Mask, Scores

VECTORS = (STATISTICS, NARROW)  # that are heard, where there are such
RIDGE = 400.0
MIN_CLUSTERS = 3  # sources of a family
MIN_FAMILIES = 3  # with one of them unknown, there is still a choice
RESAMPLES = 1_000
RIGHT = 0.6  # of those that are named, at least; on sources that were never heard
BARS = tuple(round(0.05 * step, 2) for step in range(10, 20))


@dataclass(frozen=True)
class Families(Artifact):
    """A linear model of the family that made a spoof, on the standardised vectors of a window.

    Parameters
    ----------
    names : tuple of str
        Keys of `bonafide.corpora.families.FAMILIES`, in the order of the posteriors; empty where
        the corpus has too few.
    hears : tuple of str
        The vectors, which stand side by side; see `bonafide.features.spec.VECTORS`.
    weights : ndarray of float32, shape (n_numbers, n_families)
    bias : ndarray of float32, shape (n_families,)
        Posteriors are ``softmax(x @ weights + bias)``; all families are taken for as probable.
    named_from : float
        A family is named where its posterior is higher; 1 where none can be.
    measured : mapping of str to Interval
        On sources that it never heard: ``top_1``, the share whose most probable family is right;
        ``named``, the share that is named; ``right``, the share of these that is right; and
        ``unseen``, the share of recordings of families that it never heard that is not named.
    """

    names: tuple[str, ...]
    hears: tuple[str, ...]
    weights: Features = field(repr=False)
    bias: Features = field(repr=False)
    named_from: float
    measured: Mapping[str, Interval]

    ARRAYS: ClassVar = ("weights", "bias")

    @classmethod
    def none(cls, hears: tuple[str, ...] = (STATISTICS,), size: int = 0) -> Self:
        """Return what knows no family; `size` numbers are heard."""
        empty = np.zeros((size, 0), np.float32)
        return cls((), hears, empty, np.zeros(0, np.float32), 1.0, {})

    def __call__(self, vectors: Features) -> Scores:
        """Return the posteriors of windows.

        Parameters
        ----------
        vectors : ndarray of float32, shape (n, n_numbers)
            Standardised.

        Returns
        -------
        ndarray of float32, shape (n, n_families)
        """
        return softmax(vectors @ self.weights + self.bias).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write ``families.npz`` and ``families.json``."""
        arrays = {name: getattr(self, name) for name in self.ARRAYS}
        np.savez(folder / "families.npz", allow_pickle=False, **arrays)
        (folder / "families.json").write_text(self._text())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        read = json.loads((folder / "families.json").read_text())
        measured = {name: Interval(**values) for name, values in read["measured"].items()}
        with np.load(folder / "families.npz", allow_pickle=False) as arrays:
            weights, bias = (arrays[name] for name in cls.ARRAYS)
        names, hears = tuple(read["names"]), tuple(read["hears"])
        return cls(names, hears, weights, bias, read["named_from"], measured)

    def digest(self) -> str:
        """Return a hash of names and numbers."""
        return sha256_of(self._text(), *(getattr(self, name).tobytes() for name in self.ARRAYS))

    def facts(self) -> dict[str, JSON]:
        """Return the families, and how well they are told apart."""
        return {"families": list(self.names), "measured": self.shares}

    @property
    def shares(self) -> dict[str, Any]:
        """What was measured, as JSON values."""
        return {name: interval.to_json() for name, interval in self.measured.items()}

    def _text(self) -> str:
        entries = {"names": self.names, "hears": self.hears, "named_from": self.named_from}
        return json.dumps({**entries, "measured": self.shares})


def fit_families(
    store: FeatureStore, standards: Mapping[str, Standard], folds: Folds, corpus: Corpus
) -> Families:
    """Fit the families of a corpus on recordings as they are, and measure them on unheard sources.

    Parameters
    ----------
    store : FeatureStore
        Holds the vectors of the recordings.
    standards : mapping of str to Standard
        By vector.
    folds : Folds
        Of the recordings; those held out are left out.
    corpus : Corpus
        Names the systems.

    Returns
    -------
    Families
        Of those with at least `MIN_CLUSTERS` sources, which lie in two folds or more; none where
        they are fewer than `MIN_FAMILIES`.
    """
    rows = np.flatnonzero(corpus.is_spoof & ~folds.is_test)
    hears = tuple(name for name in VECTORS if name in store.names)
    vectors = np.hstack([standards[name](store.view(name)[rows]) for name in hears])
    return families_of(hears, vectors, folds.fold[rows], corpus.take(rows.tolist()))


def families_of(hears: tuple[str, ...], vectors: Features, fold: Ints, corpus: Corpus) -> Families:
    """Fit families; see `fit_families`.

    Parameters
    ----------
    hears : tuple of str
        Names of the vectors.
    vectors : ndarray of float32, shape (n_rows, n_numbers)
        These side by side, standardised.
    fold : ndarray of int64, shape (n_rows,)
        The fold of each row, from 0.
    corpus : Corpus
        The rows; genuine ones do not count.

    Returns
    -------
    Families
        As `fit_families` returns them.
    """
    family = np.array([family_of(row) or "" for row in corpus], dtype=np.str_)
    cluster = np.unique(cluster_column(corpus)[1], return_inverse=True)[1].astype(np.int64)
    names = _enough(family, cluster, fold)
    kept = np.isin(family, names)
    if len(names) < MIN_FAMILIES:
        return Families.none(hears, vectors.shape[1])
    label = np.array([names.index(name) for name in family[kept].tolist()])
    fits = _Fits.of(vectors[kept], label, cluster[kept], fold[kept])
    everything = tuple(range(len(names)))
    outputs = fits.outputs(everything)
    scale, shift = fit_softmax(outputs, label)
    final = fits.total(everything).solve(RIDGE)
    numbers = (final[:-1] @ scale, final[-1] @ scale + shift)
    weights, bias = (np.asarray(each, np.float32) for each in numbers)
    return Families(tuple(names), hears, weights, bias, *fits.measured(everything, outputs))


def _enough(family: NDArray[np.str_], cluster: Ints, fold: Ints) -> list[str]:
    """Return the families that can be told, in the order of their names."""
    found = []
    for name in sorted(set(family.tolist()) - {""}):
        own = family == name
        if len(set(cluster[own].tolist())) >= MIN_CLUSTERS and len(set(fold[own].tolist())) > 1:
            found.append(name)
    return found


@dataclass(frozen=True)
class _Fits:
    """What ridge regressions with a fold and a family left out are fitted on."""

    x: Floats  # (n_rows, n_numbers + 1), a constant last
    label: Ints
    cluster: Ints
    fold: Ints

    @classmethod
    def of(cls, vectors: Features, label: Ints, cluster: Ints, fold: Ints) -> Self:
        x = np.hstack([vectors.astype(np.float64), np.ones((len(vectors), 1))])
        return cls(x, label, cluster, fold)

    @cached_property
    def weight(self) -> Floats:
        """What each row counts."""
        return _weights(self.label, self.cluster)

    @cached_property
    def by_fold(self) -> dict[int, Sums]:
        """The sums of each fold: of all families, for a matrix of each would fill the memory."""
        return {fold: self.sums(self.fold == fold) for fold in sorted(set(self.fold.tolist()))}

    def sums(self, rows: Mask) -> Sums:
        """Return the sums of some rows."""
        x, classes = self.x[rows], np.eye(int(self.label.max()) + 1)[self.label[rows]]
        weighted = self.weight[rows, None] * x
        return Sums(weighted.T @ x, weighted.T @ classes)

    def total(self, known: Sequence[int], without: int | None = None) -> Sums:
        """Return the sums of some families, one fold left out."""
        first, *others = (part for fold, part in self.by_fold.items() if fold != without)
        strange = ~np.isin(self.label, known) & (self.fold != without)
        whole = sum(others, first)
        if strange.any():
            whole -= self.sums(strange)
        return Sums(whole.xx, whole.xy[:, known])

    def outputs(self, known: Sequence[int]) -> Floats:
        """Return what regressions of some families make of every row whose fold they never saw."""
        found = np.empty((len(self.x), len(known)))
        for fold in set(self.fold.tolist()):
            own = self.fold == fold
            found[own] = self.x[own] @ self.total(known, without=fold).solve(RIDGE)
        return found

    def posteriors(self, known: Sequence[int], outputs: Floats) -> Floats:
        """Return posteriors of every row, by a softmax that did not see its fold either."""
        found = np.empty_like(outputs)
        place = np.searchsorted(known, self.label)
        for fold in set(self.fold.tolist()):
            own, rest = self.fold == fold, (self.fold != fold) & np.isin(self.label, known)
            scale, shift = fit_softmax(outputs[rest], place[rest])
            found[own] = softmax(outputs[own] @ scale + shift)
        return found

    def measured(
        self, everything: Sequence[int], outputs: Floats
    ) -> tuple[float, dict[str, Interval]]:
        """Return `Families.named_from` and `Families.measured`."""
        posterior = self.posteriors(everything, outputs)
        right, highest = posterior.argmax(axis=1) == self.label, posterior.max(axis=1)
        enough = (
            bar for bar in BARS if (highest > bar).any() and right[highest > bar].mean() >= RIGHT
        )
        bar = next(enough, 1.0)
        named = highest > bar
        unnamed = np.zeros(len(self.x), dtype=bool)
        for family in everything:
            own = self.label == family
            others = [name for name in everything if name != family]
            without = self.posteriors(others, self.outputs(others))
            unnamed[own] = without[own].max(axis=1) <= bar
        shares = {"top_1": right, "named": named, "unseen": unnamed}
        found = {name: share_of(hit, self.cluster) for name, hit in shares.items()}
        if named.any():
            found["right"] = share_of(right[named], self.cluster[named])
        return bar, found


def _weights(label: Ints, cluster: Ints) -> Floats:
    """Weigh rows so that large sources do not dominate and families count alike; mean 1."""
    kind = np.unique(np.stack([label, cluster]), axis=1, return_inverse=True)[1].ravel()
    weight = np.asarray(np.bincount(kind)[kind] ** -0.5, dtype=np.float64)
    weight /= np.bincount(label, weight)[label]
    return weight / weight.mean()


def share_of(hit: Mask, cluster: Ints, seed: int = 0) -> Interval:
    """Return a share with its 95 % interval, resampling whole clusters.

    Parameters
    ----------
    hit : ndarray of bool, shape (n,)
        What is counted; n is at least 1.
    cluster : ndarray of int64, shape (n,)
        The source of each.
    seed : int
        Of the resamples.

    Returns
    -------
    Interval
        Of percentiles.

    Examples
    --------
    >>> share_of(np.array([True, False, True, True]), np.array([0, 0, 1, 1]))
    Interval(value=0.75, low=0.5, high=1.0)
    """
    member = np.unique(cluster, return_inverse=True)[1]
    hits, rows = np.bincount(member, hit), np.bincount(member)
    draws = np.random.default_rng(seed).multinomial(
        len(rows), np.full(len(rows), 1 / len(rows)), size=RESAMPLES
    )
    low, high = np.quantile(draws @ hits / (draws @ rows), (0.025, 0.975)).tolist()
    return Interval(float(np.mean(hit)), low, high)
