"""Dense layers on vectors of a window alone: no view is heard frame by frame."""

from typing import TYPE_CHECKING, Any

from bonafide.models.architecture import DenseConfig
from bonafide.models.network import Network

if TYPE_CHECKING:
    from optuna.trial import Trial


class Dense(Network):
    """Two dense layers on the vectors that it hears; see `Network`."""

    name, label, Config = "dense", "Dense network", DenseConfig

    @classmethod
    def suggest(cls, trial: "Trial") -> dict[str, Any]:
        """Draw width and dropout."""
        return {
            "statistics_width": trial.suggest_categorical("statistics_width", [96, 128, 192, 256]),
            "statistics_dropout": trial.suggest_float("statistics_dropout", 0.2, 0.7),
        }
