"""A look at what a service answered, as a pipeline, so that what was seen is kept."""

from pathlib import Path
from typing import cast

from zenml import pipeline
from zenml.client import Client

from bonafide.errors import storing
from bonafide.home import home
from bonafide.monitoring.watch import Watch
from bonafide.training.step_config import MonitorConfig
from pipelines.run import run_pipeline
from pipelines.settings import DOCKER, TAG
from pipelines.store import own_source, prepare_store
from steps.monitoring import monitor


@pipeline(enable_cache=False, tags=[TAG], settings={"docker": DOCKER})
def monitoring(config: MonitorConfig) -> None:
    """Look at the record."""
    monitor(config)


@own_source()
def run_monitoring(record: Path, bundle: str, *, window_rows: int, last: int) -> Watch:
    """Run the pipeline on the active ZenML stack.

    Parameters
    ----------
    record : Path
        Of a service, where the stack runs its steps.
    bundle : str
        Content hash of the bundle to look at.
    window_rows : int
        Answers in a window.
    last : int
        How many windows, the newest ones.

    Returns
    -------
    Watch

    Raises
    ------
    BonafideError
        What the step raises; see `pipelines.run.run_pipeline`.
    """
    config = MonitorConfig(
        record=str(record.resolve()), bundle=bundle, window_rows=window_rows, last=last
    )
    with storing(home()):
        prepare_store()
    run = run_pipeline(monitoring, {"config": config})
    found = Client().get_pipeline_run(run).steps["monitor"].outputs["watch"][0].load()
    return cast(Watch, found)
