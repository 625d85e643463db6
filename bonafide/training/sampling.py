"""What base models train on: statistics, a view, labels, sources, and how to draw from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.training.config import FeatureWeights, FitConfig
from bonafide.training.folds import Folds
from bonafide.training.store import FeatureStore

Features = NDArray[np.float32]
Rows = NDArray[np.int64]
STATISTICS_LIMIT = 4.0  # deviations: a statistic far off says no more than one that is off


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of each feature.

    Parameters
    ----------
    mean, scale : ndarray of float32, shape (n_features,)
    limit : float
        Standardised values are kept within -limit .. limit.
    gain : ndarray of float32, shape (n_features,), or None
        What they are multiplied by then.
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


@dataclass(frozen=True)
class Scaler(Artifact):
    """A `Standard` for every view, and under `STATISTICS` one for the statistics."""

    standards: dict[str, Standard]

    def save(self, folder: Path) -> None:
        """Write ``scaler.npz``: ``<view>`` holds mean, scale, limit and any gain, a row each."""
        arrays: dict[str, Any] = {}
        for name, s in self.standards.items():
            rows = [s.mean, s.scale, np.full_like(s.mean, s.limit)]
            arrays[name] = np.stack(rows if s.gain is None else [*rows, s.gain])
        np.savez(folder / "scaler.npz", **arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``scaler.npz``."""
        standards = {}
        with np.load(folder / "scaler.npz", allow_pickle=False) as arrays:
            for name, (mean, scale, limit, *gain) in arrays.items():
                standards[name] = Standard(mean, scale, float(limit[0]), *gain)
        return cls(standards)

    def digest(self) -> str:
        """Return a hash of names and numbers."""
        parts: list[bytes | str] = []
        for name, s in self.standards.items():
            gain = b"" if s.gain is None else s.gain.tobytes()
            parts += [name, s.mean.tobytes(), s.scale.tobytes(), str(s.limit), gain]
        return sha256_of(*parts)

    def facts(self) -> dict[str, JSON]:
        """Count the features of each view."""
        return {name: len(standard.mean) for name, standard in self.standards.items()}


def feature_weights_of(
    spec: FeatureSpec, feature_weights: Mapping[str, FeatureWeights]
) -> Features:
    """Return the gain of each statistic, of mean square 1, shape (n_statistics,)."""
    gains = list[float]()
    for name, view in spec.statistics.items():
        own = feature_weights.get(name, FeatureWeights())
        gains += [getattr(own, kind) for kind in spec.kinds_of(view)]
    relative = np.array(gains)
    return np.asarray(relative / np.sqrt(np.mean(relative**2)), dtype=np.float32)


def fit_standard(
    view: Features, rows: Rows, *, gain: Features | None = None, chunk_rows: int = 256
) -> Standard:
    """Fit scikit-learn's `StandardScaler` over every frame of these rows, chunk by chunk.

    Parameters
    ----------
    view : ndarray of float32, shape (n_rows, n_frames, n_features) or (n_rows, n_statistics)
        Usually memory-mapped. Statistics get `STATISTICS_LIMIT`.
    rows : ndarray of int, shape (n_training_rows,)
    gain : ndarray of float32, shape (n_statistics,), or None
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for start in range(0, len(rows), chunk_rows):
        chunk = view[np.sort(rows[start : start + chunk_rows])]
        scaler.partial_fit(chunk.reshape(-1, chunk.shape[-1]).astype(np.float64))
    limit = STATISTICS_LIMIT if view.ndim == 2 else np.inf
    mean, scale = scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32)
    return Standard(mean, scale, limit, gain)


def fit_scaler(
    store: FeatureStore, folds: Folds, feature_weights: Mapping[str, FeatureWeights]
) -> Scaler:
    """Fit every `Standard` on the training side."""
    rows = np.flatnonzero(~folds.is_test)
    standards = {name: fit_standard(store.view(name), rows) for name in store.spec.views}
    gain = feature_weights_of(store.spec, feature_weights)
    return Scaler({**standards, STATISTICS: fit_standard(store.view(STATISTICS), rows, gain=gain)})


@dataclass(frozen=True)
class Part:
    """Features as extracted, usually memory-mapped, and the standard of what is taken of them."""

    features: Features
    standard: Standard

    def take(self, rows: Rows) -> Features:
        """Return standardised features of these rows."""
        return self.standard(self.features[rows])


@dataclass(frozen=True)
class Examples:
    """What one base model is given.

    Parameters
    ----------
    statistics : Part
        Shape (n_all, n_statistics): n_rows recordings, then as many changed copies, and so on;
        see `bonafide.training.store.FeatureStore`.
    is_spoof : ndarray of bool, shape (n_rows,)
    source : ndarray of int64, shape (n_rows,)
        Number of each row's source.
    frames : Part or None
        The view of a network, shape (n_all, n_frames, n_features); None for trees.
    augmentation_weight : float or ndarray of float64, shape (n_copies, n_rows)
        What changed copies count beside their recordings, 0 or more.
    """

    statistics: Part
    is_spoof: NDArray[np.bool_]
    source: Rows
    frames: Part | None = None
    augmentation_weight: float | NDArray[np.float64] = 0.0

    @classmethod
    def standardised(
        cls,
        side: Rows,
        statistics: Features,
        is_spoof: NDArray[np.bool_],
        source: Rows,
        frames: Features | None = None,
        *,
        gain: Features | None = None,
        augmentation_weight: float | NDArray[np.float64] = 0.0,
    ) -> "Examples":
        """Return features as extracted the standards of the rows in `side`."""
        known = Part(statistics, fit_standard(statistics, side, gain=gain))
        heard = None if frames is None else Part(frames, fit_standard(frames, side))
        return cls(known, is_spoof, source, heard, augmentation_weight)

    def weights(self, rows: Rows) -> NDArray[np.float64]:
        """Weigh rows so that big sources do not rule and both classes count alike.

        The power -1/2 of how many of `rows` share the row's source and label; each class sums to
        half the number of rows. Shape (len(rows),).
        """
        spoof = self.is_spoof[rows]
        kind = 2 * self.source[rows] + spoof
        weight = np.asarray(np.bincount(kind)[kind] ** -0.5, dtype=np.float64)
        for label in (False, True):
            weight[spoof == label] /= max(weight[spoof == label].sum(), 1e-12) / len(rows) * 2
        return weight

    def with_augmentation(self, rows: Rows) -> tuple[Rows, NDArray[np.bool_], NDArray[np.float64]]:
        """Return what a model is fitted to: `rows` and those of their copies that count.

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

    Each draw crops the frames in time and shifts every feature by a constant of its own, and
    shakes every statistic.

    Parameters
    ----------
    examples : Examples
        With frames.
    rows : ndarray of int, shape (n_training_rows,)
    fit : FitConfig
    seed : int
    """

    def __init__(self, examples: Examples, rows: Rows, fit: FitConfig, seed: int) -> None:
        self.examples, self.fit = examples, fit
        self._rng = np.random.default_rng(seed)
        rows, is_spoof, weight = examples.with_augmentation(rows)
        self._by_class = []
        for label in (False, True):
            mask = is_spoof == label
            self._by_class.append((rows[mask], weight[mask] / weight[mask].sum()))

    def draw(self) -> tuple[tuple[Features, Features], NDArray[np.float32]]:
        """Draw one batch.

        Returns
        -------
        tuple of ndarray of float32
            Frames (batch, cropped frames, n_features), statistics (batch, n_statistics).
        ndarray of float32, shape (batch, 1)
            Smoothed labels.
        """
        half = self.fit.batch_rows // 2
        chosen = [self._rng.choice(rows, half, p=weight) for rows, weight in self._by_class]
        rows = np.concatenate(chosen)
        labels = np.repeat([0.0, 1.0], half)[:, None]
        smooth = self.fit.label_smoothing
        smoothed = (labels * (1 - 2 * smooth) + smooth).astype(np.float32)
        return (self._frames(rows), self._statistics(rows)), smoothed

    def _frames(self, rows: Rows) -> Features:
        part = self.examples.frames
        assert part is not None
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
