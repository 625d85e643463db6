"""XGBoost on the statistics. Imports xgboost."""

import json
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from bonafide.process.pool import Progress, silent
from bonafide.training.config import TreesConfig
from bonafide.training.sampling import Examples, Rows


def load_booster(content: bytes) -> xgboost.Booster:
    """Read a booster from UBJSON or JSON."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    return booster


def halfway(booster: xgboost.Booster, x: NDArray[np.float32]) -> xgboost.Booster:
    """Move every split to the middle between the training values on either side of it.

    XGBoost splits exactly at a value of some row. There the last bit of that feature decides, and
    graphs that add in another order differ in it.

    Parameters
    ----------
    booster : xgboost.Booster
        Fitted to `x`.
    x : ndarray of float32, shape (n_rows, n_columns)
    """
    model = json.loads(bytes(booster.save_raw("json")))
    ordered = np.sort(x, axis=0)
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        conditions = tree["split_conditions"]  # of leaves, their value
        for node, column in enumerate(tree["split_indices"]):
            if tree["left_children"][node] == -1:
                continue
            values = ordered[:, column]
            above = int(np.searchsorted(values, np.float32(conditions[node])))
            if 0 < above < len(values):
                conditions[node] = float((values[above - 1] + values[above]) / 2)
    return load_booster(json.dumps(model).encode())


class _Report(xgboost.callback.TrainingCallback):
    def __init__(self, progress: Progress, rounds: int) -> None:
        self._progress, self._rounds = progress, rounds

    def after_iteration(self, model: object, epoch: int, evals_log: object) -> bool:
        if epoch % 20 == 19:
            self._progress(epoch + 1, self._rounds)
        return False


class Trees:
    """XGBoost as a base model, rows and copies weighted by `Examples.with_augmentation`.

    Parameters
    ----------
    config : TreesConfig
    seed : int

    Attributes
    ----------
    model_ : xgboost.Booster
    history_ : dict of str to list of float
        Log loss on the training rows by number of trees.
    """

    suffix = ".ubj"

    def __init__(self, config: TreesConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def fit(self, examples: Examples, rows: Rows, progress: Progress = silent) -> "Trees":
        """Fit on `rows` and their copies."""
        config = self.config
        parameters = {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "base_score": 0.5,
            "eta": config.learning_rate,
            "max_depth": config.depth,
            "max_bin": 64,
            "subsample": config.row_share,
            "colsample_bytree": config.column_share,
            "tree_method": "hist",
            "nthread": 1,
            "seed": self.seed,
        }
        log: dict[str, dict[str, list[float]]] = {}
        every, is_spoof, weight = examples.with_augmentation(rows)
        x = examples.statistics.take(every)
        matrix = xgboost.DMatrix(x, is_spoof, weight=weight)
        if (gain := examples.statistics.standard.gain) is not None:
            matrix.set_info(feature_weights=gain)  # a column is drawn as often as it counts
        booster = xgboost.train(
            parameters,
            matrix,
            config.trees,
            evals=[(matrix, "training")],
            evals_result=log,
            verbose_eval=False,
            callbacks=[_Report(progress, config.trees)],
        )
        self.model_ = halfway(booster, x)
        self.history_ = {"loss": [float(v) for v in log["training"]["logloss"]]}
        return self

    def predict(self, examples: Examples, rows: Rows) -> NDArray[np.float32]:
        """Return p_spoof, shape (len(rows),)."""
        if not len(rows):
            return np.zeros(0, np.float32)
        matrix = xgboost.DMatrix(examples.statistics.take(rows))
        return np.asarray(self.model_.predict(matrix), np.float32)

    def save(self, path: Path) -> None:
        """Write the UBJSON file."""
        self.model_.save_model(path)
