"""Gradient-boosted trees on the statistics (Chen and Guestrin, 2016)."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bonafide.features.spec import STATISTICS
from bonafide.models.base import BaseModel, Inputs
from bonafide.models.config import ModelConfig
from bonafide.models.examples import Examples, Rows
from bonafide.process.pool import Progress, silent
from bonafide.types import Scores

if TYPE_CHECKING:
    import onnx
    import xgboost
    from optuna.trial import Trial

    from bonafide.features.graph import GraphBuilder

ONNXMLTOOLS_OPSET = 15  # the newest it writes; the nodes mean the same in 17
REPORT_EVERY = 20  # rounds
MAX_BIN = 64
CHUNK_ROWS = 4096  # of the training data, in memory at a time


class XGBoostConfig(ModelConfig):
    """Configuration of XGBoost on the statistics, with its defaults."""

    trees: int = Field(700, ge=1)
    depth: int = Field(4, ge=1, le=12)
    learning_rate: float = Field(0.05, gt=0.0, le=1.0)
    row_share: float = Field(0.8, gt=0.0, le=1.0)
    column_share: float = Field(0.1, gt=0.0, le=1.0)


def load_booster(content: bytes) -> "xgboost.Booster":
    """Read a booster from UBJSON or JSON."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    return booster


def halfway(booster: "xgboost.Booster", chunks: Iterable[NDArray[np.float32]]) -> "xgboost.Booster":
    """Move every split midway between the training values on either side of it.

    XGBoost splits exactly at some row's value. There the last bit of the feature decides, in which
    graphs that add in another order differ.

    Parameters
    ----------
    booster : xgboost.Booster
        Fitted to the chunks.
    chunks : iterable of ndarray of float32, each of shape (n, n_columns)
        Its training data.

    Returns
    -------
    xgboost.Booster
        A copy with other splits and the same leaves.
    """
    model = json.loads(bytes(booster.save_raw("json")))
    by_column: dict[int, list[tuple[list[float], int]]] = {}  # of leaves, conditions are values
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        for node, column in enumerate(tree["split_indices"]):
            if tree["left_children"][node] != -1:
                by_column.setdefault(column, []).append((tree["split_conditions"], node))
    split_at = {
        column: np.array([conditions[node] for conditions, node in splits], np.float32)
        for column, splits in by_column.items()
    }
    below = {column: np.full(len(at), -np.inf, np.float32) for column, at in split_at.items()}
    above = {column: np.full(len(at), np.inf, np.float32) for column, at in split_at.items()}
    for chunk in chunks:
        for column, at in split_at.items():
            values = np.concatenate(
                [[-np.inf], np.sort(chunk[:, column]), [np.inf]], dtype=np.float32
            )
            place = np.searchsorted(values, at)
            np.maximum(below[column], values[place - 1], out=below[column])
            np.minimum(above[column], values[place], out=above[column])
    for column, splits in by_column.items():
        middle = (below[column] + above[column]) / 2
        for (conditions, node), value in zip(splits, middle.tolist(), strict=True):
            if np.isfinite(value):
                conditions[node] = value
    return load_booster(json.dumps(model).encode())


def base_log_odds(booster: "xgboost.Booster") -> float:
    """Return the log odds that a booster's trees start from; it is kept as a probability."""
    learner = json.loads(booster.save_config())["learner"]["learner_model_param"]
    (p_spoof,) = json.loads(learner["base_score"])
    return float(np.log(p_spoof / (1 - p_spoof)))


def add_trees(graph: "GraphBuilder", booster: "xgboost.Booster", x: str) -> str:
    """Add a booster to a graph, as onnxmltools converts it.

    Two of the converter's guesses are taken from it: it holds a bare booster whose rows add up to
    whole numbers for a regression, and the base score for log odds if the first tree is a leaf of
    0. Both happen where rows are few.

    Parameters
    ----------
    graph : GraphBuilder
        Receives the nodes.
    booster : xgboost.Booster
        For two classes.
    x : str
        The value that it scores, [batch, n_inputs].

    Returns
    -------
    str
        p_spoof, [batch].
    """
    import xgboost
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    classifier = xgboost.XGBClassifier()
    classifier.load_model(booster.save_raw("ubj"))
    trees, n_inputs = classifier.get_booster(), booster.num_features()
    trees.feature_names = [f"f{number}" for number in range(n_inputs)]
    part = convert_xgboost(
        classifier,
        initial_types=[("x", FloatTensorType([None, n_inputs]))],
        target_opset=ONNXMLTOOLS_OPSET,
    )
    for attribute in (a for node in part.graph.node for a in node.attribute):
        if attribute.name == "base_values":  # not written where the log odds are 0
            attribute.floats[:] = [base_log_odds(booster)]
    outputs = graph.inline(part, {"x": x})
    return graph.add("Gather", outputs["probabilities"], graph.integers(1), axis=1)


class XGBoost(BaseModel):
    """XGBoost as a base model; `Examples.with_augmentation` weighs its rows.

    Attributes
    ----------
    model_ : xgboost.Booster
        The fitted trees.
    """

    name, label, suffix, Config = "xgboost", "XGBoost", ".ubj", XGBoostConfig
    model_: "xgboost.Booster"

    def _parameters(self) -> dict[str, Any]:
        return {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "base_score": 0.5,
            "eta": self.config.learning_rate,
            "max_depth": self.config.depth,
            "max_bin": MAX_BIN,
            "subsample": self.config.row_share,
            "colsample_bytree": self.config.column_share,
            "tree_method": "hist",
            "nthread": 1,
            "seed": self.seed,
        }

    def fit(self, examples: Examples, rows: Rows, progress: Progress = silent) -> Self:
        """Fit on `rows` and their augmented copies; see `BaseModel.fit`."""
        import xgboost

        rounds = self.config.trees

        class Report(xgboost.callback.TrainingCallback):
            def after_iteration(self, model: object, epoch: int, evals_log: object) -> bool:
                if epoch % REPORT_EVERY == REPORT_EVERY - 1:
                    progress(epoch + 1, rounds)
                return False

        log: dict[str, dict[str, list[float]]] = {}
        every, is_spoof, weight = examples.with_augmentation(rows)
        starts = range(0, len(every), CHUNK_ROWS)

        def chunk(start: int) -> NDArray[np.float32]:
            return examples.statistics.take(every[start : start + CHUNK_ROWS])

        class Chunks(xgboost.DataIter):
            def reset(self) -> None:
                self.starts = iter(starts)

            def next(self, input_data: Callable[..., None]) -> bool:
                if (start := next(self.starts, None)) is None:
                    return False
                part = slice(start, start + CHUNK_ROWS)
                input_data(data=chunk(start), label=is_spoof[part], weight=weight[part])
                return True

        # A byte for each value, not the values: the very trees that all rows at once would give.
        matrix = xgboost.QuantileDMatrix(Chunks(), max_bin=MAX_BIN, nthread=1)
        if (gain := examples.statistics.standard.gain) is not None:
            matrix.set_info(feature_weights=gain)  # columns are drawn in proportion
        booster = xgboost.train(
            self._parameters(),
            matrix,
            rounds,
            evals=[(matrix, "training")],
            evals_result=log,
            verbose_eval=False,
            callbacks=[Report()],
        )
        self.model_ = halfway(booster, map(chunk, starts))
        self.history_ = {"loss": [float(v) for v in log["training"]["logloss"]]}
        return self

    def score(self, inputs: Inputs) -> Scores:
        """Return p_spoof of standardised statistics; see `BaseModel.score`."""
        import xgboost

        return np.asarray(self.model_.predict(xgboost.DMatrix(inputs[STATISTICS])), np.float32)

    def save(self, path: Path) -> None:
        """Write the UBJSON file."""
        self.model_.save_model(path)

    def load(self, path: Path) -> Self:
        """Read the UBJSON file."""
        self.model_ = load_booster(path.read_bytes())
        return self

    def to_onnx(self, inputs: Inputs) -> "onnx.ModelProto":
        """Convert with onnxmltools; see `BaseModel.to_onnx`."""
        from bonafide.features.graph import GraphBuilder

        graph = GraphBuilder(self.name)
        statistics = graph.input(STATISTICS, ["batch", inputs[STATISTICS].shape[1]])
        graph.output("p_spoof", add_trees(graph, self.model_, statistics), ["batch"])
        return graph.model()

    @classmethod
    def suggest(cls, trial: "Trial") -> dict[str, Any]:
        """Draw the number of trees, their depth, and how they are boosted."""
        return {
            "trees": trial.suggest_int("trees", 200, 1200, step=100),
            "depth": trial.suggest_int("depth", 2, 6),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.15, log=True),
            "row_share": trial.suggest_float("row_share", 0.5, 1.0),
            "column_share": trial.suggest_float("column_share", 0.03, 0.4, log=True),
        }
