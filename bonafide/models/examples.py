"""The data of base models: statistics, a view, labels and sources, and batches drawn from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bonafide.features.spec import STATISTICS
from bonafide.models.config import FitConfig
from bonafide.types import Features

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Standard:
    """The standardisation of features.

    Parameters
    ----------
    mean, scale : ndarray of float32, shape (n_features,)
        Mean and standard deviation of each.
    limit : float
        Standardised values are clipped to [-limit, limit].
    gain : ndarray of float32, shape (n_features,), or None
        Factors applied after that; None for none.

    Examples
    --------
    >>> standard = Standard(np.float32([1.0]), np.float32([2.0]), limit=3.0)
    >>> standard(np.float32([[3.0], [100.0]]))
    array([[1.],
           [3.]], dtype=float32)
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    limit: float = np.inf
    gain: NDArray[np.float32] | None = None

    def __call__(self, features: Features) -> Features:
        """Standardise features of shape (..., n_features)."""
        scaled: Features = (features - self.mean) / self.scale
        scaled = scaled if np.isinf(self.limit) else scaled.clip(-self.limit, self.limit)
        return scaled if self.gain is None else scaled * self.gain


class Table(Protocol):
    """Features of many rows: an array, usually memory-mapped, or arrays that are read as one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and what each holds."""

    def __len__(self) -> int:
        """Count the rows."""

    def __getitem__(self, rows: Any) -> Any:
        """Return some rows, as an array."""


@dataclass(frozen=True)
class Joined:
    """The rows of several arrays as those of one, each read where it lies.

    Parameters
    ----------
    arrays : sequence of Table
        All of one shape but for their rows.
    array, place : ndarray of int64, shape (n_rows,)
        Which array holds a row, and which of its own rows it is there.

    Examples
    --------
    >>> parts = [np.float32([[1], [2]]), np.float32([[3]])]
    >>> Joined(parts, np.array([1, 0, 0]), np.array([0, 1, 0]))[[0, 2]].tolist()
    [[3.0], [1.0]]
    """

    arrays: Sequence[Table]
    array: Rows
    place: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and what each holds."""
        return len(self), *self.arrays[0].shape[1:]

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, key: Any) -> Features:
        """Return some rows, or of a row or some rows a part, as an array is indexed."""
        rows, *rest = key if isinstance(key, tuple) else (key,)
        array, place = self.array[rows], self.place[rows]
        if not array.ndim:
            one: Features = self.arrays[int(array)][(place, *rest)]
            return one
        found = [
            (mine, self.arrays[number][(place[mine], *rest)])
            for number in np.unique(array).tolist() or [0]
            for mine in [np.flatnonzero(array == number)]
        ]
        values: Features = np.empty((len(place), *found[0][1].shape[1:]), np.float32)
        for mine, part in found:
            values[mine] = part
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return all rows."""
        return np.asarray(self[:], dtype)


@dataclass(frozen=True)
class SideBySide:
    """Vectors of the same rows side by side, each read where it lies."""

    vectors: Sequence[Table]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and numbers of all vectors together."""
        return len(self.vectors[0]), sum(vector.shape[1] for vector in self.vectors)

    def __len__(self) -> int:
        return len(self.vectors[0])

    def __getitem__(self, rows: Any) -> Features:
        """Return some rows, (n, n_features)."""
        return np.concatenate([vector[rows] for vector in self.vectors], axis=1)


@dataclass(frozen=True)
class Part:
    """Features as extracted, usually memory-mapped, and their standardisation."""

    features: Table
    standard: Standard

    def take(self, rows: Rows) -> Features:
        """Return the standardised features of these rows."""
        return self.standard(self.features[rows])


def source_weights(source: Rows, is_spoof: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh rows so that large sources do not dominate and both classes count equally.

    Parameters
    ----------
    source : ndarray of int64, shape (n,)
        Number of each row's source.
    is_spoof : ndarray of bool, shape (n,)
        Labels.

    Returns
    -------
    ndarray of float64, shape (n,)
        In proportion to the power -1/2 of how many rows share source and label; each class sums to
        n / 2.
    """
    kind = 2 * source + is_spoof
    weight = np.asarray(np.bincount(kind)[kind] ** -0.5, dtype=np.float64)
    for label in (False, True):
        weight[is_spoof == label] /= max(weight[is_spoof == label].sum(), 1e-12) / len(kind) * 2
    return weight


@dataclass(frozen=True)
class Examples:
    """The data of one base model.

    Parameters
    ----------
    statistics : Part
        Shape (n_all, n_statistics): n_rows recordings, then one augmented copy of each, and so on;
        see `bonafide.training.store.FeatureStore`.
    is_spoof : ndarray of bool, shape (n_rows,)
        Labels.
    source : ndarray of int64, shape (n_rows,)
        Number of each row's source.
    frames : Part or None
        The view of a network, shape (n_all, n_frames, n_features); None if it hears none.
    augmentation_weight : float or ndarray of float64, shape (n_copies, n_rows) or (n_copies, 1)
        Weight of augmented copies relative to their recordings, 0 or more.
    """

    statistics: Part
    is_spoof: NDArray[np.bool_]
    source: Rows
    frames: Part | None = None
    augmentation_weight: float | NDArray[np.float64] = 0.0

    def take(self, rows: Rows) -> dict[str, Features]:
        """Return the standardised inputs of these rows, as base models score them."""
        parts = {STATISTICS: self.statistics, "frames": self.frames}
        return {name: part.take(rows) for name, part in parts.items() if part is not None}

    def weights(self, rows: Rows) -> NDArray[np.float64]:
        """Weigh rows so that large sources do not dominate and both classes count equally.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
            Rows that are fitted on.

        Returns
        -------
        ndarray of float64, shape (n,)
            In proportion to the power -1/2 of how many of `rows` share a row's source and label;
            each class sums to n / 2.
        """
        return source_weights(self.source[rows], self.is_spoof[rows])

    def with_augmentation(self, rows: Rows) -> tuple[Rows, NDArray[np.bool_], NDArray[np.float64]]:
        """Return what a model is fitted on: rows and those of their augmented copies that count.

        Parameters
        ----------
        rows : ndarray of int64, shape (n_training_rows,)
            Of recordings.

        Returns
        -------
        ndarray of int64, shape (n,)
            Rows of `statistics` and `frames`.
        ndarray of bool, shape (n,)
            Which of them are spoof.
        ndarray of float64, shape (n,)
            Their weights.
        """
        n_rows, n_all = len(self.is_spoof), len(self.statistics.features)
        copies = np.arange(n_rows, n_all).reshape(-1, n_rows)
        weight = self.weights(rows)
        lighter = np.broadcast_to(self.augmentation_weight, copies.shape)[:, rows] * weight
        counts = lighter > 0
        every = np.concatenate([rows, copies[:, rows][counts]])
        return every, self.is_spoof[every % n_rows], np.concatenate([weight, lighter[counts]])


class BatchSampler:
    """Draws training batches for a network, half and half by class.

    Each draw crops the frames in time, shifts every feature by a random constant, and adds noise
    to every statistic.

    Parameters
    ----------
    examples : Examples
        With or without frames.
    rows : ndarray of int64, shape (n_training_rows,)
        Of recordings.
    fit : FitConfig
        Size of a batch, crop, shift and noise.
    seed : int
        Of all draws.
    """

    def __init__(self, examples: Examples, rows: Rows, fit: FitConfig, seed: int) -> None:
        self.examples, self.fit = examples, fit
        self._rng = np.random.default_rng(seed)
        rows, is_spoof, weight = examples.with_augmentation(rows)
        self._by_class = []
        for label in (False, True):
            mask = is_spoof == label
            self._by_class.append((rows[mask], weight[mask] / weight[mask].sum()))

    def draw(self) -> tuple[tuple[Features, ...], NDArray[np.float32]]:
        """Draw one batch.

        Returns
        -------
        tuple of ndarray of float32
            Frames (batch, cropped frames, n_features), if any; statistics (batch, n_statistics).
        ndarray of float32, shape (batch, 1)
            Smoothed labels.
        """
        half = self.fit.batch_rows // 2
        chosen = [self._rng.choice(rows, half, p=weight) for rows, weight in self._by_class]
        rows = np.concatenate(chosen)
        labels = np.repeat([0.0, 1.0], half)[:, None]
        smooth = self.fit.label_smoothing
        smoothed = (labels * (1 - 2 * smooth) + smooth).astype(np.float32)
        frames = [self._frames(part, rows) for part in [self.examples.frames] if part]
        return (*frames, self._statistics(rows)), smoothed

    def _frames(self, part: Part, rows: Rows) -> Features:
        _, n_frames, n_features = part.features.shape
        length = max(1, round(n_frames * self.fit.crop_share))
        starts = self._rng.integers(0, n_frames - length + 1, len(rows))
        pairs = zip(rows, starts, strict=True)
        cropped = np.stack([part.features[row, start : start + length] for row, start in pairs])
        offset = self._rng.normal(0.0, self.fit.offset_scale, (len(rows), 1, n_features))
        return part.standard(cropped) + offset.astype(np.float32)

    def _statistics(self, rows: Rows) -> Features:
        taken = self.examples.statistics.take(rows)
        noise = self._rng.normal(0.0, self.fit.statistics_noise, taken.shape)
        return taken + noise.astype(np.float32)
