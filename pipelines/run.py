"""One training run from the outside: start it, wait, and collect its results."""

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

from zenml.client import Client
from zenml.enums import ExecutionMode
from zenml.orchestrators.signal_handler import SignalHandler

from bonafide.bundle import Bundle
from bonafide.errors import BonafideError, storing
from bonafide.home import clean_work, home
from bonafide.process.interrupt import interruptible
from bonafide.process.isolate import begin_anew, stop_all
from bonafide.training.arrays import DAMAGED
from bonafide.training.config import Config
from bonafide.training.fingerprint import fingerprint, is_change
from bonafide.training.gate import Decision
from bonafide.training.judgement import Judgement
from bonafide.training.recordings import Quarantine
from pipelines.anew import extract_anew
from pipelines.failures import explain
from pipelines.records import recorded
from pipelines.settings import with_run_file
from pipelines.store import own_source, prepare_store
from pipelines.training import static_training, training


@dataclass(frozen=True)
class Trained:
    """The results of a run; `cached` names the steps that did not have to run again."""

    run: str
    bundle: Bundle
    judgement: Judgement
    quarantine: Quarantine
    decision: Decision
    cached: list[str]
    ran: list[str]


_interrupted = threading.Event()


def _in_store(frame: FrameType | None) -> bool:
    """Return whether a call on this stack is ZenML talking to its database."""
    modules = (str(f.f_globals.get("__name__")) for f, _ in traceback.walk_stack(frame))
    return any(name.startswith(("sqlalchemy.", "zenml.zen_stores.")) for name in modules)


def _stop(_signal: int, frame: FrameType | None) -> None:
    """End the processes that train, so that the steps that wait for them end too."""
    _interrupted.set()
    stop_all()
    if _in_store(frame):  # an interrupted transaction would keep its lock, and the next one hang
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    else:
        raise KeyboardInterrupt


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C stop the run, at once or as soon as ZenML is done with its database."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    registers = SignalHandler.register
    # ZenML's own handler logs and asks its database wherever it interrupts a step: there it may
    # wait for ever for a lock that the interrupted code holds.
    SignalHandler.register = lambda handler: handler
    try:
        with interruptible(_stop):
            yield
    finally:
        SignalHandler.register = registers


def run_training(
    config: Config,
    corpora: list[str],
    corpus_format: str | None = None,
    *,
    static: bool = False,
    verify: bool = False,
    run_file: Path | None = None,
) -> Trained:
    """Run the training pipeline on the active ZenML stack.

    Parameters
    ----------
    config : Config
        What to train and how.
    corpora : list of str
        Manifests or folders.
    corpus_format : str or None
        Name of their reader; None to recognise it.
    static : bool
        Run one step after another, for orchestrators that take no dynamic pipeline.
    verify : bool
        Hash every file, whatever its size and times.
    run_file : Path or None
        A YAML file of ZenML's: hooks, retries, resources, images, step operators, tags.

    Returns
    -------
    Trained

    Raises
    ------
    BonafideError
        What the steps raise; see `run_wired`.
    KeyboardInterrupt
        After ending every process that trains; finished steps are kept.
    """
    run = run_wired(
        static_training if static else training,
        config,
        corpora,
        corpus_format,
        verify=verify,
        run_file=run_file,
    )
    return collect(run)


@own_source()
def run_wired(
    wiring: Any,
    config: Config,
    corpora: list[str],
    corpus_format: str | None,
    *,
    verify: bool = False,
    run_file: Path | None = None,
    **settings: Any,
) -> str:
    """Run a pipeline on the active ZenML stack.

    Where a file turns out to have changed since it was ingested, it runs once more, from ingestion;
    where features turn out to be damaged, from extraction.

    Parameters
    ----------
    wiring : ZenML pipeline
        Called with what follows and `settings`; it begins with `ingest`.
    config : Config
        What to train and how.
    corpora : list of str
        Manifests or folders.
    corpus_format : str or None
        Name of their reader; None to recognise it.
    verify : bool
        Hash every file, whatever its size and times.
    run_file : Path or None
        A YAML file of ZenML's.
    **settings : Any
        What else the pipeline takes.

    Returns
    -------
    str
        The id of the run.

    Raises
    ------
    BonafideError
        As in `run_pipeline`; ``bad_zenml`` for a YAML file that cannot be applied.
    KeyboardInterrupt
        After ending every process that trains; finished steps are kept.
    """
    settings |= {
        "config": config,
        "corpora": [str(Path(path).resolve()) for path in corpora],
        "corpus_format": corpus_format,
    }
    with storing(home()):
        seen = fingerprint(corpora, corpus_format, verify)
        prepare_store()
    if run_file:
        wiring = with_run_file(wiring, run_file)
    # The first failure ends the run, and is the one that is reported.
    wired = wiring.with_options(execution_mode=ExecutionMode.FAIL_FAST)
    try:
        return run_pipeline(wired, settings | {"fingerprint": seen})
    except BonafideError as error:
        if error.code == DAMAGED:
            extract_anew(home())
            return run_pipeline(wired, settings | {"fingerprint": seen})
        if not is_change(error):
            raise
    # What follows the space makes it another fingerprint: no earlier ingestion is taken for it.
    again = f"{fingerprint(corpora, corpus_format, True)} {uuid4().hex}"
    return run_pipeline(wired, settings | {"fingerprint": again})


def run_pipeline(wired: Any, settings: dict[str, Any]) -> str:
    """Run a pipeline on the active ZenML stack, whose store was prepared.

    Parameters
    ----------
    wired : ZenML pipeline
        What to run.
    settings : dict
        What it takes.

    Returns
    -------
    str
        The id of the run.

    Raises
    ------
    BonafideError
        What a step raised; ``step_failed`` if one failed otherwise, even before its own code;
        ``run_elsewhere`` if the stack runs the pipeline elsewhere.
    KeyboardInterrupt
        After ending every process that trains; finished steps are kept.
    """
    _interrupted.clear()
    begin_anew()  # a run that was interrupted in this process, as in a notebook, is over
    try:
        with _stoppable(), storing(home()), recorded(home()) as known:
            run = wired.with_options(extra=known)(**settings)
    except Exception as error:
        if _interrupted.is_set():
            raise KeyboardInterrupt from error
        failure = explain(error, home() / "logs")
        raise failure from failure.__cause__
    finally:
        clean_work(home())
    if run is None:
        raise BonafideError(
            "run_elsewhere",
            "the active ZenML stack runs the pipeline elsewhere; follow it in its dashboard",
        )
    return str(run.id)


def collect(run_id: str) -> Trained:
    """Load a finished run's results from ZenML."""
    run = Client().get_pipeline_run(run_id)

    def load(step: str, output: str) -> Any:
        return run.steps[step].outputs[output][0].load()

    statuses = {name: str(step.status.value) for name, step in run.steps.items()}
    return Trained(
        run=run.name,
        bundle=load("promote", "bundle"),
        judgement=load("evaluate", "judgement"),
        quarantine=load("ingest", "quarantine"),
        decision=load("promote", "decision"),
        cached=[name for name, status in statuses.items() if status == "cached"],
        ran=[name for name, status in statuses.items() if status != "cached"],
    )
