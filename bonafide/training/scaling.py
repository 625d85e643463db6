"""Standardising: the scaler of the exported detector, and the standards of each fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.models.config import FeatureWeights
from bonafide.models.examples import Examples, Part, Rows, Standard
from bonafide.training.folds import Folds
from bonafide.training.store import FeatureStore
from bonafide.types import Features

STATISTICS_LIMIT = 4.0  # standard deviations; a statistic further off says no more than one there


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
    """Return the gain of each statistic, shape (n_statistics,), scaled to a mean square of 1."""
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
        Usually memory-mapped.
    rows : ndarray of int, shape (n_training_rows,)
        The rows to fit on.
    gain : ndarray of float32, shape (n_statistics,), or None
        Factor of each standardised statistic; see `feature_weights_of`.
    chunk_rows : int
        How many rows are in memory at a time.

    Returns
    -------
    Standard
        Statistics are limited to `STATISTICS_LIMIT`, views are not.
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
    """Fit the `Standard` of every view and of the statistics on the training side."""
    rows = np.flatnonzero(~folds.is_test)
    standards = {name: fit_standard(store.view(name), rows) for name in store.spec.views}
    gain = feature_weights_of(store.spec, feature_weights)
    return Scaler({**standards, STATISTICS: fit_standard(store.view(STATISTICS), rows, gain=gain)})


def standardised(
    side: Rows,
    statistics: Features,
    is_spoof: NDArray[np.bool_],
    source: Rows,
    frames: Features | None = None,
    *,
    gain: Features | None = None,
    augmentation_weight: float | NDArray[np.float64] = 0.0,
) -> Examples:
    """Return unscaled features with standards fitted on the rows in `side`; see `Examples`."""
    known = Part(statistics, fit_standard(statistics, side, gain=gain))
    heard = None if frames is None else Part(frames, fit_standard(frames, side))
    return Examples(known, is_spoof, source, heard, augmentation_weight)
