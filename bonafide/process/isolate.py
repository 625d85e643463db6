"""Run a function in a fresh process, so that its result depends on its arguments alone.

Base models train side by side as threads of one orchestrator process. Keras keeps seeds and
thread pools for a whole process, so each model gets its own: a fresh interpreter, fixed thread
counts, JSON in, JSON out.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from bonafide.errors import BonafideError, storage_error
from bonafide.process.pool import Progress, silent, worker_count

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",  # the same numbers wherever it runs
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
}


class Isolated(Protocol):
    """A function that can be isolated: its keyword arguments and its result are JSON values."""

    def __call__(self, *, progress: Progress, **arguments: Any) -> dict[str, Any]:
        """Do the work, reporting progress."""


class IsolatedError(BonafideError):
    """An isolated call that failed; the message ends with what it printed."""


class Calls:
    """Isolated calls from any thread, a few at a time, that can all be stopped.

    Parameters
    ----------
    at_once : int
        Most processes at a time; further calls wait.
    """

    def __init__(self, at_once: int) -> None:
        self._slots = threading.BoundedSemaphore(at_once)
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._starting = threading.RLock()  # a signal handler may run in the thread that holds it

    def run(
        self, target: str, arguments: dict[str, Any], progress: Progress = silent
    ) -> dict[str, Any]:
        """Run ``module:function`` in a fresh interpreter; see `run_isolated`."""
        # Of its own, since what Keras leaves there goes only when an interpreter ends in peace.
        temporary = TemporaryDirectory(prefix="bonafide-isolated-", ignore_cleanup_errors=True)
        with self._slots, temporary as temp, self._start(target, temp) as process:
            try:
                return _converse(process, target, arguments, progress)
            finally:
                self._running.discard(process)
                process.kill()

    def stop(self) -> None:
        """End every process that still runs and start no other."""
        self._stopped = True
        with self._starting:
            for process in self._running:
                process.kill()

    def allow(self) -> None:
        """Let calls start again after `stop`."""
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether none may start."""
        return self._stopped

    def _start(self, target: str, temp: str) -> "subprocess.Popen[str]":
        with self._starting:  # none slips through between the look at `_stopped` and `_running`
            if self._stopped:
                message = f"{target} was not started: the run is being stopped"
                raise IsolatedError("stopped", message)
            process = subprocess.Popen(
                [sys.executable, "-m", "bonafide.process.isolate", target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",  # libraries may print what is not text
                env={**os.environ, **ENVIRONMENT, "TMPDIR": temp},
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
            self._running.add(process)
            return process


# One for this process: more training processes than cores would only compete for memory.
_calls = Calls(worker_count())


def run_isolated(
    target: str, arguments: dict[str, Any], progress: Progress = silent
) -> dict[str, Any]:
    """Run ``module:function`` in a fresh interpreter and wait for its result.

    Parameters
    ----------
    target : str
        An `Isolated` function, as ``bonafide.training.fitting:fit_base``.
    arguments : dict
        JSON values.
    progress : callable
        Called with (done, total) as the function reports it.

    Returns
    -------
    dict
        What the function returned.

    Raises
    ------
    IsolatedError
        ``training_failed`` if the process failed or was killed; ``stopped`` after `stop_all`; the
        code of a `BonafideError` that the function raised.
    """
    return _calls.run(target, arguments, progress)


def stop_all() -> None:
    """End every isolated call of this process and start no other, as on Ctrl-C."""
    _calls.stop()


def is_stopped() -> bool:
    """Return whether `stop_all` was called, and nothing has begun anew since."""
    return _calls.stopped


def begin_anew() -> None:
    """Let calls start again after `stop_all`, as another run in the same process needs."""
    _calls.allow()


@contextlib.contextmanager
def side_by_side(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Make isolated calls in threads; whatever ends the block early ends all of them at once.

    Others may start afterwards, as in a notebook whose reader interrupts a cell and runs it again.

    Parameters
    ----------
    threads : int
        Calls that wait at one time; how many run, `run_isolated` decides.

    Yields
    ------
    ThreadPoolExecutor
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    except BaseException:  # Ctrl-C too
        stop_all()
        pool.shutdown(cancel_futures=True)
        _calls.allow()
        raise
    pool.shutdown()


def _converse(
    process: "subprocess.Popen[str]", target: str, arguments: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    assert process.stdin and process.stdout and process.stderr
    errors: list[str] = []
    reader = threading.Thread(target=errors.extend, args=(process.stderr,), daemon=True)
    reader.start()
    with contextlib.suppress(BrokenPipeError):  # its end is reported below
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
    result: dict[str, Any] | None = None
    for line in process.stdout:
        message = json.loads(line)
        if "progress" in message:
            progress(*message["progress"])
        elif "error" in message:
            raise IsolatedError(*message["error"])
        else:
            result = message["result"]
    status = process.wait()
    reader.join(timeout=10)
    if result is None:
        said = "".join(errors)[-3000:].strip() or "nothing"
        raise IsolatedError(
            "training_failed", f"{target} ended with status {status}; it printed: {said}"
        )
    return result


def _end_with_parent() -> None:
    """Exit at once when the parent is gone, however it ended: its end of stdin closes."""
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """Serve one call: arguments on stdin, progress and result on stdout, one JSON line each."""
    module, _, name = sys.argv[1].partition(":")
    arguments = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Libraries that print would corrupt the exchange: their stdout becomes our stderr.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def progress(done: int, total: int) -> None:
        channel.write(json.dumps({"progress": [done, total]}) + "\n")

    function: Isolated = getattr(importlib.import_module(module), name)
    said: dict[str, Any]
    try:
        said = {"result": function(progress=progress, **arguments)}
    except OSError as failure:
        if (known := storage_error(failure, Path.cwd())) is None:
            raise
        said = {"error": [known.code, known.message]}
    except BonafideError as error:
        said = {"error": [error.code, error.message]}
    channel.write(json.dumps(said) + "\n")
    channel.close()
    os._exit(0)  # no reason to wait for thread pools to wind down


if __name__ == "__main__":
    main()
