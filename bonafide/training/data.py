"""What base models train on: one view of the store, labels, sources, and how to draw from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonafide.training.config import FitConfig
from bonafide.training.features import FeatureStore
from bonafide.training.folds import Folds

Features = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of each feature over time and recordings, shape (n_features,) each."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def __call__(self, features: Features) -> Features:
        """Standardise features of shape (..., n_features)."""
        scaled: Features = (features - self.mean) / self.scale
        return scaled


@dataclass(frozen=True)
class Scaler:
    """A `Standard` for every view."""

    standards: dict[str, Standard]


def fit_standard(view: Features, rows: Rows, *, chunk_rows: int = 256) -> Standard:
    """Fit scikit-learn's `StandardScaler` over every frame of these rows, chunk by chunk.

    Parameters
    ----------
    view : ndarray of float32, shape (n_rows, n_frames, n_features)
        Usually memory-mapped.
    rows : ndarray of int, shape (n_training_rows,)
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for start in range(0, len(rows), chunk_rows):
        chunk = view[np.sort(rows[start : start + chunk_rows])]
        scaler.partial_fit(chunk.reshape(-1, chunk.shape[-1]).astype(np.float64))
    return Standard(scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32))


@dataclass(frozen=True)
class View:
    """One view with its labels.

    Parameters
    ----------
    features : ndarray of float32, shape (n_rows, n_frames, n_features)
        As extracted, usually memory-mapped.
    is_spoof : ndarray of bool, shape (n_rows,)
    source : ndarray of int64, shape (n_rows,)
        Number of each row's source.
    standard : Standard
        Applied to whatever is drawn.
    """

    features: Features
    is_spoof: NDArray[np.bool_]
    source: Rows
    standard: Standard

    def take(self, rows: Rows) -> Features:
        """Give standardised features of these rows, (len(rows), n_frames, n_features)."""
        return self.standard(self.features[rows])


class BatchSampler:
    """Draws training batches: half and half by class, sources by the square root of their size.

    Each draw crops in time, shifts every feature by a constant of its own, and blanks a stretch
    of frames (SpecAugment, Park et al. 2019, time masks only).

    Parameters
    ----------
    view : View
    rows : ndarray of int, shape (n_training_rows,)
    fit : FitConfig
    seed : int
    """

    def __init__(self, view: View, rows: Rows, fit: FitConfig, seed: int) -> None:
        self.view, self.rows, self.fit = view, rows, fit
        self._rng = np.random.default_rng(seed)
        size = np.bincount(view.source)[view.source[rows]]  # rows of each row's source
        weight = size**-0.5
        self._by_class = []
        for label in (False, True):
            mask = view.is_spoof[rows] == label
            self._by_class.append((rows[mask], weight[mask] / weight[mask].sum()))

    def draw(self) -> tuple[Features, NDArray[np.float32]]:
        """Give features (batch, cropped frames, n_features) and smoothed labels (batch, 1)."""
        half = self.fit.batch_rows // 2
        chosen = [self._rng.choice(rows, half, p=weight) for rows, weight in self._by_class]
        features = self._augmented(self.view.take(np.concatenate(chosen)))
        labels = np.repeat([0.0, 1.0], half)[:, None]
        smooth = self.fit.label_smoothing
        return features, (labels * (1 - 2 * smooth) + smooth).astype(np.float32)

    def _augmented(self, features: Features) -> Features:
        n_rows, n_frames, n_features = features.shape
        length = max(1, round(n_frames * self.fit.crop_share))
        starts = self._rng.integers(0, n_frames - length + 1, n_rows)
        frames = starts[:, None] + np.arange(length)  # (n_rows, length)
        cropped = features[np.arange(n_rows)[:, None], frames]
        offset = self._rng.normal(0.0, self.fit.offset_scale, (n_rows, 1, n_features))
        cropped = cropped + offset.astype(np.float32)
        for row in range(n_rows if self.fit.mask_frames else 0):
            width = int(self._rng.integers(0, self.fit.mask_frames + 1))
            start = int(self._rng.integers(0, max(1, length - width)))
            cropped[row, start : start + width] = 0.0
        return cropped


def fit_scaler(store: FeatureStore, folds: Folds) -> Scaler:
    """Fit every view's `Standard` on the training side."""
    rows = np.flatnonzero(~folds.is_test)
    return Scaler({name: fit_standard(store.view(name), rows) for name in store.spec.views})
