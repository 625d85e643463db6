"""Steps of the model side."""

from typing import Annotated

import numpy as np

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.bundle import Bundle
from bonafide.display import reporter
from bonafide.export.candidate import build_candidate
from bonafide.features.spec import META_MODELS
from bonafide.home import home, work_folder
from bonafide.training.base import FittedBase, train_base
from bonafide.training.config import Config, FitConfig, NetworkConfig, TreesConfig
from bonafide.training.extraction import FeatureStore
from bonafide.training.folds import Folds
from bonafide.training.ingest import Recordings
from bonafide.training.sampling import Scaler
from bonafide.training.stacking import Calibration, Stack, fit_calibration, fit_stack
from steps.policy import cached_step


@cached_step
def train(
    name: str,
    model: NetworkConfig | TreesConfig,
    fit: FitConfig,
    seed: int,
    recordings: Recordings,
    features: FeatureStore,
    folds: Folds,
) -> Annotated[FittedBase, "fitted"]:
    """Fit one base model on every fold and on the whole training side."""
    return train_base(
        name,
        model,
        fit,
        features,
        folds,
        recordings.corpus,
        seed=seed,
        progress=reporter(name),
    )


@cached_step
def stack(
    cnn: FittedBase,
    rnn: FittedBase,
    bilstm: FittedBase,
    gru: FittedBase,
    xgboost: FittedBase,
    recordings: Recordings,
    folds: Folds,
    seed: int,
) -> tuple[
    Annotated[np.ndarray, "oof"], Annotated[Stack, "stack"], Annotated[np.ndarray, "cross_fitted"]
]:
    """Fit both meta-models on out-of-fold scores and choose one."""
    oof = np.stack([base.oof for base in (cnn, rnn, bilstm, gru, xgboost)], axis=1)
    fitted, cross_fitted = fit_stack(oof, recordings.corpus.is_spoof, folds, seed)
    return oof, fitted, cross_fitted


@cached_step
def calibrate(
    stack: Stack, cross_fitted: np.ndarray, recordings: Recordings, folds: Folds
) -> Annotated[Calibration, "calibration"]:
    """Turn the chosen meta-model's score into a log likelihood ratio."""
    side = ~folds.is_test
    chosen = cross_fitted[side, META_MODELS.index(stack.choice)]
    return fit_calibration(chosen, recordings.corpus.is_spoof[side])


@cached_step
def export(
    config: Config,
    recordings: Recordings,
    features: FeatureStore,
    scaler: Scaler,
    cnn: FittedBase,
    rnn: FittedBase,
    bilstm: FittedBase,
    gru: FittedBase,
    xgboost: FittedBase,
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
        fitted=(cnn, rnn, bilstm, gru, xgboost),
        stack=stack,
        calibration=calibration,
    )
    return candidate, parity
