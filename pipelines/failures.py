"""Why a run failed: the step and the cause, found inside what ZenML wraps around them.

ZenML raises the failure of the step that is awaited first, which may have been cancelled only
because another failed; and what fails before a step's own code leaves no row in its database. But
all of it happens in this process: the frames that an error came through know more than its text.
"""

import errno
import sqlite3
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zenml.exceptions import EntityExistsError
from zenml.execution.pipeline.dynamic.runner import DynamicPipelineRunner
from zenml.orchestrators.step_launcher import StepLauncher

from bonafide.errors import BonafideError, StorageError, storage_error, storing


class StepError(BonafideError):
    """A step that failed for a reason that the user cannot mend."""


def explain(error: BaseException, logs: Path) -> BonafideError:
    """Return the error to report for a run that raised another.

    Parameters
    ----------
    error : BaseException
        What ZenML raised.
    logs : Path
        The folder that receives the traceback.

    Returns
    -------
    BonafideError
        The one that a step raised; a `StorageError` for a full disk or a closed folder; otherwise a
        `StepError` ``step_failed`` that names the step, the
        cause and the file with the traceback.

    Raises
    ------
    StorageError
        Where the traceback cannot be written.
    """
    first = _first_failure(error)
    causes = list(_causes(first))
    if ours := next((cause for cause in causes if isinstance(cause, BonafideError)), None):
        return ours
    if full := next(filter(None, (_disk_error(cause, logs.parent) for cause in causes)), None):
        return full  # there is no room for a traceback
    cause = causes[-1]
    said = str(cause).strip().partition("\n")[0]
    what = f"{type(cause).__name__}: {said}" if said else type(cause).__name__
    step = next((name for cause in causes if (name := _step_of(cause))), None)
    where = f"step {step}" if step else "the run, outside its steps,"
    with storing(logs):
        log = _keep_traceback(error, first, logs)
    failure = StepError("step_failed", f"{where} failed: {what}; the traceback is in {log}")
    failure.__cause__ = cause
    return failure


def _disk_error(cause: BaseException, place: Path) -> StorageError | None:
    if isinstance(cause, OSError):
        return storage_error(cause, place)
    if isinstance(cause, sqlite3.OperationalError):
        name = getattr(
            cause, "sqlite_errorname", ""
        )  # a quota, or a limit of files, is an I/O error
        if "disk is full" in str(cause) or name == "SQLITE_IOERR_WRITE":
            return storage_error(OSError(errno.ENOSPC, f"ZenML's store: {cause}"), place)
        if "readonly" in str(cause):
            return storage_error(OSError(errno.EROFS, f"ZenML's store: {cause}"), place)
    return None


def _frames(error: BaseException) -> Iterator[dict[str, Any]]:
    """Yield the local variables of every frame that an error came through."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield frame.f_locals


def _first_failure(error: BaseException) -> BaseException:
    """Return the failure that ended a dynamic run, whichever step was awaited."""
    for variables in _frames(error):
        runner = variables.get("self")
        if isinstance(runner, DynamicPipelineRunner) and runner._exception is not None:
            return runner._exception
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, outermost first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:  # `raise X from X` is a circle
        seen.add(id(cause))
        yield cause
        before = getattr(cause, "original_exception", None) or cause.__cause__
        if isinstance(cause, EntityExistsError):  # of a try after one that failed before its code
            before = before or cause.__context__
        cause = before


def _step_of(error: BaseException) -> str | None:
    """Return the step that an error came out of, by its name in the run."""
    for variables in _frames(error):
        if isinstance(launcher := variables.get("self"), StepLauncher):
            return str(launcher._invocation_id)
        if isinstance(launcher, DynamicPipelineRunner) and (name := variables.get("invocation_id")):
            return str(name)  # it failed while it was being prepared
    return None


def _keep_traceback(error: BaseException, first: BaseException, logs: Path) -> Path:
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"failed-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.log"
    told = [first] if first in _causes(error) else [first, error]
    log.write_text("\n".join("".join(traceback.format_exception(each)) for each in told))
    return log
