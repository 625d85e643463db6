"""Standardising: a scaler for every view and the statistics, and each fit's own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.models.config import FeatureWeights
from bonafide.models.examples import Examples, Features, Part, Rows, Standard
from bonafide.training.extraction import FeatureStore
from bonafide.training.folds import Folds

STATISTICS_LIMIT = 4.0  # deviations: a statistic far off says no more than one that is off


@dataclass(frozen=True)
class Scaler:
    """A `Standard` for every view, and under `STATISTICS` one for the statistics."""

    standards: dict[str, Standard]


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
    """Return features as extracted with the standards of the rows in `side`; see `Examples`."""
    known = Part(statistics, fit_standard(statistics, side, gain=gain))
    heard = None if frames is None else Part(frames, fit_standard(frames, side))
    return Examples(known, is_spoof, source, heard, augmentation_weight)
