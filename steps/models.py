"""Steps of the model side."""

from typing import Annotated, Any

import numpy as np
from zenml import step

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.bundle import Bundle
from bonafide.display import reporter
from bonafide.export.candidate import build_candidate
from bonafide.home import home, work_folder
from bonafide.models.config import FitConfig
from bonafide.training.config import Config
from bonafide.training.extraction import FeatureStore
from bonafide.training.fitting import FittedBase, train_base
from bonafide.training.folds import Folds
from bonafide.training.ingest import Recordings
from bonafide.training.scaling import Scaler
from bonafide.training.stacking import Calibration, Stack, calibrate_stack, stack_models
from steps.policy import reuse_unless_changed


@step(
    cache_policy=reuse_unless_changed(
        "models.config", "models.networks", "models.xgboost", "process.isolate",
        "training.config", "training.extraction", "training.fitting", "training.folds",
        "training.scaling",
    )
)  # fmt: skip
def train(
    name: str,
    model: dict[str, Any],
    fit: FitConfig,
    seed: int,
    recordings: Recordings,
    features: FeatureStore,
    folds: Folds,
) -> Annotated[FittedBase, "fitted"]:
    """Fit one base model on every fold and on the whole training side."""
    report = reporter(name)
    corpus = recordings.corpus
    return train_base(name, model, fit, features, folds, corpus, seed=seed, progress=report)


@step(cache_policy=reuse_unless_changed("evaluation.metrics", "training.stacking"))
def stack(
    fitted: list[FittedBase], recordings: Recordings, folds: Folds, seed: int
) -> tuple[
    Annotated[np.ndarray, "oof"],
    Annotated[Stack, "stack"],
    Annotated[np.ndarray, "cross_fitted"],
]:
    """Fit both meta-models on out-of-fold scores and choose one."""
    oof, stacked, cross_fitted = stack_models(fitted, recordings.corpus.is_spoof, folds, seed)
    return oof, stacked, cross_fitted


@step(cache_policy=reuse_unless_changed("training.stacking"))
def calibrate(
    stack: Stack, cross_fitted: np.ndarray, recordings: Recordings, folds: Folds
) -> Annotated[Calibration, "calibration"]:
    """Turn the chosen meta-model's score into a log likelihood ratio."""
    return calibrate_stack(stack, cross_fitted, recordings.corpus.is_spoof, folds)


@step(
    cache_policy=reuse_unless_changed(
        "bundle", "detector", "export.candidate", "export.chain", "export.fused", "export.meta",
        "export.models", "export.scaler", "features.frontend", "features.graph",
        "features.statistics", "models.networks", "models.networks_onnx", "models.xgboost",
        "training.config", "training.extraction", "training.stacking",
    )
)  # fmt: skip
def export(
    config: Config,
    recordings: Recordings,
    features: FeatureStore,
    scaler: Scaler,
    fitted: list[FittedBase],
    stack: Stack,
    calibration: Calibration,
) -> tuple[Annotated[Bundle, "candidate"], Annotated[dict[str, float], "parity"]]:
    """Export every model to ONNX, hold each against its source, and make a bundle."""
    candidate, parity = build_candidate(
        work_folder(home()) / "candidate",
        config=config,
        recordings=recordings,
        store=features,
        scaler=scaler.standards,
        fitted=fitted,
        stack=stack,
        calibration=calibration,
    )
    return candidate, parity
