"""ZenML's record of a run that did not come to its own end: without us it would run for ever."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.models import PipelineRunResponse
from zenml.orchestrators.output_utils import remove_artifact_dirs
from zenml.orchestrators.publish_utils import (
    publish_pipeline_run_status_update,
    publish_step_run_status_update,
)
from zenml.utils.string_utils import sanitize_uri_path_component
from zenml.utils.time_utils import utc_now

from bonafide.errors import BonafideError
from bonafide.home import home_name
from bonafide.process.lock import is_locked, locked, open_lock, try_lock

FOLDER, LOCK = "runs", "runs.lock"  # in the home: a locked file for each run that is alive
KEY = "bonafide_run"  # of a run's `extra`: the path of its file
HOME = "bonafide_home"  # and the name of the home, wherever it lies
KILLED = "its process ended before the run did"
STOPPED = "it was stopped, or ended outside of its steps"


@contextlib.contextmanager
def recorded(root: Path) -> Iterator[dict[str, str]]:
    """Close the records of runs whose process is gone, and see to that of a new run.

    Parameters
    ----------
    root : Path
        The home folder. Runs that share it may go on side by side.

    Yields
    ------
    dict of str to str
        What the new run has to have in its `extra`.
    """
    folder, store = root / FOLDER, str(Client().zen_store.url)
    mine = folder / uuid4().hex
    with locked(root / LOCK):
        _sweep(folder, store)
        name = home_name(root)
        file = open_lock(mine)
        try_lock(file)
        file.write(store.encode())
        file.flush()
    with file:
        try:
            yield {KEY: str(mine), HOME: name}
        except BaseException:
            with contextlib.suppress(Exception):  # the next run does what fails here
                _close({str(mine)}, STOPPED)
                mine.unlink()
            raise
        mine.unlink()


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let no run start in a home while the block lasts.

    Parameters
    ----------
    root : Path
        The home folder.

    Raises
    ------
    BonafideError
        ``busy`` if a run goes on.
    """
    folder = root / FOLDER
    with locked(root / LOCK):
        if any(map(is_locked, folder.glob("*"))):
            raise BonafideError("busy", f"{root}: a run goes on; try again when it has ended")
        _sweep(folder, str(Client().zen_store.url))
        yield


def is_of(root: Path, run: PipelineRunResponse) -> bool:
    """Return whether a run went on in a home; False where its record does not say."""
    return bool(run.config.extra.get(HOME) == home_name(root))


def _sweep(folder: Path, store: str) -> None:
    """Close what runs in this store left open that held a lock and do so no longer."""
    left = [path for path in folder.glob("*") if not is_locked(path)]
    left = [path for path in left if path.read_text() in ("", store)]  # others are another's
    if left:
        _close(set(map(str, left)), KILLED)
    for path in left:
        path.unlink()


def _close(files: set[str], why: str) -> None:
    """Close the records of all runs that name one of these files, and are open in whole or in part.

    Those of a run that is closed may be open where closing them was cut short.
    """
    newest = Client().list_pipeline_runs(sort_by="desc:created", hydrate=True, size=50)
    in_progress = Client().list_pipeline_runs(in_progress=True, hydrate=True, size=10_000)
    found = {run.id: run for run in (*newest.items, *in_progress.items)}
    for run in found.values():
        if run.config.extra.get(KEY) in files:
            _close_run(Client().get_pipeline_run(run.id), why)


def _close_run(run: PipelineRunResponse, why: str) -> None:
    """Say of a run that it failed, and of its open steps that they stopped; remove their drafts."""
    if not run.status.is_finished:  # first: a static pipeline's status would follow from its steps'
        publish_pipeline_run_status_update(run.id, ExecutionStatus.FAILED, status_reason=why)
    store = Client().active_stack.artifact_store.path
    # With those that were tried again: on a full disk ZenML fails to remove their drafts, too.
    tries = Client().list_run_steps(pipeline_run_id=run.id, size=10_000, hydrate=True)
    for step in tries.items:
        if step.status.is_successful:
            continue
        if not step.status.is_finished:
            # Not failed: ZenML would wait for its retry.
            publish_step_run_status_update(step.id, ExecutionStatus.STOPPED, end_time=utc_now())
        names = map(sanitize_uri_path_component, step.config.outputs)
        drafts = [os.path.join(store, step.name, each, str(step.id)) for each in names]  # noqa: PTH118  # a URL, maybe
        remove_artifact_dirs(drafts)
