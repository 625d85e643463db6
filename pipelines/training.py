"""The training pipeline: one wiring, run with base models side by side or step after step."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from zenml import pipeline

from bonafide.features.kinds import KINDS
from bonafide.home import home
from bonafide.models import MODELS
from bonafide.training.config import Config
from bonafide.training.fingerprint import fingerprint as fingerprint_of
from bonafide.training.golden import golden_set
from bonafide.training.step_config import (
    AuditConfig,
    ExtractConfig,
    IngestConfig,
    SplitConfig,
    TrainConfig,
)
from pipelines.anew import extracted_anew
from pipelines.settings import DOCKER, TAG
from steps.data import extract, ingest, scale, split
from steps.models import calibrate, export, route, stack, train
from steps.policy import policy_for
from steps.results import audit, evaluate, promote

# In a dynamic pipeline, ZenML's YAML can name these; each stands for every call of it.
STEPS = [
    *(ingest, split, extract, audit, train, scale, route, stack),
    *(calibrate, export, evaluate, promote),
]


def _watching(a_step: Any, *models: str, kinds: Iterable[str] = ()) -> Any:
    """Have a step run again when the code of these base models or view kinds changes."""
    found = (*map(MODELS.module_of, models), *map(KINDS.module_of, kinds))
    return a_step.with_options(cache_policy=policy_for(a_step, also=[m for m in found if m]))


def _kinds(config: Config) -> set[str]:
    """Return the kinds of all views that are extracted."""
    spec = config.spec
    views = (*spec.views.values(), *spec.statistics.values(), *spec.narrow.values())
    return {view.kind for view in views}


def _families(config: Config) -> list[str]:
    """Return the families of all base models."""
    return [model.family or name for name, model in config.models.items()]


def given(a_step: Any, config: BaseModel) -> Any:
    """Give a step its one parameter.

    As an argument it would become an artifact of its own: a dynamic pipeline stores each so.
    """
    return a_step.with_options(parameters={"config": config.model_dump(mode="json")})


def read(corpora: list[str], corpus_format: str | None, fingerprint: str) -> Any:
    """Ingest corpora; where no fingerprint is given, it is taken here."""
    seen = fingerprint or fingerprint_of(corpora, corpus_format)
    source = IngestConfig(corpora=corpora, corpus_format=corpus_format, fingerprint=seen)
    return given(ingest, source)()


def extraction(config: Config) -> Any:
    """Return the step that extracts the views of a configuration."""
    extracted = ExtractConfig(
        features=config.spec.to_json(),
        augmentation=config.augmentation,
        anew=extracted_anew(home()),
    )
    return given(_watching(extract, kinds=_kinds(config)), extracted)


def folding(config: Config, golden: str = "") -> Any:
    """Return the step that splits rows, those of a golden set (its hash) held out."""
    return given(split, SplitConfig(folds=config.folds, seed=config.seed, golden=golden))


def _wire(
    config: Config,
    corpora: list[str],
    corpus_format: str | None,
    fingerprint: str,
    *,
    side_by_side: bool,
) -> None:
    recordings, quarantine = read(corpora, corpus_format, fingerprint)
    golden = golden_set(home(), config.gate.golden)
    folds = folding(config, golden.sha256 if golden else "")(recordings=recordings)
    learned = {"recordings": recordings, "folds": folds}
    features = extraction(config)(recordings=recordings)
    start: Any = (lambda a_step: a_step.submit) if side_by_side else (lambda a_step: a_step)
    drawn = AuditConfig(resamples=config.resamples, seed=config.seed)
    audited = start(given(audit, drawn))(**learned)
    fitted = _fit_models(config, start, features=features, **learned)
    scaler = given(scale, config.fit)(features=features, folds=folds)
    router, families = route(features=features, scaler=scaler, **learned)
    known = {"router": router, "recordings": recordings, "features": features}
    stages = given(stack, config)(fitted=fitted, folds=folds, **known)
    rules = given(calibrate, config)(stages=stages, folds=folds, **known)
    exporting = _watching(export, *_families(config), kinds=_kinds(config))
    made = {"fitted": fitted, "stages": stages, "rules": rules}
    told = {"scaler": scaler, "families": families}
    candidate, parity = given(exporting, config)(**told, **known, **made)
    judgement = given(evaluate, config)(
        candidate=candidate, parity=parity, audit=audited, **learned, **made
    )
    given(promote, config)(
        candidate=candidate, judgement=judgement, recordings=recordings, quarantine=quarantine
    )


def _fit_models(config: Config, start: Any, **inputs: Any) -> list[Any]:
    """Start a training step for each base model."""

    def fitting(name: str) -> Any:
        model = config.models[name]
        values = model.model_dump(mode="json")
        of_model = TrainConfig(name=name, model=values, fit=config.fit, seed=config.seed)
        return start(given(_watching(train, model.family or name), of_model))

    return [fitting(name)(id=f"train_{name}", **inputs) for name in config.models]


@pipeline(
    dynamic=True, enable_cache=True, tags=[TAG], settings={"docker": DOCKER}, depends_on=STEPS
)
def training(
    config: Config, corpora: list[str], corpus_format: str | None = None, fingerprint: str = ""
) -> None:
    """Train, with the base models side by side."""
    _wire(config, corpora, corpus_format, fingerprint, side_by_side=True)


@pipeline(enable_cache=True, tags=[TAG], settings={"docker": DOCKER})
def static_training(
    config: Config, corpora: list[str], corpus_format: str | None = None, fingerprint: str = ""
) -> None:
    """Train step after step, for orchestrators that take no dynamic pipeline."""
    _wire(config, corpora, corpus_format, fingerprint, side_by_side=False)
