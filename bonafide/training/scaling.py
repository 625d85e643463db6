"""Standardising: the scaler of the exported detector, and the standards of each fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.features.spec import ENCODER, NARROW, STATISTICS, FeatureSpec
from bonafide.models.config import FeatureWeights
from bonafide.models.examples import Examples, Part, Rows, Standard, Table
from bonafide.training.folds import Folds
from bonafide.training.store import FeatureStore
from bonafide.types import Features

STATISTICS_LIMIT = 4.0  # standard deviations; a statistic further off says no more than one there


@dataclass(frozen=True)
class Scaler(Artifact):
    """A `Standard` for every view and every vector."""

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
    spec: FeatureSpec,
    feature_weights: Mapping[str, FeatureWeights],
    hears: Sequence[str] = (STATISTICS,),
) -> Features:
    """Return the gain of each number in some vectors, with a mean square of 1 in each of them.

    Parameters
    ----------
    spec : FeatureSpec
        Says what the vectors hold.
    feature_weights : mapping of str to FeatureWeights
        By view; others, and the encoder's numbers, have weights of 1.
    hears : sequence of str
        Names of vectors.

    Returns
    -------
    ndarray of float32, shape (n,)
        Vector after vector.
    """
    parts = []
    for vector in hears:
        views = {STATISTICS: spec.statistics, NARROW: spec.narrow}.get(vector)
        gains = [1.0] * spec.vectors[vector] if views is None else list[float]()
        for name, view in (views or {}).items():
            own = feature_weights.get(name, FeatureWeights())
            gains += [getattr(own, kind) for kind in spec.kinds_of(view)]
        relative = np.array(gains)
        parts.append(relative / np.sqrt(np.mean(relative**2)))
    return np.concatenate(parts, dtype=np.float32)


def fit_standard(
    view: Table, rows: Rows, *, gain: Features | None = None, chunk_rows: int = 256
) -> Standard:
    """Fit scikit-learn's `StandardScaler` over every frame of these rows, chunk by chunk.

    Parameters
    ----------
    view : ndarray of float32, shape (n_rows, n_frames, n_features) or (n_rows, n), or a `Table`
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
        Vectors are limited to `STATISTICS_LIMIT`, views are not.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for start in range(0, len(rows), chunk_rows):
        chunk = view[np.sort(rows[start : start + chunk_rows])]
        scaler.partial_fit(chunk.reshape(-1, chunk.shape[-1]).astype(np.float64))
    limit = STATISTICS_LIMIT if len(view.shape) == 2 else np.inf
    mean, scale = scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32)
    return Standard(mean, scale, limit, gain)


def fit_scaler(
    store: FeatureStore, folds: Folds, feature_weights: Mapping[str, FeatureWeights]
) -> Scaler:
    """Fit the `Standard` of every view and every vector on the training side."""
    rows, spec = np.flatnonzero(~folds.is_test), store.spec
    standards = {name: fit_standard(store.view(name), rows) for name in spec.views}
    for name in spec.vectors:
        gain = None if name == ENCODER else feature_weights_of(spec, feature_weights, (name,))
        standards[name] = fit_standard(store.view(name), rows, gain=gain)
    return Scaler(standards)


def standardised(
    side: Rows,
    statistics: Table,
    is_spoof: NDArray[np.bool_],
    source: Rows,
    frames: Table | None = None,
    *,
    gain: Features | None = None,
    augmentation_weight: float | NDArray[np.float64] = 0.0,
) -> Examples:
    """Return unscaled features with standards fitted on the rows in `side`; see `Examples`."""
    known = Part(statistics, fit_standard(statistics, side, gain=gain))
    heard = None if frames is None else Part(frames, fit_standard(frames, side))
    return Examples(known, is_spoof, source, heard, augmentation_weight)
