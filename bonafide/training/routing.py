"""The router: which channel a window went through, and whether it is like any that is known."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy.linalg import eigh

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.corpora.schema import Corpus
from bonafide.features.spec import STATISTICS
from bonafide.models.examples import Standard
from bonafide.training.folds import TEST, Folds
from bonafide.training.ridge import Sums, fit_softmax, softmax
from bonafide.training.store import FeatureStore
from bonafide.types import AnyFloats, Features, Floats, Ints, Mask, Scores

RIDGE = 300.0
DIRECTIONS = 32  # in which the distance is taken
TELEPHONE_RATE_HZ = 8_000
CHUNK_ROWS = 2_048
KNOWN_SHARE = 0.995  # of known sound, that the distance takes for known


@dataclass(frozen=True)
class Router(Artifact):
    """A linear model of the channel on standardised statistics, and a distance from all of them.

    Parameters
    ----------
    channels : tuple of str
        Names, in the order of the posteriors.
    weights : ndarray of float32, shape (n_statistics, n_channels)
    bias : ndarray of float32, shape (n_channels,)
        Posteriors are ``softmax(x @ weights + bias)``.
    directions : ndarray of float32, shape (n_statistics, n_directions)
    centre : ndarray of float32, shape (n_directions,)
        The distance is the mean square of ``x @ directions - centre``: about 1 for known sound.
    posteriors : ndarray of float32, shape (n_rows, n_stretches, n_channels)
        Of every row and copy, by what never saw its fold; of test rows by the final router.
    nested : ndarray of float32, shape (n_rows, n_folds, n_stretches, n_channels)
        As `bonafide.training.fitting.FittedBase.nested`; NaN for test rows. Nothing of the fold
        that is left out plays a part; of a row's own fold, its share in the softmax does.
    distances : ndarray of float32, shape (n_rows, n_stretches)
        Of every row and copy.
    """

    channels: tuple[str, ...]
    weights: Features = field(repr=False)
    bias: Features = field(repr=False)
    directions: Features = field(repr=False)
    centre: Features = field(repr=False)
    posteriors: Scores = field(repr=False)
    nested: Scores = field(repr=False)
    distances: Scores = field(repr=False)

    ARRAYS: ClassVar = (
        "weights",
        "bias",
        "directions",
        "centre",
        "posteriors",
        "nested",
        "distances",
    )

    def __call__(self, statistics: Features) -> tuple[Scores, Scores]:
        """Return the channel of windows and how unlike all known sound they are.

        Parameters
        ----------
        statistics : ndarray of float32, shape (n, n_statistics)
            Standardised.

        Returns
        -------
        ndarray of float32, shape (n, n_channels)
            Posteriors, in the order of `channels`.
        ndarray of float32, shape (n,)
            Distances, 0 or more.
        """
        posterior = softmax(statistics @ self.weights + self.bias)
        return posterior.astype(np.float32), distance(statistics, self.directions, self.centre)

    def distance_to(self, side: Mask) -> float:
        """Return the distance that `KNOWN_SHARE` of the known sound keeps within.

        Parameters
        ----------
        side : ndarray of bool, shape (n_rows,)
            The rows that are known, of which all copies count.

        Returns
        -------
        float
            For the bundle's threshold ``distance_to``.
        """
        return float(np.quantile(self.distances[side], KNOWN_SHARE))

    def save(self, folder: Path) -> None:
        """Write ``router.npz`` and ``channels.json``."""
        arrays = {name: getattr(self, name) for name in self.ARRAYS}
        np.savez(folder / "router.npz", allow_pickle=False, **arrays)
        (folder / "channels.json").write_text(json.dumps(self.channels))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        names = tuple(json.loads((folder / "channels.json").read_text()))
        with np.load(folder / "router.npz", allow_pickle=False) as arrays:
            return cls(names, **{name: arrays[name] for name in cls.ARRAYS})

    def digest(self) -> str:
        """Return a hash of names and numbers."""
        return sha256_of(
            json.dumps(self.channels), *(getattr(self, name).tobytes() for name in self.ARRAYS)
        )

    def facts(self) -> dict[str, JSON]:
        """Return the channels."""
        return {"channels": list(self.channels)}


def distance(statistics: AnyFloats, directions: AnyFloats, centre: AnyFloats) -> Scores:
    """Return how unlike known sound windows are.

    Parameters
    ----------
    statistics : ndarray of float, shape (n, n_statistics)
        Standardised.
    directions : ndarray of float, shape (n_statistics, n_directions)
        As `Router` has them.
    centre : ndarray of float, shape (n_directions,)
        Of known sound, along them.

    Returns
    -------
    ndarray of float32, shape (n,)
        The mean square along the directions, 0 or more.
    """
    return np.square(statistics @ directions - centre).mean(axis=1).astype(np.float32)


def fit_router(store: FeatureStore, standard: Standard, folds: Folds, corpus: Corpus) -> Router:
    """Fit a ridge regression of the channel, and a softmax on its outputs out of fold.

    Channels count alike. Recordings that were made at a telephone's rate are left out: what they
    went through is not known.

    Parameters
    ----------
    store : FeatureStore
        Holds the statistics of recordings and copies.
    standard : Standard
        Of the statistics, fitted on the training side.
    folds : Folds
        Of the recordings.
    corpus : Corpus
        Says at which rate a recording was made.

    Returns
    -------
    Router
    """
    stretches = store.augmentation.stretches
    channels = tuple(dict.fromkeys(stretches))
    label = np.array([channels.index(name) for name in stretches])
    counts = _known_rate(corpus) & ~folds.is_test
    features = _Stretches(store, standard, len(stretches))
    parts = _sums_by_fold(features, folds, counts, label, len(channels))
    whole = sum(parts[1:], parts[0])
    outputs, nested = _outputs(features, folds, parts, whole, len(channels))
    scale, shift = fit_softmax(*_pairs(outputs[counts], label))
    posteriors, of_nested = softmax(outputs @ scale + shift), np.empty_like(nested)
    for fold in range(folds.count):
        rest, own = counts & (folds.fold != fold), folds.fold == fold
        line = fit_softmax(*_pairs(nested[rest, fold], label))
        of_nested[:, fold] = softmax(nested[:, fold] @ line[0] + line[1])
        posteriors[own] = of_nested[own, fold]
    final = whole.solve(RIDGE)
    directions, centre = _directions(whole.xx)
    distances = np.empty(outputs.shape[:2], np.float32)
    for stretch, rows, x in features:
        distances[rows, stretch] = distance(x[:, :-1], directions, centre)
    arrays = {
        "weights": final[:-1] @ scale,
        "bias": final[-1] @ scale + shift,
        "directions": directions,
        "centre": centre,
        "posteriors": posteriors,
        "nested": of_nested,
        "distances": distances,
    }
    return Router(channels, **{name: np.asarray(a, np.float32) for name, a in arrays.items()})


def _known_rate(corpus: Corpus) -> Mask:
    """Return which recordings were not made at a telephone's rate, (n_rows,)."""
    rates = corpus.column("original_rate").tolist()
    slow = [str(rate).isdigit() and int(rate) <= TELEPHONE_RATE_HZ for rate in rates]
    return ~np.array(slow, dtype=bool)


@dataclass(frozen=True)
class _Stretches:
    """The standardised statistics of a store with a constant after them, chunk by chunk."""

    store: FeatureStore
    standard: Standard
    count: int

    def __iter__(self) -> Iterator[tuple[int, Ints, Floats]]:
        statistics = self.store.view(STATISTICS)
        n_rows = len(statistics) // self.count
        for stretch in range(self.count):
            for start in range(0, n_rows, CHUNK_ROWS):
                rows = np.arange(start, min(start + CHUNK_ROWS, n_rows))
                x = self.standard(statistics[stretch * n_rows + rows]).astype(np.float64)
                yield stretch, rows, np.hstack([x, np.ones((len(x), 1))])


def _sums_by_fold(
    features: _Stretches, folds: Folds, counts: Mask, label: Ints, n_channels: int
) -> list[Sums]:
    size = len(features.standard.mean) + 1
    parts = [Sums.none(size, n_channels) for _ in range(folds.count)]
    n_copies = np.bincount(label, minlength=n_channels)
    for stretch, rows, x in features:
        channel = label[stretch]
        weight = len(label) / n_channels / n_copies[channel]  # channels count alike
        for fold, part in enumerate(parts):
            own = x[counts[rows] & (folds.fold[rows] == fold)]
            part.xx += weight * own.T @ own
            part.xy[:, channel] += weight * own.sum(axis=0)
    return parts


def _outputs(
    features: _Stretches, folds: Folds, parts: Sequence[Sums], whole: Sums, n_channels: int
) -> tuple[Floats, Floats]:
    """Return the ridge regression's outputs out of fold, and nested, as `Router` has them."""
    n_rows, count = len(folds.fold), features.count
    without: dict[tuple[int, ...], Floats] = {
        (fold,): (whole - part).solve(RIDGE) for fold, part in enumerate(parts)
    }
    without |= {
        pair: (whole - parts[pair[0]] - parts[pair[1]]).solve(RIDGE)
        for pair in combinations(range(folds.count), 2)
    }
    final = whole.solve(RIDGE)
    own = np.empty((n_rows, count, n_channels))
    nested = np.full((n_rows, folds.count, count, n_channels), np.nan)
    for stretch, rows, x in features:
        fold_of = folds.fold[rows]
        for fold in (TEST, *range(folds.count)):
            mine = fold_of == fold
            here = rows[mine]
            if fold == TEST:
                own[here, stretch] = x[mine] @ final
                continue
            own[here, stretch] = nested[here, fold, stretch] = x[mine] @ without[(fold,)]
            for other in set(range(folds.count)) - {fold}:
                pair = (min(fold, other), max(fold, other))
                nested[here, other, stretch] = x[mine] @ without[pair]
    return own, nested


def _pairs(outputs: Floats, label: Ints) -> tuple[Floats, Ints]:
    """Return outputs (n_rows, n_stretches, n_channels) in one column, each with its channel."""
    return outputs.reshape(-1, outputs.shape[-1]), np.tile(label, len(outputs))


def _directions(xx: Floats) -> tuple[Floats, Floats]:
    """Return the directions of most variance, by their deviation, and the mean along them."""
    mean = xx[:-1, -1] / xx[-1, -1]
    covariance = xx[:-1, :-1] / xx[-1, -1] - np.outer(mean, mean)
    kept = (max(len(covariance) - DIRECTIONS, 0), len(covariance) - 1)
    values, vectors = eigh(covariance, subset_by_index=kept)
    directions = vectors / np.sqrt(np.maximum(values, 1e-6))
    return directions, mean @ directions
