"""The hyper-parameter search as a pipeline, so that its lineage is kept."""

from typing import cast

from zenml import pipeline
from zenml.client import Client

from bonafide.home import home
from bonafide.training.config import Config
from bonafide.training.golden import golden_set
from bonafide.training.step_config import TuneConfig
from bonafide.training.tuning import Study
from pipelines.run import run_wired
from pipelines.settings import DOCKER, TAG
from pipelines.training import extraction, folding, given, read
from steps.tuning import tune


@pipeline(enable_cache=True, tags=[TAG], settings={"docker": DOCKER})
def tuning(
    config: Config,
    corpora: list[str],
    model: str,
    trials: int,
    corpus_format: str | None = None,
    fingerprint: str = "",
) -> None:
    """Ingest, split and extract as training does, then search."""
    recordings, _ = read(corpora, corpus_format, fingerprint)
    golden = golden_set(home(), config.gate.golden)  # or values would be chosen to fit it
    folds = folding(config, golden.sha256 if golden else "")(recordings=recordings)
    features = extraction(config)(recordings=recordings)
    searched = TuneConfig(config=config, model=model, trials=trials)
    given(tune, searched)(recordings=recordings, features=features, folds=folds)


def run_tuning(
    config: Config, corpora: list[str], corpus_format: str | None, *, model: str, trials: int
) -> Study:
    """Run the search on the active ZenML stack.

    Parameters
    ----------
    config : Config
        Names the base model, and gives the values that are not searched.
    corpora : list of str
        Manifests or folders.
    corpus_format : str or None
        Name of their reader; None to recognise it.
    model : str
        The base model.
    trials : int
        How many trials the study holds when it is done, at least 1.

    Returns
    -------
    Study

    Raises
    ------
    BonafideError
        What the steps raise; see `run_wired`.
    KeyboardInterrupt
        After ending every process that trains; finished trials are kept.
    """
    run = run_wired(tuning, config, corpora, corpus_format, model=model, trials=trials)
    found = Client().get_pipeline_run(run).steps["tune"].outputs["study"][0].load()
    return cast(Study, found)
