"""One fit of the protocol: a base model without some folds, and without what a run leaves out.

Only `what_is_left` is research's own: the rest is how the product fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.features.spec import STATISTICS
from bonafide.models import family
from bonafide.models.config import FitConfig
from bonafide.models.examples import Examples, Standard
from bonafide.process.pool import Progress
from bonafide.training.fitting import fit_one, model_seed
from bonafide.training.scaling import feature_weights_of, standardised
from bonafide.training.store import FeatureStore

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
    left_out : ndarray of bool, shape (n_copies, n_rows)
        Augmented copies that do not count.
    """

    is_spoof: NDArray[np.bool_]
    source: NDArray[np.int64]
    fold: NDArray[np.int64]
    left_out: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Read what `write` wrote."""
        with np.load(path) as columns:
            return cls(**columns)

    def write(self, path: Path) -> None:
        """Write an .npz file."""
        np.savez(path, allow_pickle=False, **vars(self))


@dataclass(frozen=True)
class Parts:
    """What a base model is fitted on, before it is standardised; see `Examples`.

    Parameters
    ----------
    statistics : ndarray of float32, shape (n_all, n_statistics)
    frames : ndarray of float32, shape (n_all, n_frames, n_features), or None
    is_spoof : ndarray of bool, shape (n_rows,)
    source : ndarray of int64, shape (n_rows,)
    gain : ndarray of float32, shape (n_statistics,)
    augmentation_weight : ndarray of float64, shape (n_copies, n_rows)
    """

    statistics: NDArray[np.float32]
    frames: NDArray[np.float32] | None
    is_spoof: NDArray[np.bool_]
    source: NDArray[np.int64]
    gain: NDArray[np.float32]
    augmentation_weight: NDArray[np.float64]


def what_is_left(
    features: FeatureStore,
    table: Table,
    fit: FitConfig,
    view: str | None,
    *,
    without: Sequence[int],
    deaf: bool,
) -> Parts:
    """Return what a base model is fitted on when parts are left out.

    Parameters
    ----------
    features : FeatureStore
        Holds all features.
    table : Table
        Of the same rows.
    fit : FitConfig
        Weights of statistics and of augmented copies.
    view : str or None
        What a network hears frame by frame; None for trees.
    without : sequence of int
        Columns of the statistics that are set to 0.
    deaf : bool
        Whether silence stands in for the frames.

    Returns
    -------
    Parts
    """
    statistics = np.array(features.view(STATISTICS))
    statistics[:, without] = 0.0
    frames = None if view is None else features.view(view)
    if frames is not None and deaf:
        frames = np.zeros((len(frames), DEAF_FRAMES, frames.shape[2]), np.float32)
    return Parts(
        statistics,
        frames,
        table.is_spoof,
        table.source,
        feature_weights_of(features.spec, fit.feature_weights),
        fit.augmentation_weight * ~table.left_out,
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
    without: list[int],
    deaf: bool,
    folder: str,
) -> dict[str, Any]:
    """Fit one base model on all folds but some, and score those (an `Isolated` function).

    It writes ``<folds>.npy``, p_spoof of the rows that were held out, and beside it the model and
    its standards. The arguments are those of `Workspace.settings`, with `store`, `table` and
    `folder` as paths.

    Returns
    -------
    dict
        Empty: the results are files.
    """
    family(name).fix_threads()
    columns, config = Table.read(Path(table)), FitConfig.model_validate(fit)
    parts = what_is_left(
        FeatureStore(Path(store)), columns, config, model.get("view"), without=without, deaf=deaf
    )
    is_held_out = np.isin(columns.fold, held_out)
    rows, scored = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    examples = standardised(
        rows,
        parts.statistics,
        parts.is_spoof,
        parts.source,
        parts.frames,
        gain=parts.gain,
        augmentation_weight=parts.augmentation_weight,
    )
    own_seed = model_seed(seed, name, *held_out)
    base = fit_one(name, model, config, examples, rows, own_seed, progress)
    target = Path(folder) / file_stem(held_out)
    base.save(target.with_suffix(base.suffix))
    write_standards(examples, target.with_suffix(".npz"))
    np.save(target.with_suffix(".npy"), base.predict(examples, scored))
    return {}


def write_standards(examples: Examples, path: Path) -> None:
    """Write the standards of statistics and frames, .npz."""
    standards = {
        f"{key}_{field}": value
        for key, part in ((STATISTICS, examples.statistics), ("frames", examples.frames))
        if part is not None
        for field, value in vars(part.standard).items()
        if value is not None
    }
    np.savez(path, allow_pickle=False, **standards)


def read_standards(path: Path) -> dict[str, Standard]:
    """Read what `write_standards` wrote: the standards of statistics and, if any, of frames."""
    with np.load(path) as arrays:
        fields = {key: dict[str, Any]() for key in (STATISTICS, "frames")}
        for name in arrays.files:
            key, _, field = name.rpartition("_")
            fields[key][field] = arrays[name] if arrays[name].ndim else float(arrays[name])
    return {key: Standard(**values) for key, values in fields.items() if values}
