"""Retraining by the clock: a small long-lived process that starts one run at a time."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from apscheduler.triggers.cron import CronTrigger

from bonafide.errors import ConfigError

HISTORY = "schedule.jsonl"
CHECK_EVERY_S = 30.0


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the present, with its time zone."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


class WallClock:
    """The time that is."""

    def now(self) -> datetime:
        """Return the present."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def train_command(config: Path | None, corpora: Sequence[str]) -> list[str]:
    """Return the command of one run, for an interpreter of its own."""
    command = [sys.executable, "-m", "bonafide.cli", "train", "--quiet"]
    if config:
        command += ["--config", str(config.resolve())]
    for corpus in corpora:
        command += ["--corpus", str(Path(corpus).resolve())]
    return command


def read_history(root: Path) -> list[dict[str, Any]]:
    """List the runs that schedules started, oldest first.

    Each has ``started``, ``ended`` (ISO 8601, UTC), ``status`` (exit code, or ``interrupted`` for
    one whose schedule was killed) and ``log`` (path of what it printed).
    """
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
    return list(runs.values())


@dataclass
class Schedule:
    """Starts `command` at every time that a cron expression names, never two at once.

    A time that passes while a run is going on is skipped. What is due and the field meanings are
    APScheduler's `CronTrigger`'s, daylight saving included.

    Parameters
    ----------
    cron : str
        Five fields: minute, hour, day, month, weekday.
    command : sequence of str
        Run in a process of its own.
    root : Path
        The home folder; holds the history and the logs.
    timezone : str or None
        Such as ``Europe/Berlin``; None is the machine's.
    clock : Clock
        Where the time comes from.

    Raises
    ------
    ConfigError
        ``bad_cron``.
    """

    cron: str
    command: Sequence[str]
    root: Path
    timezone: str | None = None
    clock: Clock | None = None

    def __post_init__(self) -> None:
        """Refuse an expression that no time fits."""
        self._clock = self.clock or WallClock()
        try:
            self._trigger = CronTrigger.from_crontab(self.cron, timezone=self.timezone)
            if self._trigger.get_next_fire_time(None, self._clock.now()) is None:
                raise ValueError("no time ever fits it")
        except (ValueError, LookupError) as error:
            raise ConfigError(
                "bad_cron",
                f"cron {self.cron!r} in time zone {self.timezone or 'local'}: {error}; must be "
                "five fields: minute, hour, day, month, weekday",
            ) from error

    def run(self, *, say: Callable[[str], None], times: int | None = None) -> None:
        """Wait and start, `times` times; None goes on until the process is stopped."""
        clock = self._clock
        last: datetime | None = None
        while times is None or times > 0:
            due = self._trigger.get_next_fire_time(last, clock.now())
            say(f"next run: {due.isoformat(timespec='seconds')}")
            while (left_s := (due - clock.now()).total_seconds()) > 0:
                clock.sleep(min(left_s, CHECK_EVERY_S))  # the clock may be set meanwhile
            say(f"run ended with status {self._start(clock)}")
            last = clock.now()
            times = None if times is None else times - 1

    def _start(self, clock: Clock) -> int:
        started = clock.now().astimezone(UTC).isoformat(timespec="seconds")
        logs = self.root / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"train-{started.replace(':', '')}.log"
        self._note({"started": started, "log": str(log)})
        with log.open("w") as file:
            status = subprocess.run(self.command, stdout=file, stderr=file).returncode
        ended = clock.now().astimezone(UTC).isoformat(timespec="seconds")
        self._note({"started": started, "ended": ended, "status": status})
        return status

    def _note(self, entry: dict[str, Any]) -> None:
        path = self.root / HISTORY
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # without what a killed process left half written
        draft = path.with_name(f".{HISTORY}")
        draft.write_text(whole + json.dumps(entry) + "\n", encoding="utf-8")
        draft.replace(path)
