"""When to train: by the clock, by new data, by age; and whether there is anything to learn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.schedulers.blocking import BlockingScheduler

from bonafide import history
from bonafide.artifact import sha256_of
from bonafide.corpora import read_corpus
from bonafide.errors import ConfigError, CorpusError
from bonafide.history import Entry, started
from bonafide.lineage.code import code_hashes, environment, whole_sha256
from bonafide.registry import registry_of
from bonafide.training.fingerprint import fingerprint
from bonafide.training.schedule.cron import CronTimes

RETRY = timedelta(days=1)  # of a run that age makes due, and that fails


def cron_trigger(cron: str, timezone: str | None = None) -> CronTimes:
    """Return a trigger for the times that fit a cron expression.

    Parameters
    ----------
    cron : str
        Five fields: minute, hour, day, month, weekday.
    timezone : str, optional
        Such as ``Europe/Berlin``; that of the machine by default.

    Returns
    -------
    CronTimes

    Raises
    ------
    ConfigError
        ``bad_timezone`` for a time zone that is not known, the machine's included; ``bad_cron`` for
        an expression that is not one, or that no time ever fits.
    """
    if timezone is not None and timezone not in available_timezones():
        raise ConfigError(
            "bad_timezone",
            f"time zone {timezone}: not known; must be a name such as Europe/Berlin or UTC",
        )
    try:
        zone = ZoneInfo(timezone) if timezone else BlockingScheduler().timezone
    except (ValueError, LookupError) as error:
        raise ConfigError(
            "bad_timezone",
            "this machine's time zone (TZ, /etc/localtime) is not known; must be, or be named: "
            "--timezone UTC",
        ) from error
    problem = "no time ever fits it"
    try:
        trigger = CronTimes(cron, zone)
        if trigger.get_next_fire_time(None, history.now()) is not None:
            return trigger
    except ValueError as error:
        problem = str(error)
    raise ConfigError(
        "bad_cron",
        f"cron {cron!r} in time zone {timezone or 'local'}: {problem}; must be "
        "five fields: minute, hour, day, month, weekday",
    )


@dataclass(frozen=True)
class Size:
    """How much corpora hold.

    Parameters
    ----------
    rows, bytes : int
        Rows, and bytes of their files; those of files that are not there count nothing.
    """

    rows: int
    bytes: int


class Rule(Protocol):
    """Makes a run due."""

    def due(self, runs: Sequence[Entry], now: datetime, size: Size) -> str:
        """Return why a run is due.

        Parameters
        ----------
        runs : sequence of dict
            The history.
        now : datetime
            The time.
        size : Size
            Of the corpora.

        Returns
        -------
        str
            Empty if none is.
        """


@dataclass(frozen=True)
class NewData:
    """A run is due once the corpora grew by so much since the last one, however that ended.

    Parameters
    ----------
    rows, bytes : int or None
        Either is enough; None does not count.
    """

    rows: int | None = None
    bytes: int | None = None

    def due(self, runs: Sequence[Entry], now: datetime, size: Size) -> str:
        """Return by how much they grew; see `Rule.due`."""
        known = [run for run in runs if {"rows", "bytes"} <= run.keys()]
        before = Size(known[-1]["rows"], known[-1]["bytes"]) if known else Size(0, 0)
        rows, n_bytes = size.rows - before.rows, size.bytes - before.bytes
        if self.rows is not None and rows >= self.rows:
            return f"{rows} new rows"
        if self.bytes is not None and n_bytes >= self.bytes:
            return f"{n_bytes} new bytes"
        return ""


@dataclass(frozen=True)
class Age:
    """A run is due once the last that came to an end is so old.

    Runs of the future, of a clock that was ahead, do not count.

    Parameters
    ----------
    limit : timedelta
        How old it may be.
    """

    limit: timedelta

    def due(self, runs: Sequence[Entry], now: datetime, size: Size) -> str:
        """Return how old it is; see `Rule.due`. Where runs fail it is due once a day at most."""
        at = [(started(run), run["status"]) for run in runs if started(run) <= now]
        whole = [start for start, status in at if status in ("ok", "refused", "skipped")]
        if at and now - at[-1][0] < min(RETRY, self.limit):
            return ""
        if not whole:
            return "no run yet"
        age = now - whole[-1]
        return (
            f"the last run is {age / timedelta(days=1):.1f} days old" if age >= self.limit else ""
        )


@dataclass(frozen=True)
class Watched:
    """What a run would learn from, with which settings and code, and what it would be held against.

    Parameters
    ----------
    corpora : sequence of str
        Manifests or folders.
    settings : str
        The configuration, as JSON.
    root : Path
        The home folder.
    verify : bool
        Hash every file, whatever its size and times.
    """

    corpora: Sequence[str]
    settings: str
    root: Path
    verify: bool = False

    def size(self) -> Size:
        """Return the size of the corpora, by their manifests and the sizes of their files.

        Returns
        -------
        Size

        Raises
        ------
        CorpusError
            If a corpus cannot be read; ``no_corpus`` for a link that leads to itself.
        """
        rows = n_bytes = 0
        for path in self.corpora:
            try:
                corpus = read_corpus(Path(path).resolve())
            except RuntimeError as error:  # of pathlib, before Python 3.13
                raise CorpusError("no_corpus", f"{path}: a link that leads to itself") from error
            rows += len(corpus.rows)
            n_bytes += sum(_size(corpus.audio_path(row)) for row in corpus)
        return Size(rows, n_bytes)

    def parts(self) -> dict[str, str]:
        """Return hashes of what is learnt from: corpus, configuration, code and packages.

        Returns
        -------
        dict of str to str
            64 hexadecimal digits each; a run on the same ones does the same.

        Raises
        ------
        CorpusError
            If a corpus cannot be read, or none of its rows has one of the labels.
        """
        packages = json.dumps(environment()["packages"], sort_keys=True)
        return {
            "corpus": fingerprint(self.corpora, None, self.verify),
            "configuration": sha256_of(self.settings),
            "code": whole_sha256(code_hashes()),
            "environment": sha256_of(packages),
        }

    def over(self) -> str:
        """Return what is in production; a promotion or a rollback changes it."""
        return str(registry_of(self.root).production())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
