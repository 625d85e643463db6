"""The steps from features to an exported candidate."""

from typing import Annotated, Any

import numpy as np

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.bundle import Bundle
from bonafide.display import reporter
from bonafide.export.candidate import build_candidate
from bonafide.home import home, work_folder
from bonafide.models.config import FitConfig
from bonafide.training.config import Config
from bonafide.training.fitting import FittedBase, train_base
from bonafide.training.folds import Folds
from bonafide.training.parts import parts_bar
from bonafide.training.recordings import Recordings
from bonafide.training.scaling import Scaler
from bonafide.training.stacking import Calibration, Stack, calibrate_stack, stack_models
from bonafide.training.store import FeatureStore
from steps.policy import cached_step


@cached_step
def train(
    name: str,
    model: dict[str, Any],
    fit: FitConfig,
    seed: int,
    recordings: Recordings,
    features: FeatureStore,
    folds: Folds,
) -> Annotated[FittedBase, "fitted"]:
    """Fit one base model for every fold or two, and on the whole training side."""
    report = reporter(name)
    corpus = recordings.corpus
    return train_base(name, model, fit, features, folds, corpus, seed=seed, progress=report)


@cached_step
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


@cached_step
def calibrate(
    stack: Stack, cross_fitted: np.ndarray, recordings: Recordings, folds: Folds
) -> Annotated[Calibration, "calibration"]:
    """Turn the chosen meta-model's score into a log likelihood ratio."""
    return calibrate_stack(stack, cross_fitted, recordings.corpus.is_spoof, folds)


@cached_step
def export(
    config: Config,
    recordings: Recordings,
    features: FeatureStore,
    folds: Folds,
    scaler: Scaler,
    fitted: list[FittedBase],
    stack: Stack,
    cross_fitted: np.ndarray,
    calibration: Calibration,
) -> tuple[Annotated[Bundle, "candidate"], Annotated[dict[str, float], "parity"]]:
    """Export every model to ONNX, compare each with its source, and make a bundle."""
    candidate, parity = build_candidate(
        work_folder(home()) / "candidate",
        config=config,
        recordings=recordings,
        store=features,
        scaler=scaler.standards,
        fitted=fitted,
        stack=stack,
        calibration=calibration,
        parts_from=parts_bar(
            *(config, recordings, folds, stack, calibration),
            cross_fitted=cross_fitted,
            window_s=features.spec.window_s,
        ),
    )
    return candidate, parity
