"""What the Keras networks share: each hears the statistics, and all but one a view.

Keras is imported where a network is built, so that a configuration can be read without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from bonafide.features.spec import STATISTICS
from bonafide.models.architecture import Recurrence
from bonafide.models.base import BaseModel, Inputs
from bonafide.models.examples import Examples, Rows
from bonafide.process.pool import Progress, silent
from bonafide.types import Scores

if TYPE_CHECKING:
    import onnx
    from optuna.trial import Trial


class Network(BaseModel):
    """A Keras network as a base model; families differ in their recurrence and their defaults.

    Attributes
    ----------
    recurrence : Recurrence or None
        What follows the convolutions.
    model_ : keras.Model
        The fitted network.
    """

    suffix = ".keras"
    recurrence: ClassVar[Recurrence | None] = None
    model_: Any

    @classmethod
    def fix_threads(cls) -> None:
        """Have TensorFlow use one thread and one order of reductions."""
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()

    def fit(self, examples: Examples, rows: Rows, progress: Progress = silent) -> Self:
        """Fit for as many steps as the configuration says; see `BaseModel.fit`."""
        from bonafide.models.networks import fit_network

        self.model_, self.history_ = fit_network(
            self.name, self.recurrence, self.config, examples, rows, self.fit_config, self.seed,
            progress,
        )  # fmt: skip
        return self

    def score(self, inputs: Inputs) -> Scores:
        """Return p_spoof of standardised frames and statistics; see `BaseModel.score`."""
        heard = [inputs[name] for name in ("frames", STATISTICS) if name in inputs]
        scores = self.model_(heard, training=False)
        return np.asarray(scores, np.float32)[:, 0]

    def save(self, path: Path) -> None:
        """Write the .keras file."""
        self.model_.save(path)

    def load(self, path: Path) -> Self:
        """Read the .keras file."""
        import keras

        self.model_ = keras.saving.load_model(path)
        return self

    def _of_fixed_length(self, inputs: Inputs) -> Any:
        """Return the network with the inputs' number of frames fixed, as converters need it."""
        from bonafide.models.networks import build_network

        n_statistics = inputs[STATISTICS].shape[1]
        _, n_frames, n_features = inputs["frames"].shape if "frames" in inputs else (None,) * 3
        sizes = (n_features, n_statistics, n_frames)
        fixed = build_network(self.name, self.recurrence, self.config, *sizes)
        fixed.set_weights(self.model_.get_weights())
        return fixed

    def to_onnx(self, inputs: Inputs) -> "onnx.ModelProto":
        """Convert layer by layer from the weights; see `BaseModel.to_onnx`."""
        from bonafide.models.networks_onnx import convert_network

        return convert_network(self._of_fixed_length(inputs), self.recurrence)

    def witnesses(self, inputs: Inputs) -> dict[str, Scores]:
        """Return scores by tf2onnx's conversion of the network."""
        from bonafide.models.networks_onnx import score_by_tf2onnx

        return {"tf2onnx": score_by_tf2onnx(self._of_fixed_length(inputs), inputs)}

    @classmethod
    def suggest(cls, trial: "Trial") -> dict[str, Any]:
        """Draw widths and dropouts."""
        return {
            "width": trial.suggest_categorical("width", [32, 48, 64, 96]),
            "dropout": trial.suggest_float("dropout", 0.1, 0.5),
            "statistics_width": trial.suggest_categorical("statistics_width", [48, 96, 128]),
            "statistics_dropout": trial.suggest_float("statistics_dropout", 0.2, 0.7),
        }
