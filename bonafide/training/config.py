"""The configuration of a training run: YAML in, validated values out."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bonafide.errors import ConfigError
from bonafide.features.spec import NETWORKS, FeatureSpec

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Section(BaseModel):
    """A part of the configuration: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FoldsConfig(Section):
    """How rows are split; groups (source and speaker) always stay whole.

    With a ``test_share`` of 0 no row is held out: the final models learn from all of them, and the
    candidate is judged by its out-of-fold scores alone.
    """

    count: int = Field(4, ge=2, le=20)
    test_share: float = Field(0.2, ge=0.0, lt=1.0)


class SharesConfig(Section):
    """How often each group of `bonafide.training.augmentation` comes first; only ratios matter."""

    speed: float = Field(1.0, ge=0.0)
    room: float = Field(1.0, ge=0.0)
    noise: float = Field(1.0, ge=0.0)
    equaliser: float = Field(1.0, ge=0.0)
    clipping: float = Field(1.0, ge=0.0)
    band: float = Field(1.0, ge=0.0)
    telephone: float = Field(1.0, ge=0.0)
    codec: float = Field(1.0, ge=0.0)

    @model_validator(mode="after")
    def _one_comes(self) -> "SharesConfig":
        if not any(self.model_dump().values()):
            raise ValueError("all shares are 0: at least one must be above 0")
        return self


class AugmentationConfig(Section):
    """Changed copies of each recording, made once and kept with the features."""

    count: int = Field(3, ge=0, le=16)
    shares: SharesConfig = SharesConfig()
    second_share: float = Field(0.35, ge=0.0, le=1.0)


class FeatureWeights(Section):
    """What the statistics of a view count, by what they are; only ratios matter.

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
    """Return the default statistics' weights, rounded from what suited a kernel machine."""
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

    ``augmentation_weight`` is what an augmented copy counts beside its recording.
    ``feature_weights`` says by view how far apart networks see standardised statistics, and how
    often trees are offered them; views that are not named count 1. All else is of the networks: a
    fixed number of steps, weights averaged over the last of them.
    """

    augmentation_weight: float = Field(0.1, ge=0.0)
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


class NetworkConfig(Section):
    """One Keras network: what it hears frame by frame, beside the statistics."""

    view: str
    width: int = Field(32, ge=4, le=512)
    strides: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field((2, 2, 2), min_length=1)
    dropout: float = Field(0.3, ge=0.0, lt=1.0)
    statistics_width: int = Field(128, ge=4, le=1024)
    statistics_dropout: float = Field(0.4, ge=0.0, lt=1.0)


class TreesConfig(Section):
    """XGBoost on the statistics."""

    trees: int = Field(700, ge=1)
    depth: int = Field(4, ge=1, le=12)
    learning_rate: float = Field(0.05, gt=0.0, le=1.0)
    row_share: float = Field(0.8, gt=0.0, le=1.0)
    column_share: float = Field(0.1, gt=0.0, le=1.0)


class ModelsConfig(Section):
    """The five base models, and the view that each network takes."""

    cnn: NetworkConfig = NetworkConfig(view="lfcc_high", strides=(4, 2, 2))
    rnn: NetworkConfig = NetworkConfig(view="lfcc_top")
    bilstm: NetworkConfig = NetworkConfig(view="mfcc", width=24)
    gru: NetworkConfig = NetworkConfig(view="lfcc", strides=(4, 4, 2))
    xgboost: TreesConfig = TreesConfig()


class CostsConfig(Section):
    """What an answer costs; only ratios matter."""

    spoof_called_bonafide: float = Field(1.0, gt=0.0)
    bonafide_called_spoof: float = Field(1.0, gt=0.0)
    undecided: float = Field(0.2, ge=0.0)


class DecisionConfig(Section):
    """What the calibrated score is turned into.

    No verdict is given where the likelier one would cost more than giving none (Chow, 1970): with
    a wrong verdict at 1 and none at 0.2, while p_spoof lies between 0.2 and 0.8.
    """

    prior_spoof: Share = 0.5
    costs: CostsConfig = CostsConfig()

    @property
    def undecided(self) -> tuple[float, float]:
        """Bounds of p_spoof: bona fide up to the first, spoof from the second on."""
        costs = self.costs
        low = costs.undecided / costs.spoof_called_bonafide
        high = 1.0 - costs.undecided / costs.bonafide_called_spoof
        if low < high:
            return low, high
        balance = costs.bonafide_called_spoof + costs.spoof_called_bonafide
        middle = costs.bonafide_called_spoof / balance  # no verdict is never the cheapest
        return middle, middle


class GateConfig(Section):
    """What a candidate must reach to be promoted: the upper end of its EER's interval."""

    max_eer: float = Field(0.5, gt=0.0, le=1.0)


class Config(Section):
    """A training run.

    Parameters
    ----------
    name : str
        Name of the detector, as bundles and model versions carry it.
    seed : int
        Decides every random number of the run.
    resamples : int
        Bootstrap resamples of every interval.
    """

    name: str = Field("bonafide", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    seed: int = Field(1, ge=0, lt=2**31)
    resamples: int = Field(1000, ge=50, le=100_000)
    features: dict[str, Any] = {}
    augmentation: AugmentationConfig = AugmentationConfig()
    folds: FoldsConfig = FoldsConfig()
    fit: FitConfig = FitConfig()
    models: ModelsConfig = ModelsConfig()
    decision: DecisionConfig = DecisionConfig()
    gate: GateConfig = GateConfig()

    @property
    def spec(self) -> FeatureSpec:
        """The front end's numbers: the defaults with what `features` sets."""
        return FeatureSpec.from_json({**FeatureSpec().to_json(), **self.features})

    @model_validator(mode="after")
    def _views_exist(self) -> "Config":
        for name in NETWORKS:
            view = getattr(self.models, name).view
            if view not in self.spec.views:
                raise ValueError(
                    f"models.{name}.view={view!r}: must be one of {', '.join(self.spec.views)}"
                )
        if "feature_weights" in self.fit.model_fields_set:
            unknown = set(self.fit.feature_weights) - set(self.spec.statistics)
            if unknown:
                raise ValueError(
                    f"fit.feature_weights names {', '.join(sorted(unknown))}: must be one of "
                    f"{', '.join(self.spec.statistics)}"
                )
        return self


def parse_config(values: Any, where: str) -> Config:
    """Check plain values.

    Raises
    ------
    ConfigError
        ``bad_config``, with every wrong value, what was seen and what is allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'config'}: {item['msg']}"
            f" (seen: {item['input']!r:.80})"
            for item in error.errors()
        )
        raise ConfigError("bad_config", f"{where}: {problems}") from error


def read_config(path: Path) -> Config:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        ``no_config``, ``bad_yaml`` or ``bad_config``.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("no_config", f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError("bad_yaml", f"{path}: not YAML: {error}") from error
    return parse_config(values or {}, str(path))
