"""A look at what a service answered, as a pipeline, so that what was seen is kept."""

from pathlib import Path
from typing import cast

from zenml import pipeline
from zenml.client import Client

from bonafide.bundle import Bundle
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
def run_monitoring(
    record: Path, bundle: Bundle, *, window_rows: int, last: int, against_training: bool
) -> Watch:
    """Run the pipeline on the active ZenML stack.

    Parameters
    ----------
    record : Path
        Of a service, where the stack runs its steps.
    bundle : Bundle
        The one to look at.
    window_rows : int
        Answers in a window.
    last : int
        How many windows, the newest ones.
    against_training : bool
        Whether they are compared with what the bundle answers to its training recordings.

    Returns
    -------
    Watch

    Raises
    ------
    BonafideError
        What the step raises; see `pipelines.run.run_pipeline`.
    """
    config = MonitorConfig(
        record=str(record.resolve()),
        bundle=bundle.digest(),
        window_rows=window_rows,
        last=last,
        reference=str(bundle.folder.resolve()) if against_training else "",
    )
    with storing(home()):
        prepare_store()
    run = run_pipeline(monitoring, {"config": config})
    found = Client().get_pipeline_run(run).steps["monitor"].outputs["watch"][0].load()
    return cast(Watch, found)
