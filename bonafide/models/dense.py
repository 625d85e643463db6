"""Dense layers on vectors of a window alone: no view is heard frame by frame."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bonafide.models.config import ModelConfig
from bonafide.models.network import Network

if TYPE_CHECKING:
    from optuna.trial import Trial


class DenseConfig(ModelConfig):
    """Configuration of the dense network, with its defaults."""

    statistics_width: Annotated[int, Field(ge=4, le=1024)] = 192
    statistics_dropout: float = Field(0.4, ge=0.0, lt=1.0)


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
