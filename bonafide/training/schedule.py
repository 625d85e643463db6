"""Retraining on a schedule: a small long-lived process that starts one run at a time."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any
from zoneinfo import available_timezones

from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bonafide.errors import ConfigError, storage_error
from bonafide.process.lifetime import end_with_parent
from bonafide.process.lock import is_locked, open_lock, try_lock

HISTORY = "schedule.jsonl"
LOCK = "schedule.lock"  # held by the run that goes on, and so free once it has ended in any way
CHECK_EVERY_S = 30
WAIT_S = 0.2
STOP_S = 60.0


def train_command(
    config: Path | None, corpora: Sequence[str], verify: bool = False, keep: int | None = None
) -> list[str]:
    """Return the command of one run, for an interpreter of its own.

    Parameters
    ----------
    config : Path or None
        Configuration; None for the demo's.
    corpora : sequence of str
        Manifests or folders; none for the simulated corpus.
    verify : bool
        Read every file again, though its size and times are the same.
    keep : int or None
        Prune all but so many runs afterwards; None for none.

    Returns
    -------
    list of str
        Program and arguments, with absolute paths.
    """
    command = [sys.executable, "-m", "bonafide.cli", "train", "--quiet"]
    if config:
        command += ["--config", str(config.resolve())]
    for corpus in corpora:
        command += ["--corpus", str(Path(corpus).resolve())]
    if verify:
        command.append("--verify")
    if keep:
        command += ["--keep", str(keep)]
    return command


def cron_trigger(cron: str, timezone: str | None = None) -> CronTrigger:
    """Return a trigger for the times that fit a cron expression.

    Parameters
    ----------
    cron : str
        Five fields: minute, hour, day, month, weekday.
    timezone : str, optional
        Such as ``Europe/Berlin``; that of the machine by default. APScheduler sees to daylight
        saving.

    Returns
    -------
    CronTrigger

    Raises
    ------
    ConfigError
        ``bad_timezone`` for a time zone that is not known; ``bad_cron`` for an expression that is
        not one, or that no time ever fits.
    """
    if timezone is not None and timezone not in available_timezones():
        raise ConfigError(
            "bad_timezone",
            f"time zone {timezone}: not known; must be a name such as Europe/Berlin or UTC",
        )
    problem = "no time ever fits it"
    try:
        trigger = CronTrigger.from_crontab(cron, timezone=timezone)
        if trigger.get_next_fire_time(None, _now()) is not None:
            return trigger
    except (ValueError, LookupError) as error:
        problem = str(error)
    raise ConfigError(
        "bad_cron",
        f"cron {cron!r} in time zone {timezone or 'local'}: {problem}; must be "
        "five fields: minute, hour, day, month, weekday",
    )


def read_history(root: Path) -> list[dict[str, Any]]:
    """Return the runs that schedules started, oldest first.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    list of dict
        Each with ``started`` and ``ended`` (ISO 8601, UTC; ``-`` if it has not), ``status`` (exit
        code; ``running``, or ``interrupted`` if its schedule was killed) and ``log`` (path of what
        it printed).

    Raises
    ------
    json.JSONDecodeError
        If a line other than the last is damaged.
    """
    goes_on = is_locked(root / LOCK)  # and again below: a run may start or end meanwhile
    path = root / HISTORY
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    runs: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):  # the process was killed while it wrote
                break
            raise
        runs.setdefault(entry["started"], {"ended": "-", "status": "interrupted"}).update(entry)
    found = list(runs.values())
    if found and found[-1]["ended"] == "-" and (goes_on or is_locked(root / LOCK)):
        found[-1]["status"] = "running"
    return found


class Schedule:
    """Starts a command whenever a trigger is due, never two at a time in one home.

    A time that comes while its own run is still going on is skipped; those that passed while the
    machine slept are made up for by one run. The run of another schedule, or one that outlived its
    schedule, is waited for.

    Parameters
    ----------
    trigger : BaseTrigger
        When to start, such as `cron_trigger` returns.
    command : sequence of str
        Run in a process of its own.
    root : Path
        The home folder; holds the history and the logs.
    say : callable
        Called with each line to print.
    """

    def __init__(
        self,
        trigger: BaseTrigger,
        command: Sequence[str],
        root: Path,
        *,
        say: Callable[[str], None],
    ) -> None:
        self.trigger, self.command, self.root, self.say = trigger, command, root, say
        options = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler = BlockingScheduler(timezone=UTC, job_defaults=options)
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Start runs until stopped: by `stop` or by an exception, as Ctrl-C raises one."""
        self._scheduler.add_job(self.start, self.trigger, name="training")
        # The clock may be set, and the machine may sleep, while the scheduler waits.
        look_again = IntervalTrigger(seconds=CHECK_EVERY_S)
        self._scheduler.add_job(self._scheduler.wakeup, look_again)
        self._say_next()
        try:
            self._scheduler.start()
        finally:
            self.stop()

    def start(self) -> None:
        """Run the command once, wait for its end, and note it in the history."""
        try:
            with open_lock(self.root / LOCK) as lock:
                self._run_alone(lock)
        except OSError as error:
            known = storage_error(error, self.root)
            self.say(f"no run: {known.code}: {known.message}" if known else f"no run: {error}")
        if not self._stopping.is_set():
            self._say_next()

    def _run_alone(self, lock: IO[bytes]) -> None:
        if not try_lock(lock):
            self.say("waiting: another run is going on")
            while not try_lock(lock):
                if self._stopping.wait(WAIT_S):
                    return
        with self._starting:
            if self._stopping.is_set():
                return
            started = _now().isoformat(timespec="seconds")
            log = self.root / "logs" / f"train-{started.replace(':', '')}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as file:
                _note(self.root, {"started": started, "log": str(log)})
                process = self._process = subprocess.Popen(
                    self.command,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,  # Ctrl-C is this process's to handle
                    preexec_fn=partial(_prepare_run, os.getpid()),
                    pass_fds=[lock.fileno()],  # it holds the lock even if this process is killed
                )
        status = process.wait()
        ended = _now().isoformat(timespec="seconds")
        self.say(f"run ended with status {status}")
        _note(self.root, {"started": started, "ended": ended, "status": status})

    def stop(self) -> None:
        """End the run that is going on, as Ctrl-C does, and start no other."""
        self._stopping.set()
        with self._starting:
            process = self._process
        try:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_S)
        finally:  # a second signal does not wait
            if process is not None:
                process.kill()
            if self._scheduler.running:
                self._scheduler.shutdown()

    def _say_next(self) -> None:
        due = self.trigger.get_next_fire_time(None, _now())
        self.say(f"next run: {due.isoformat(timespec='seconds')}")


def _prepare_run(schedule: int) -> None:
    """Have a run hear Ctrl-C, which the shell's background ignores, and end with its schedule."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent(signal.SIGKILL)
    if os.getppid() != schedule:  # it was killed just now
        os._exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


def _note(root: Path, entry: dict[str, Any]) -> None:
    path = root / HISTORY
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]  # without what a killed process left half written
    draft = path.with_name(f".{HISTORY}")
    draft.write_text(whole + json.dumps(entry) + "\n", encoding="utf-8")
    draft.replace(path)
