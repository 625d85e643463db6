"""The step of the hyper-parameter search."""

from typing import Annotated

from zenml import step

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.display import reporter
from bonafide.home import home
from bonafide.training.folds import Folds
from bonafide.training.recordings import Recordings
from bonafide.training.step_config import TuneConfig
from bonafide.training.store import FeatureStore
from bonafide.training.tuning import Study
from bonafide.training.tuning import tune as tune_model
from steps.policy import tried


@step(enable_cache=False)
@tried
def tune(
    config: TuneConfig, recordings: Recordings, features: FeatureStore, folds: Folds
) -> Annotated[Study, "study"]:
    """Search the hyper-parameters of one base model; resume a study that was stopped."""
    return tune_model(
        config.model,
        config.config,
        recordings,
        features,
        folds,
        trials=config.trials,
        folder=home() / "studies",
        progress=reporter("tune"),
    )
