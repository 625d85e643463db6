"""XGBoost on time statistics of one view. Imports xgboost."""

import json
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from bonafide.runtime import Graph
from bonafide.statistics import build_statistics
from bonafide.training.config import TreesConfig
from bonafide.training.data import Rows, View
from bonafide.training.parallel import Progress, silent

CHUNK_ROWS = 64


def view_statistics(view: View, rows: Rows) -> NDArray[np.float32]:
    """Give the time statistics of standardised features, (len(rows), 8 * n_features).

    The graph is the one that is exported in front of the trees.
    """
    _, n_frames, n_features = view.features.shape
    graph = Graph(build_statistics(n_frames, n_features).SerializeToString())
    parts = [
        graph({"frames": view.take(rows[start : start + CHUNK_ROWS])})["statistics"]
        for start in range(0, len(rows), CHUNK_ROWS)
    ]
    return np.concatenate(parts)


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
    """XGBoost as a base model: rows weighted so that big sources do not rule.

    Parameters
    ----------
    config : TreesConfig
    seed : int

    Attributes
    ----------
    model_ : xgboost.Booster
        Cut back to the number of trees that did best on the held-out rows.
    history_ : dict of str to list of float
        Log loss by number of trees.
    """

    suffix = ".ubj"

    def __init__(self, config: TreesConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def fit(
        self, view: View, rows: Rows, validation_rows: Rows, progress: Progress = silent
    ) -> "Trees":
        """Fit on `rows`; keep as many trees as serve `validation_rows` best."""
        config = self.config
        parameters = {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "base_score": 0.5,
            "eta": config.learning_rate,
            "max_depth": config.depth,
            "subsample": config.row_share,
            "colsample_bytree": config.column_share,
            "tree_method": "hist",
            "nthread": 1,
            "seed": self.seed,
        }
        log: dict[str, dict[str, list[float]]] = {}
        x = view_statistics(view, rows)
        held_out = view_statistics(view, validation_rows)
        booster = xgboost.train(
            parameters,
            self._matrix(view, rows, x),
            config.trees,
            evals=[(self._matrix(view, validation_rows, held_out), "held_out")],
            evals_result=log,
            verbose_eval=False,
            callbacks=[_Report(progress, config.trees)],
        )
        losses = [float(v) for v in log["held_out"]["logloss"]]
        best = booster[: int(np.argmin(losses)) + 1]
        self.model_ = halfway(best, x)
        self.history_ = {"held_out_loss": losses}
        return self

    @staticmethod
    def _matrix(view: View, rows: Rows, x: NDArray[np.float32]) -> xgboost.DMatrix:
        """Weigh rows, of statistics `x`, by source size to the power -1/2, classes evenly."""
        spoof = view.is_spoof[rows]
        weight = np.bincount(view.source)[view.source[rows]] ** -0.5
        for label in (False, True):
            weight[spoof == label] /= max(weight[spoof == label].sum(), 1e-12) / len(rows) * 2
        return xgboost.DMatrix(x, spoof, weight=weight)

    def predict(self, view: View, rows: Rows) -> NDArray[np.float32]:
        """Give p_spoof, shape (len(rows),)."""
        if not len(rows):
            return np.zeros(0, np.float32)
        return np.asarray(
            self.model_.predict(xgboost.DMatrix(view_statistics(view, rows))), np.float32
        )

    def save(self, path: Path) -> None:
        """Write the UBJSON file."""
        self.model_.save_model(path)
