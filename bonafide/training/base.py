"""One base model: fitted once a fold for out-of-fold scores, and once more for export."""

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bonafide.training.config import Config
from bonafide.training.data import Rows, View, fit_standard
from bonafide.training.features import FeatureStore
from bonafide.training.folds import Folds, hold_out
from bonafide.training.parallel import Progress, silent


class BaseModel(Protocol):
    """What every base model does; probabilities are of spoof, in [0, 1]."""

    suffix: str
    history_: dict[str, list[float]]

    def fit(
        self, view: View, rows: Rows, validation_rows: Rows, progress: Progress = silent
    ) -> "BaseModel":
        """Fit on rows, stopping by the validation rows."""

    def predict(self, view: View, rows: Rows) -> NDArray[np.float32]:
        """Give p_spoof, shape (len(rows),)."""

    def save(self, path: Path) -> None:
        """Write the model in its own format."""


def make_base_model(name: str, config: Config, seed: int) -> BaseModel:
    """Make an unfitted base model by its name, importing its library only now."""
    if name == "xgboost":
        from bonafide.training.trees import Trees

        return Trees(config.models.xgboost, seed)
    from bonafide.training.networks import Network

    return Network(name, getattr(config.models, name), config.fit, seed)


def _fix_threads(name: str) -> None:
    """Fix what could make two runs differ: thread counts and the order of reductions."""
    if name != "xgboost":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()


def model_seed(seed: int, name: str, fold: int) -> int:
    """Give each model and fold a seed of its own; fold -1 is the final fit."""
    entropy = [seed, fold + 1, *name.encode()]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


def fit_base(
    *, progress: Progress, name: str, config: dict[str, Any], store: str, table: str, folder: str
) -> dict[str, Any]:
    """Fit one base model on every fold and on the whole training side (an `Isolated` function).

    Parameters
    ----------
    name : str
        One of `BASE_MODELS`.
    config : dict
        A `Config` as JSON.
    store : str
        Folder of a `FeatureStore`.
    table : str
        An .npz file with ``is_spoof``, ``source``, ``group`` and ``fold``, each (n_rows,).
    folder : str
        Receives ``model.keras`` or ``model.ubj`` and ``oof.npy``: p_spoof of every row, by a
        model that never saw its group, shape (n_rows,). Test rows are scored by the final fit.

    Returns
    -------
    dict
        ``model`` (file name) and ``history`` (losses of the final fit and of each fold).
    """
    _fix_threads(name)
    run = Config.model_validate(config)
    columns = np.load(table)
    folds = Folds(columns["group"], columns["fold"])
    features = FeatureStore(Path(store)).view(getattr(run.models, name).view)
    p_spoof = np.full(len(folds.fold), np.nan, dtype=np.float32)
    history: dict[str, Any] = {}
    fits = [*range(folds.count), -1]
    for done, fold in enumerate(fits):
        scored = np.flatnonzero(folds.fold == fold)
        side = np.flatnonzero((folds.fold != fold) & ~folds.is_test)
        seed = model_seed(run.seed, name, fold)
        held_out = hold_out(
            columns["is_spoof"][side], folds.group[side], run.folds.validation_share, seed
        )
        rows, validation_rows = side[~held_out], side[held_out]
        standard = fit_standard(features, side)
        view = View(features, columns["is_spoof"], columns["source"], standard)
        model = make_base_model(name, run, seed).fit(
            view,
            rows,
            validation_rows,
            lambda d, t, done=done: progress(1000 * done + 1000 * d // t, 1000 * len(fits)),
        )
        p_spoof[scored] = model.predict(view, scored)
        history["final" if fold == -1 else f"fold {fold}"] = model.history_
        progress(1000 * (done + 1), 1000 * len(fits))
    model.save(Path(folder) / f"model{model.suffix}")
    np.save(Path(folder) / "oof.npy", p_spoof)
    (Path(folder) / "history.json").write_text(json.dumps(history))
    return {"model": f"model{model.suffix}"}
