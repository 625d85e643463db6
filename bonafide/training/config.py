"""The configuration of a training run: YAML in, validated values out."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bonafide.bundle import BUNDLE_NAME
from bonafide.channel import CLEAN
from bonafide.errors import ConfigError
from bonafide.features.encoder import HASH, SHIPPED_ENCODER, find_encoder, is_kept
from bonafide.features.spec import ENCODER, NARROW, STATISTICS, FeatureSpec
from bonafide.home import home
from bonafide.models import NAME, TAKEN, family, family_of
from bonafide.models.config import FitConfig, ModelConfig, Section, heard_by, view_of
from bonafide.training.data_config import COUNTED as COUNTED
from bonafide.training.data_config import AugmentationConfig as AugmentationConfig
from bonafide.training.data_config import FoldsConfig as FoldsConfig
from bonafide.training.data_config import beside, known_channels
from bonafide.training.data_config import default_channels as default_channels
from bonafide.training.gate_config import GateConfig as GateConfig

FIT_BEFORE = {"emphasis": "feature_weights", "copy_weight": "augmentation_weight"}
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


def default_models(encoder: bool = False) -> dict[str, ModelConfig]:
    """Return the base models that are trained if the configuration names none.

    Parameters
    ----------
    encoder : bool
        Whether there is an encoder to hear.

    Returns
    -------
    dict of str to ModelConfig
        By name: experts for clean sound, and for all channels.
    """
    clean = ("cnn", "rnn", "bilstm", "gru", "xgboost")
    dense = family("dense").Config
    models = {name: family(name).Config() for name in clean}
    # Crops would be four times as many rows for trees, which take no batches.
    models["xgboost"] = family("xgboost").Config.model_validate({"fit": {"crop_weight": 0.0}})
    models["robust"] = dense.model_validate(ROBUST)
    if encoder:
        models["speech"] = dense.model_validate(OF_ENCODER)
    return models


ROBUST = {
    "family": "dense",
    "label": "Robust network",
    "hears": (STATISTICS, NARROW),
    "fit": {"augmentation_weight": 0.5, "batch_rows": 128},
}
OF_ENCODER = {
    "family": "dense",
    "label": "Speech encoder",
    "hears": (ENCODER,),
    "statistics_width": 128,
    "fit": {"augmentation_weight": 1.0, "batch_rows": 128},
}


class CascadeConfig(Section):
    """Which windows go on to the base models that hear the encoder.

    Those whose channel is one of ``spared`` with a probability under ``clean_from``, and of the
    others the most doubtful ones, until they make up ``share`` of the recordings together.
    """

    share: float = Field(0.4, ge=0.0, le=1.0)
    clean_from: float = Field(0.5, ge=0.0, le=1.0)
    spared: tuple[str, ...] = (CLEAN, "codec")

    @field_validator("spared")
    @classmethod
    def _known(cls, spared: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known_channels(spared))


class CostsConfig(Section):
    """What each kind of wrong or missing verdict costs; only ratios matter."""

    spoof_called_bonafide: float = Field(1.0, gt=0.0)
    bonafide_called_spoof: float = Field(1.0, gt=0.0)
    undecided: float = Field(0.2, ge=0.0)


class DecisionConfig(Section):
    """How the calibrated score becomes a verdict.

    No verdict is given where even the likelier one is expected to cost more than none (Chow,
    1970): with a cost of 1 for a wrong verdict and 0.2 for none, where p_spoof lies between 0.2
    and 0.8. On a channel that the detector knows, thresholds of its own take their place: those
    that decide most recordings while at most ``max_wrong`` of the decided of either label are
    wrong, out of fold. None leaves the costs to decide everywhere. Where by thresholds of the
    other folds more than ``max_held_out`` of either label are wrong, stricter ones are taken.
    """

    prior_spoof: Share = 0.5
    costs: CostsConfig = CostsConfig()
    max_wrong: Share | None = 0.08
    max_wrong_clean: Share | None = 0.09
    max_held_out: Share = 0.1

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

    name: str = Field("bonafide", pattern=f"^{BUNDLE_NAME.pattern}$")
    seed: int = Field(1, ge=0, lt=2**31)
    resamples: int = Field(1000, ge=50, le=100_000)
    features: dict[str, Any] = Field(default_factory=dict)
    augmentation: AugmentationConfig = AugmentationConfig()
    folds: FoldsConfig = FoldsConfig()
    fit: FitConfig = FitConfig()
    models: dict[str, SerializeAsAny[ModelConfig]] = Field(
        default_factory=default_models, min_length=1
    )
    cascade: CascadeConfig = CascadeConfig()
    decision: DecisionConfig = DecisionConfig()
    gate: GateConfig = GateConfig()

    @property
    def spec(self) -> FeatureSpec:
        """The front end's parameters: the defaults, changed where `features` says so."""
        return FeatureSpec.from_json({**FeatureSpec().to_json(), **self.features})

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The base models of each stage: without the encoder, and these and the others."""
        first = tuple(name for name, m in self.models.items() if ENCODER not in heard_by(m))
        others = tuple(name for name in self.models if name not in first)
        return (first, first + others) if others else (first,)

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
        if isinstance(fit := values.get("fit"), Mapping):
            values = {**values, "fit": _renamed(fit, FIT_BEFORE)}
        features = values.get("features")
        has_encoder = isinstance(features, Mapping) and bool(features.get(ENCODER))
        return {"models": default_models(encoder=has_encoder), **values}

    @field_validator("features")
    @classmethod
    def _with_encoder(cls, features: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Replace what a user calls an encoder, such as a file's name, by what it is."""
        named = features.get(ENCODER)
        if isinstance(named, Mapping):
            _encoder_of(named)
        elif named is not None and not isinstance(named, str):
            raise ValueError(f"encoder={named!r}: must be shipped, a sha256 or a file")
        if not isinstance(named, str):
            return features
        try:
            known = named == SHIPPED_ENCODER or HASH.fullmatch(named)
            if not known:
                named = str(beside(info, named))
            if not known and not is_kept(home(), Path(named)):
                from bonafide.features.encoder_trial import try_encoder  # imports onnx

                try_encoder(Path(named), FeatureSpec().window_samples)
            return {**features, ENCODER: asdict(find_encoder(home(), named))}
        except ConfigError as error:
            raise ValueError(error.message) from error

    @field_validator("models", mode="before")
    @classmethod
    def _by_family(cls, sections: Any) -> Any:
        """Validate each base model's section against its family's own `Config`."""
        if not isinstance(sections, Mapping):
            return sections
        alike = [
            name for name, n in Counter(str(name).casefold() for name in sections).items() if n > 1
        ]
        if alike:  # each becomes a file, and some file systems take them for one
            raise ValueError(f"{', '.join(alike)}: names must differ by more than case")
        return {name: _section_of(name, section) for name, section in sections.items()}

    @model_validator(mode="after")
    def _views_exist(self) -> "Config":
        for name, model in self.models.items():
            view = view_of(model)
            if view and view not in self.spec.views:
                raise ValueError(
                    f"models.{name}.view={view!r}: must be one of {', '.join(self.spec.views)}"
                )
            if missing := set(heard_by(model)) - set(self.spec.vectors):
                raise ValueError(
                    f"models.{name}.hears names {', '.join(sorted(missing))}: must be some of "
                    f"{', '.join(self.spec.vectors)}; an encoder is named by features.encoder"
                )
        if not self.stages[0]:
            raise ValueError("models: at least one must not hear the encoder")
        if "feature_weights" in self.fit.model_fields_set:
            unknown = set(self.fit.feature_weights) - {*self.spec.statistics, *self.spec.narrow}
            if unknown:
                raise ValueError(
                    f"fit.feature_weights names {', '.join(sorted(unknown))}: must be one of "
                    f"{', '.join(self.spec.statistics)}"
                )
        return self


def _encoder_of(values: Mapping[str, Any]) -> None:
    """Require what an `EncoderSpec` is written to JSON as."""
    outputs = values.get("outputs")
    sizes = list(outputs.values()) if isinstance(outputs, Mapping) else []
    digest = isinstance(values.get("sha256"), str) and set(values) == {"sha256", "outputs"}
    if not (digest and sizes and all(type(size) is int and size > 0 for size in sizes)):
        raise ValueError(f"encoder={values!r:.80}: must be shipped, a sha256 or a file")


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
    """Validate one base model's section; an unknown family or a bad name is a wrong value."""
    if isinstance(section, ModelConfig):
        return section
    values = {} if section is None else section
    if name in TAKEN or not NAME.fullmatch(str(name)):
        raise ValueError(
            f"models.{name}: a name must be letters, digits, _ and -, a letter first, and none of "
            f"{', '.join(TAKEN)}"
        )
    try:
        if isinstance(values, Mapping) and not isinstance(values.get("family", ""), str):
            raise ValueError(f"models.{name}.family={values['family']!r}: must be a name")
        chosen = family_of(str(name), values) if isinstance(values, Mapping) else family(str(name))
        return chosen.Config.model_validate(values)
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


def parse_config(values: Any, where: str, folder: Path | None = None) -> Config:
    """Validate a configuration of plain values.

    Parameters
    ----------
    values : Any
        What YAML or JSON holds; a mapping, if it is right.
    where : str
        Begins the message of an error, such as the path of a file.
    folder : Path or None
        Holds the files that the configuration names; None for the current one.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        ``bad_config``, naming every wrong value, what was seen and what is allowed.
    """
    try:
        return Config.model_validate(values, context={"folder": folder or Path()})
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
    return parse_config(values or {}, str(path), path.parent)
