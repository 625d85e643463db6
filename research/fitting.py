"""One fit of the protocol: a base model without some folds, and without what a run leaves out.

Only what is left out is research's own: the rest is how the product fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.models import family_of
from bonafide.models.config import FitConfig, heard_by, view_of
from bonafide.models.examples import Examples, SideBySide
from bonafide.process.pool import Progress
from bonafide.training.fitting import copy_weights, fit_one, model_seed
from bonafide.training.scaling import feature_weights_of, standardised
from bonafide.training.store import FeatureStore
from bonafide.types import Features
from research.ablations import left_out_columns, left_out_copies

DEAF_FRAMES = 16  # silent frames that stand in where a network does without its view


@dataclass(frozen=True)
class Table:
    """The columns that a fit needs, as `Workspace.fit` writes them.

    Parameters
    ----------
    is_spoof : ndarray of bool, shape (n_rows,)
        Labels.
    source, fold : ndarray of int64, shape (n_rows,)
        Numbers of the source and of the fold.
    """

    is_spoof: NDArray[np.bool_]
    source: NDArray[np.int64]
    fold: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Read what `write` wrote."""
        with np.load(path) as columns:
            return cls(**columns)

    def write(self, path: Path) -> None:
        """Write an .npz file."""
        np.savez(path, allow_pickle=False, **vars(self))


def heard_vectors(
    features: FeatureStore, hears: Sequence[str], without: Sequence[str]
) -> Features | SideBySide:
    """Return the vectors that a base model hears, 0 where they are withheld; (n_all, n)."""
    vectors = features.vectors(hears)
    if not len(columns := left_out_columns(features.spec, hears, without)):
        return vectors
    values = vectors[:]
    values[:, columns] = 0.0
    return values


def heard_frames(features: FeatureStore, view: str, *, deaf: bool) -> Features | None:
    """Return the view that a network hears, or silence; None for models of vectors alone."""
    if not view:
        return None
    frames = features.view(view)
    return np.zeros((len(frames), DEAF_FRAMES, frames.shape[2]), np.float32) if deaf else frames


def examples_of(
    features: FeatureStore,
    table: Table,
    rows: NDArray[np.int64],
    model: dict[str, Any],
    fit: FitConfig,
    *,
    without: Sequence[str],
    deaf: bool,
) -> Examples:
    """Return what a base model is fitted on when parts are left out.

    Parameters
    ----------
    features : FeatureStore
        Holds all features.
    table : Table
        Of the same rows.
    rows : ndarray of int64, shape (n,)
        Rows that it is fitted on.
    model : dict
        Its section of the configuration, as JSON.
    fit : FitConfig
        Weights of statistics and of augmented copies.
    without : sequence of str
        As `Run.without`.
    deaf : bool
        Whether silence stands in for the frames.

    Returns
    -------
    what a base model is fitted on
        Standardised on `rows`.
    """
    hears, stretches = heard_by(model), features.augmentation.stretches
    return standardised(
        rows,
        heard_vectors(features, hears, without),
        table.is_spoof,
        table.source,
        heard_frames(features, view_of(model), deaf=deaf),
        gain=feature_weights_of(features.spec, fit.feature_weights, hears),
        augmentation_weight=copy_weights(stretches, fit) * ~left_out_copies(stretches, without),
    )


def file_stem(held_out: Sequence[int]) -> str:
    """Return the stem of a fit's file names, the folds that it did not see: ``2``, or ``0-2``."""
    return "-".join(map(str, held_out))


def fit_held_out(
    *,
    progress: Progress,
    name: str,
    model: dict[str, Any],
    fit: dict[str, Any],
    store: str,
    table: str,
    held_out: list[int],
    seed: int,
    without: list[str],
    deaf: bool,
    folder: str,
) -> dict[str, Any]:
    """Fit one base model on all folds but some, and score those (an `Isolated` function).

    It writes ``<folds>.npy``, p_spoof (n, n_stretches) of the rows that were held out and of their
    augmented copies, and beside it the model. The arguments are those of `Workspace.settings`, with
    `store`, `table` and `folder` as paths.

    Returns
    -------
    dict
        Empty: the results are files.
    """
    family_of(name, model).fix_threads()
    columns, config, features = (
        Table.read(Path(table)),
        FitConfig.model_validate(fit),
        FeatureStore(Path(store)),
    )
    is_held_out = np.isin(columns.fold, held_out)
    rows, scored = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    examples = examples_of(features, columns, rows, model, config, without=without, deaf=deaf)
    base = fit_one(name, model, config, examples, rows, model_seed(seed, name, *held_out), progress)
    target = Path(folder) / file_stem(held_out)
    base.save(target.with_suffix(base.suffix))
    n_stretches = len(features.augmentation.stretches)
    every = scored + len(columns.fold) * np.arange(n_stretches)[:, None]
    np.save(
        target.with_suffix(".npy"), base.predict(examples, every.ravel()).reshape(every.shape).T
    )
    return {}
