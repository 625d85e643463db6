"""The training pipeline: one wiring, run with base models side by side or step after step."""

from collections.abc import Iterable
from typing import Any

from zenml import pipeline

from bonafide.features.kinds import KINDS
from bonafide.home import home
from bonafide.models import MODELS
from bonafide.training.config import Config
from bonafide.training.golden import golden_set
from steps.data import extract, ingest, scale, split
from steps.models import calibrate, export, route, stack, train
from steps.policy import policy_for
from steps.results import audit, evaluate, promote


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


def extraction(config: Config) -> Any:
    """Return the step that extracts the views of a configuration."""
    return _watching(extract, kinds=_kinds(config))


def _wire(
    config: Config,
    corpora: list[str],
    corpus_format: str | None,
    fingerprint: str,
    *,
    side_by_side: bool,
) -> None:
    recordings, quarantine = ingest(corpora, corpus_format, fingerprint)
    golden = golden_set(home(), config.gate.golden)
    folds = split(recordings, config.folds, config.seed, golden.sha256 if golden else "")
    features = extraction(config)(recordings, config.spec.to_json(), config.augmentation)
    start: Any = (lambda a_step: a_step.submit) if side_by_side else (lambda a_step: a_step)
    audited = start(audit)(recordings, folds, config.resamples, config.seed)
    fitted = _fit_models(config, start, recordings=recordings, features=features, folds=folds)
    scaler = scale(features, folds, config.fit)
    router = route(recordings, features, folds, scaler)
    stages = stack(config, fitted, router, recordings, features, folds)
    rules = calibrate(config, stages, router, recordings, features, folds)
    candidate, parity = _watching(export, *_families(config), kinds=_kinds(config))(
        config=config,
        recordings=recordings,
        features=features,
        scaler=scaler,
        router=router,
        fitted=fitted,
        stages=stages,
        rules=rules,
    )
    judgement = evaluate(
        config=config,
        candidate=candidate,
        parity=parity,
        recordings=recordings,
        folds=folds,
        fitted=fitted,
        stages=stages,
        rules=rules,
        audit=audited,
    )
    promote(config, candidate, judgement, recordings, quarantine)


def _fit_models(config: Config, start: Any, **inputs: Any) -> list[Any]:
    """Start a training step for each base model."""
    return [
        start(_watching(train, model.family or name))(
            name=name,
            model=model.model_dump(mode="json"),
            fit=config.fit,
            seed=config.seed,
            id=f"train_{name}",
            **inputs,
        )
        for name, model in config.models.items()
    ]


@pipeline(dynamic=True, enable_cache=True)
def training(
    config: Config, corpora: list[str], corpus_format: str | None, fingerprint: str
) -> None:
    """Train, with the base models side by side."""
    _wire(config, corpora, corpus_format, fingerprint, side_by_side=True)


@pipeline(enable_cache=True)
def static_training(
    config: Config, corpora: list[str], corpus_format: str | None, fingerprint: str
) -> None:
    """Train step after step, for orchestrators that take no dynamic pipeline."""
    _wire(config, corpora, corpus_format, fingerprint, side_by_side=False)
