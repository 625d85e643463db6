"""A sixth base model, as another package brings it: logistic regression on the statistics."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field

from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import STATISTICS
from bonafide.models.base import BaseModel, Inputs
from bonafide.models.config import ModelConfig
from bonafide.models.examples import Examples, Rows
from bonafide.process.pool import Progress, silent
from bonafide.types import Scores

if TYPE_CHECKING:
    import onnx
    from optuna.trial import Trial


class LinearConfig(ModelConfig):
    """How strongly weights are held to zero."""

    strength: float = Field(0.01, gt=0.0)


class Linear(BaseModel):
    """scikit-learn's logistic regression; kept as two arrays in an .npz file."""

    name, label, suffix, Config = "linear", "Linear", ".npz", LinearConfig

    def fit(self, examples: Examples, rows: Rows, progress: Progress = silent) -> Self:
        """Fit on rows and their augmented copies, in one go."""
        from sklearn.linear_model import LogisticRegression

        every, is_spoof, weight = examples.with_augmentation(rows)
        model = LogisticRegression(C=self.config.strength, max_iter=500)
        model.fit(examples.statistics.take(every), is_spoof, sample_weight=weight)
        self.weights_ = model.coef_[0].astype(np.float32)
        self.bias_ = model.intercept_.astype(np.float32)
        odds = examples.statistics.take(rows) @ self.weights_ + self.bias_
        losses = np.logaddexp(0, np.where(examples.is_spoof[rows], -odds, odds))
        self.history_ = {"loss": [float(losses.mean())]}
        progress(1, 1)
        return self

    def score(self, inputs: Inputs) -> Scores:
        """Return p_spoof of standardised statistics."""
        odds = inputs[STATISTICS] @ self.weights_ + self.bias_
        return np.asarray(1 / (1 + np.exp(-odds)), np.float32)

    def save(self, path: Path) -> None:
        """Write the .npz file."""
        np.savez(path, allow_pickle=False, weights=self.weights_, bias=self.bias_)

    def load(self, path: Path) -> Self:
        """Read the .npz file."""
        with np.load(path) as arrays:
            self.weights_, self.bias_ = arrays["weights"], arrays["bias"]
        return self

    def to_onnx(self, inputs: Inputs) -> "onnx.ModelProto":
        """Write a matrix product and a sigmoid."""
        graph = GraphBuilder(self.name)
        statistics = graph.input(STATISTICS, ["batch", inputs[STATISTICS].shape[1]])
        weights = graph.constant(self.weights_[:, None])
        odds = graph.add("Gemm", statistics, weights, graph.constant(self.bias_))
        p_spoof = graph.add("Reshape", graph.add("Sigmoid", odds), graph.integers([-1]))
        graph.output("p_spoof", p_spoof, ["batch"])
        return graph.model()

    @classmethod
    def suggest(cls, trial: "Trial") -> dict[str, Any]:
        """Draw the strength."""
        return {"strength": trial.suggest_float("strength", 1e-4, 1.0, log=True)}
