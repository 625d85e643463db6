"""The configuration of a training run: YAML in, validated values out."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from bonafide.errors import ConfigError
from bonafide.features.spec import FeatureSpec
from bonafide.models import BUILT_IN, family
from bonafide.models.config import FitConfig, ModelConfig, Section, view_of

FIT_BEFORE = {"emphasis": "feature_weights", "copy_weight": "augmentation_weight"}
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class FoldsConfig(Section):
    """How rows are split; groups (source and speaker) always stay whole.

    There are at least three folds, so that the scores that stacks are judged on can be nested
    (`fit_stack`); two, which earlier versions took, are read as three. With a ``test_share`` of 0
    no row is held out: the final models are fitted on all of them, and the candidate is judged by
    its out-of-fold scores alone.
    """

    count: int = Field(4, ge=3, le=20)
    test_share: float = Field(0.2, ge=0.0, lt=1.0)

    @field_validator("count", mode="before")
    @classmethod
    def _three_at_least(cls, count: Any) -> Any:
        return 3 if count == 2 else count


class SharesConfig(Section):
    """How often each of `bonafide.training.augmentation.CHANGES` is drawn; only ratios matter."""

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
    """Augmented copies of each recording, made once and kept with the features."""

    count: int = Field(3, ge=0, le=16)
    shares: SharesConfig = SharesConfig()
    second_share: float = Field(0.35, ge=0.0, le=1.0)


def default_models() -> dict[str, ModelConfig]:
    """Return the base models that are trained if the configuration names none."""
    return {name: family(name).Config() for name in BUILT_IN}


class CostsConfig(Section):
    """What each kind of wrong or missing verdict costs; only ratios matter."""

    spoof_called_bonafide: float = Field(1.0, gt=0.0)
    bonafide_called_spoof: float = Field(1.0, gt=0.0)
    undecided: float = Field(0.2, ge=0.0)


class DecisionConfig(Section):
    """How the calibrated score becomes a verdict.

    No verdict is given where even the likelier one is expected to cost more than none (Chow,
    1970): with a cost of 1 for a wrong verdict and 0.2 for none, where p_spoof lies between 0.2
    and 0.8.
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
    """What a candidate must reach to be promoted.

    ``max_eer`` is the highest upper end of its EER's interval; ``margin`` that of the difference of
    its EER from that of what it would replace, on the same rows.
    """

    max_eer: float = Field(0.5, gt=0.0, le=1.0)
    margin: float = Field(0.02, ge=0.0, lt=1.0)


class Config(Section):
    """A training run.

    Parameters
    ----------
    name : str
        Name of the detector, as bundles and model versions carry it.
    seed : int
        Determines every random number of the run.
    resamples : int
        Bootstrap resamples of every interval.
    """

    name: str = Field("bonafide", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    seed: int = Field(1, ge=0, lt=2**31)
    resamples: int = Field(1000, ge=50, le=100_000)
    features: dict[str, Any] = Field(default_factory=dict)
    augmentation: AugmentationConfig = AugmentationConfig()
    folds: FoldsConfig = FoldsConfig()
    fit: FitConfig = FitConfig()
    models: dict[str, SerializeAsAny[ModelConfig]] = Field(
        default_factory=default_models, min_length=1
    )
    decision: DecisionConfig = DecisionConfig()
    gate: GateConfig = GateConfig()

    @property
    def spec(self) -> FeatureSpec:
        """The front end's parameters: the defaults, changed where `features` says so."""
        return FeatureSpec.from_json({**FeatureSpec().to_json(), **self.features})

    def model(self, name: str) -> ModelConfig:
        """Return the section of one base model.

        Parameters
        ----------
        name : str
            What a user wrote.

        Returns
        -------
        ModelConfig
            Of the family's own type.

        Raises
        ------
        ConfigError
            ``unknown_model`` if the configuration does not name it.
        """
        if name not in self.models:
            known = ", ".join(self.models)
            raise ConfigError("unknown_model", f"base model {name!r}: must be one of {known}")
        return self.models[name]

    @model_validator(mode="before")
    @classmethod
    def _by_their_names_today(cls, values: Any) -> Any:
        """Read the keys that earlier versions called otherwise."""
        if not isinstance(values, Mapping):
            return values
        values = _renamed(values, {"copies": "augmentation"})
        fit = values.get("fit")
        return {**values, "fit": _renamed(fit, FIT_BEFORE)} if isinstance(fit, Mapping) else values

    @field_validator("models", mode="before")
    @classmethod
    def _by_family(cls, sections: Any) -> Any:
        """Validate each base model's section against its family's own `Config`."""
        if not isinstance(sections, Mapping):
            return sections
        return {name: _section_of(name, section) for name, section in sections.items()}

    @model_validator(mode="after")
    def _views_exist(self) -> "Config":
        for name, model in self.models.items():
            view = view_of(model)
            if view and view not in self.spec.views:
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


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return values with keys by their new names; one that stands under both is left, an error."""
    fits = {old: new for old, new in names.items() if new not in values}
    return {fits.get(key, key): value for key, value in values.items()}


class _SectionError(ValueError):
    """What is wrong with one base model's section, kept apart for `_problems`."""

    def __init__(self, name: str, error: ValidationError) -> None:
        super().__init__(str(error))
        self.name, self.error = name, error


def _section_of(name: str, section: Any) -> Any:
    """Validate one base model's section; an unknown family is a wrong value."""
    if isinstance(section, ModelConfig):
        return section
    try:
        return family(str(name)).Config.model_validate({} if section is None else section)
    except ValidationError as error:
        raise _SectionError(name, error) from error
    except ConfigError as error:
        raise ValueError(error.message) from error


def _problems(error: ValidationError, *prefix: str) -> Iterator[str]:
    """Describe every wrong value: where it stands, what is allowed, what was seen."""
    for item in error.errors():
        where = (*prefix, *map(str, item["loc"]))
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, _SectionError):
            yield from _problems(cause.error, *where, cause.name)
        else:
            unknown = item["type"] == "extra_forbidden"
            message = "is no setting" if unknown else item["msg"].removeprefix("Value error, ")
            yield f"{'.'.join(where) or 'config'}: {message} (seen: {item['input']!r:.80})"


def parse_config(values: Any, where: str) -> Config:
    """Validate a configuration of plain values.

    Parameters
    ----------
    values : Any
        What YAML or JSON holds; a mapping, if it is right.
    where : str
        Begins the message of an error, such as the path of a file.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        ``bad_config``, naming every wrong value, what was seen and what is allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("bad_config", f"{where}: {'; '.join(_problems(error))}") from error


def read_config(path: Path) -> Config:
    """Read a configuration from a YAML file.

    Parameters
    ----------
    path : Path
        The file; an empty one gives the default configuration.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        ``no_config`` if the file cannot be read, ``bad_yaml`` if it is not YAML, ``bad_config`` if
        a value in it is wrong.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("no_config", f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError("bad_yaml", f"{path}: not YAML: {error}") from error
    return parse_config(values or {}, str(path))
