"""Configuration of base models: how all are fitted, and what their families share."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bonafide.features.spec import STATISTICS, VECTORS


class Section(BaseModel):
    """A part of the configuration: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(Section):
    """Base class of a family's own configuration.

    ``family`` is needed where a base model is not called after its family, and ``label`` is what
    people read instead of the family's own. ``hears`` names the vectors of a window that stand side
    by side in the model's input ``statistics``, and ``fit`` what differs for it from the
    `FitConfig` of all.
    """

    family: str = ""
    label: str = ""
    hears: tuple[str, ...] = Field((STATISTICS,), min_length=1)
    fit: dict[str, Any] = Field(default_factory=dict)

    @field_validator("hears")
    @classmethod
    def _vectors(cls, hears: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(hears)) < len(hears) or not set(hears) <= set(VECTORS):
            raise ValueError(f"must be some of {', '.join(VECTORS)}, each once")
        return hears

    @field_validator("fit")
    @classmethod
    def _of_a_fit(cls, fit: dict[str, Any]) -> dict[str, Any]:
        FitConfig.model_validate(fit)
        return fit


def view_of(model: ModelConfig | Mapping[str, Any]) -> str:
    """Return the view that a model hears frame by frame.

    Parameters
    ----------
    model : ModelConfig or mapping
        A family's configuration, or its values by name.

    Returns
    -------
    str
        Empty for a model on statistics alone.

    Examples
    --------
    >>> view_of({"view": "mfcc", "width": 32}), view_of({"trees": 700})
    ('mfcc', '')
    """
    values = model if isinstance(model, Mapping) else vars(model)
    return str(values.get("view", ""))


def heard_by(model: ModelConfig | Mapping[str, Any]) -> tuple[str, ...]:
    """Return the vectors that a model hears.

    Parameters
    ----------
    model : ModelConfig or mapping
        A family's configuration, or its values by name.

    Returns
    -------
    tuple of str
        In the order in which they stand side by side.
    """
    values = model if isinstance(model, Mapping) else vars(model)
    return tuple(values.get("hears", (STATISTICS,)))


class FeatureWeights(Section):
    """Weights of a view's statistics by kind; only their ratios matter.

    The names are those of `FeatureSpec.kinds_of`; `bonafide.features.statistics` explains them.
    """

    mean: float = Field(1.0, gt=0.0)
    deviation: float = Field(1.0, gt=0.0)
    change: float = Field(1.0, gt=0.0)
    smoothness: float = Field(1.0, gt=0.0)
    spikiness: float = Field(1.0, gt=0.0)
    pairs: float = Field(1.0, gt=0.0)
    classes: float = Field(1.0, gt=0.0)


def default_feature_weights() -> dict[str, FeatureWeights]:
    """Return the default weights by view, rounded from those that suited a kernel machine."""
    table = {
        "mfcc": (0.75, 1.0, 1.5, 0.75, 0.75, 0.5, 0.5),
        "lfcc": (1.0, 1.0, 3.0, 1.0, 1.0, 0.25, 0.5),
        "lfcc_high": (0.5, 1.5, 1.5, 1.5, 1.0, 0.5, 0.5),
        "lfcc_top": (1.0, 1.5, 2.5, 0.5, 0.5, 0.5, 0.5),
    }
    names = FeatureWeights.model_fields
    return {
        view: FeatureWeights(**dict(zip(names, row, strict=True))) for view, row in table.items()
    }


class FitConfig(Section):
    """How base models are fitted.

    ``crop_weight`` is the weight, relative to its recording, of an augmented copy through the
    channel ``clean``, and ``augmentation_weight`` that of one through any other.
    ``feature_weights``, by view, scale the standardised statistics of networks and set how often
    trees are offered them; views that are not named have weights of 1. Everything else is for the
    networks, which take a fixed number of steps and average their weights over the last of them.
    """

    crop_weight: float = Field(0.5, ge=0.0, allow_inf_nan=False)
    augmentation_weight: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    feature_weights: dict[str, FeatureWeights] = Field(default_factory=default_feature_weights)

    epochs: int = Field(70, ge=1)
    steps_per_epoch: int = Field(50, ge=1)
    batch_rows: int = Field(48, ge=2)
    learning_rate: float = Field(2e-3, gt=0.0)
    weight_decay: float = Field(1e-2, ge=0.0)
    average_momentum: float = Field(0.99, ge=0.0, lt=1.0)
    label_smoothing: float = Field(0.1, ge=0.0, lt=0.5)
    crop_share: float = Field(0.25, gt=0.0, le=1.0)
    offset_scale: float = Field(0.3, ge=0.0)
    statistics_noise: float = Field(0.6, ge=0.0)

    def of(self, model: ModelConfig | Mapping[str, Any]) -> "FitConfig":
        """Return how one base model is fitted: its own `fit` over these values.

        Parameters
        ----------
        model : ModelConfig or mapping
            Its section of the configuration, or that as JSON.

        Returns
        -------
        FitConfig

        Examples
        --------
        >>> FitConfig().of({"fit": {"augmentation_weight": 0.5}}).augmentation_weight
        0.5
        """
        values = model if isinstance(model, Mapping) else vars(model)
        return FitConfig.model_validate({**self.model_dump(), **values.get("fit", {})})
