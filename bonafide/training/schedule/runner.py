"""Starts one run at a time, when the clock or the corpora say so."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO

from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bonafide import history
from bonafide.errors import BonafideError, storage_error
from bonafide.history import ALIVE, BLANK, LOCK, Entry, outcome, read_history, stamp
from bonafide.process.lifetime import end_with_parent
from bonafide.process.lock import is_locked, open_lock, try_lock
from bonafide.training.schedule.changes import CLOCK, changed, missed, over, state_of, unchanged
from bonafide.training.schedule.triggers import Rule, Size, Watched

RESULT = "BONAFIDE_RESULT"  # names the file that `bonafide train` tells its result in
CHECK_EVERY_S = 30
LOOK_EVERY_S = 300.0
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


class Schedule:
    """Starts a command whenever a run is due, never two at a time in one home.

    A time that comes while its own run is still going on is skipped; those that passed while the
    machine slept, or no schedule ran, are made up for by one run, and so is a run that went down
    with its schedule. The run of another schedule, or one that outlived its schedule, is waited
    for. Where nothing changed since the last run that came to an end, none is started, and the
    history says so.

    Parameters
    ----------
    trigger : BaseTrigger or None
        When to start, such as `cron_trigger` returns; None for no time.
    command : sequence of str
        Run in a process of its own; in its environment ``BONAFIDE_RESULT`` names a file for its
        result.
    root : Path
        The home folder; holds the history and the logs.
    say : callable
        Called with each line to print.
    watched : Watched or None
        What the command learns from; None to start it whether or not that changed.
    rules : sequence of Rule
        What else makes a run due; looked at every `look_every_s`.
    look_every_s : float
        In seconds. New data counts once it looks the same twice.
    tell : callable
        Called with what is noted of each run that ended, and of one that a rule made due where
        nothing changed.
    """

    def __init__(
        self,
        trigger: BaseTrigger | None,
        command: Sequence[str],
        root: Path,
        *,
        say: Callable[[str], None],
        watched: Watched | None = None,
        rules: Sequence[Rule] = (),
        look_every_s: float = LOOK_EVERY_S,
        tell: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self.trigger, self.command, self.root, self.say = trigger, command, root, say
        self.watched, self.rules, self.tell, self.look_every_s = watched, rules, tell, look_every_s
        options = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler = BlockingScheduler(timezone=UTC, job_defaults=options)
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: Size | None = None
        self._late: list[Entry] = []  # ends of runs that could not be noted
        self._starting = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Start runs until stopped: by `stop` or by an exception, as Ctrl-C raises one."""
        if self.trigger:
            self._scheduler.add_job(self.start, self.trigger, name="training")
        if why := missed(read_history(self.root), self.trigger):
            self._scheduler.add_job(self.start, args=[why])
        if self.rules:
            looking = IntervalTrigger(seconds=self.look_every_s)
            self._scheduler.add_job(self.look, looking, next_run_time=datetime.now(UTC))
        # A time that comes during a run is skipped, as is each look: no line for each is needed.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        # The clock may be set, and the machine may sleep, while the scheduler waits.
        look_again = IntervalTrigger(seconds=CHECK_EVERY_S)
        self._scheduler.add_job(self._show_life, look_again, next_run_time=datetime.now(UTC))
        self._say_next()
        try:
            self._scheduler.start()
        except KeyboardInterrupt:  # a person's doing: it is not missed
            self.stop()
            (self.root / ALIVE).unlink(missing_ok=True)
            raise
        finally:
            self.stop()

    def _show_life(self) -> None:
        """Look at the clock, and let others see that the schedule runs."""
        self._scheduler.wakeup()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / ALIVE).touch()
        except OSError as error:
            self.say(f"no sign of life: {self._plain(error)}")

    def look(self) -> None:
        """Start a run if a rule makes one due, unless one goes on or data still arrive."""
        if not self.watched:
            return
        try:
            if is_locked(self.root / LOCK):
                return
            size = self.watched.size()
            settled, self._seen = size == self._seen, size
            runs, now = read_history(self.root), history.now()
            why = next(filter(None, (rule.due(runs, now, size) for rule in self.rules)), "")
        except (OSError, BonafideError) as error:
            self.say(f"cannot look: {self._plain(error)}")
            return
        if why and settled:
            self.start(why, by_rule=True)

    def start(self, why: str = CLOCK, *, by_rule: bool = False) -> None:
        """Run the command once, wait for its end, and note it in the history.

        Parameters
        ----------
        why : str
            What made it due.
        by_rule : bool
            Whether people are told, too, where nothing changed and no run is started: of a drift,
            say. By the clock there are such nights all the time.
        """
        try:
            with open_lock(self.root / LOCK) as lock:
                self._run_alone(lock, why, by_rule)
        except (OSError, BonafideError) as error:
            self.say(f"no run: {self._plain(error)}")
        if not self._stopping.is_set():
            self._say_next()

    def _plain(self, error: OSError | BonafideError) -> str:
        known = storage_error(error, self.root) if isinstance(error, OSError) else error
        return f"{known.code}: {known.message}" if known else str(error)

    def _run_alone(self, lock: IO[bytes], why: str, by_rule: bool) -> None:
        if not try_lock(lock):
            self.say("waiting: another run is going on")
            while not try_lock(lock):
                if self._stopping.wait(WAIT_S):
                    return
        self._note_late()
        runs, state, served = read_history(self.root), state_of(self.watched), over(self.watched)
        entry: Entry = {"started": stamp({run["started"] for run in runs}), "why": why, **state}
        if reason := unchanged(runs, state, served):
            self.say(f"no run: {reason}")
            skipped = {"ended": stamp(), "status": "skipped", "reason": reason}
            history.note(self.root, entry | skipped)
            if by_rule:
                self.tell(BLANK | entry | skipped)
            return
        if why == CLOCK and (news := changed(runs, state, served)):
            entry["why"] = f"{CLOCK}: {news}"
        if ended := self._wait_for_end(lock, entry):
            if state:
                ended["over"] = over(self.watched)
            self._end(entry, ended)

    def _wait_for_end(self, lock: IO[bytes], entry: Entry) -> Entry:
        """Run the command; return how it ended, and nothing where it was not started."""
        with tempfile.TemporaryDirectory(prefix="bonafide-", ignore_cleanup_errors=True) as folder:
            result, log = Path(folder) / "result.json", _log(self.root, entry["started"])
            entry["log"] = str(log)
            process = self._begin(lock, entry, result, log)
            if process is None:
                return {}
            status = process.wait()
            ended = {"started": entry["started"], "ended": stamp(), **outcome(status, result, log)}
        if self._stopping.is_set() and ended["status"] == "failed":
            ended["status"] = "interrupted"
        return ended

    def _end(self, entry: Entry, ended: Entry) -> None:
        """Say, note and tell how a run ended: each, whatever becomes of the others."""
        self.say(f"run ended: {ended['status']}" + f", {ended['reason']}" * bool(ended["reason"]))
        try:
            history.note(self.root, ended)
        except OSError as error:
            self._late.append(ended)
            self.say(f"not in the history yet: {self._plain(error)}")
        self.tell(BLANK | entry | ended)

    def _note_late(self) -> None:
        """Note the ends that there was no room for."""
        while self._late:
            history.note(self.root, self._late[0])
            del self._late[0]

    def _begin(
        self, lock: IO[bytes], entry: Entry, result: Path, log: Path
    ) -> "subprocess.Popen[bytes] | None":
        """Start the command, unless the schedule is being stopped."""
        with self._starting, log.open("w") as file:
            if self._stopping.is_set():
                return None
            history.note(self.root, entry)
            self._process = subprocess.Popen(
                self.command,
                stdout=file,
                stderr=file,
                env=os.environ | {RESULT: str(result)},
                start_new_session=True,  # Ctrl-C is this process's to handle
                preexec_fn=partial(_prepare_run, os.getpid()),
                pass_fds=[lock.fileno()],  # it holds the lock even if this process is killed
            )
            return self._process

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
        if self.trigger:
            due = self.trigger.get_next_fire_time(None, history.now())
            self.say(f"next run: {due.isoformat(timespec='seconds')}")


def _log(root: Path, started: str) -> Path:
    path = root / "logs" / f"train-{started.replace(':', '')}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _prepare_run(schedule: int) -> None:
    """Have a run hear Ctrl-C, which the shell's background ignores, and end with its schedule."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent(signal.SIGKILL)
    if os.getppid() != schedule:  # it was killed just now
        os._exit(1)
