"""The steps from features to an exported candidate."""

from typing import Annotated

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.bundle import Bundle
from bonafide.display import reporter
from bonafide.export.candidate import build_candidate
from bonafide.features.spec import STATISTICS
from bonafide.home import home, work_folder
from bonafide.training.config import Config
from bonafide.training.families import Families, fit_families
from bonafide.training.fitting import FittedBase, train_base
from bonafide.training.folds import Folds
from bonafide.training.recordings import Recordings
from bonafide.training.routing import Router, fit_router
from bonafide.training.rules import Rules, fit_rules
from bonafide.training.scaling import Scaler
from bonafide.training.stacking import Stage, stack_models
from bonafide.training.step_config import TrainConfig
from bonafide.training.store import FeatureStore
from steps.policy import FITTING, cached_step


@cached_step(resources=FITTING)
def train(
    config: TrainConfig, recordings: Recordings, features: FeatureStore, folds: Folds
) -> Annotated[FittedBase, "fitted"]:
    """Fit one base model for every fold or two, and on the whole training side."""
    name, corpus = config.name, recordings.corpus
    return train_base(
        *(name, config.model, config.fit, features, folds, corpus),
        seed=config.seed,
        progress=reporter(name),
    )


@cached_step
def route(
    recordings: Recordings, features: FeatureStore, folds: Folds, scaler: Scaler
) -> tuple[Annotated[Router, "router"], Annotated[Families, "families"]]:
    """Fit the router, which tells channels apart, and what tells families of generators apart."""
    corpus, standards = recordings.corpus, scaler.standards
    router = fit_router(features, standards[STATISTICS], folds, corpus)
    return router, fit_families(features, standards, folds, corpus)


@cached_step
def stack(
    config: Config,
    fitted: list[FittedBase],
    router: Router,
    recordings: Recordings,
    features: FeatureStore,
    folds: Folds,
) -> Annotated[list[Stage], "stages"]:
    """Fit both meta-models of each stage on out-of-fold scores, and choose one."""
    stretches, corpus = features.augmentation.stretches, recordings.corpus
    return stack_models(fitted, config.stages, router, corpus, folds, stretches, config.seed)


@cached_step
def calibrate(
    config: Config,
    stages: list[Stage],
    router: Router,
    recordings: Recordings,
    features: FeatureStore,
    folds: Folds,
) -> Annotated[Rules, "rules"]:
    """Turn stacked scores into log likelihood ratios, and set route and thresholds by channel."""
    stretches, window_s = features.augmentation.stretches, features.spec.window_s
    return fit_rules(stages, router, recordings, folds, stretches, config, window_s=window_s)


@cached_step
def export(
    config: Config,
    recordings: Recordings,
    features: FeatureStore,
    scaler: Scaler,
    router: Router,
    families: Families,
    fitted: list[FittedBase],
    stages: list[Stage],
    rules: Rules,
) -> tuple[Annotated[Bundle, "candidate"], Annotated[dict[str, float], "parity"]]:
    """Export every model to ONNX, compare each with its source, and make a bundle."""
    candidate, parity = build_candidate(
        work_folder(home()) / "candidate",
        config=config,
        recordings=recordings,
        store=features,
        scaler=scaler.standards,
        router=router,
        families=families,
        fitted=fitted,
        stages=stages,
        rules=rules,
    )
    return candidate, parity
