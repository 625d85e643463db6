"""The record of what a service answered: SQLite, no audio, and the newest answers alone."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bonafide.errors import BonafideError, StorageError

RECORD = "record.sqlite"  # its usual name, in the home folder
MOST_ROWS = 100_000  # some 40 MB
REFERENCE_ROWS = 1000  # the first of each bundle, which stay: later ones are compared with them
WINDOW_ROWS, LAST = 100, 20  # answers that are compared at a time, and how many times by default
WAIT_S = 30.0  # for another worker that writes
FIRST, TRAINING = AGAINST = ("first", "training")  # what they are compared with
LABELS = ("bonafide", "spoof")
NEEDED = {"llr", "verdict", "bundle", "models", "duration_s"}  # of an answer, to be kept
TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL, request_id TEXT NOT NULL, file TEXT NOT NULL, bundle TEXT NOT NULL,
    channel TEXT NOT NULL, channel_p REAL NOT NULL, llr REAL NOT NULL, verdict TEXT NOT NULL,
    duration_s REAL NOT NULL, models TEXT NOT NULL, label TEXT NOT NULL, rank INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_request ON answers (request_id);
CREATE TABLE IF NOT EXISTS bundles (bundle TEXT PRIMARY KEY, answers INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Answered:
    """What was answered to one recording.

    Parameters
    ----------
    time : float
        Seconds since 1970.
    request_id : str
        As the answer's header ``X-Request-Id`` had it.
    file : str
        SHA-256 of the file.
    bundle : str
        Content hash of the bundle that answered.
    channel : str
        What the sound seemed to have gone through; empty where that was not told.
    channel_p : float
        Its posterior, in [0, 1].
    llr : float
        Natural-log likelihood ratio, higher for bona fide.
    verdict : str
        As in a `bonafide.detection.Detection`.
    duration_s : float
        Length in seconds.
    models : dict of str to float or None
        p_spoof of each base model; None for those that were not asked.
    label : str
        What a person said later: ``bonafide`` or ``spoof``; empty for nothing.
    rank : int
        Which answer of its bundle it is, from 1, once it is in a record.
    """

    time: float
    request_id: str
    file: str
    bundle: str
    channel: str
    channel_p: float
    llr: float
    verdict: str
    duration_s: float
    models: Mapping[str, float | None]
    label: str = ""
    rank: int = 0

    @classmethod
    def of(cls, time: float, request_id: str, file: str, answer: Any) -> "Answered | None":
        """Return what is kept of an answer.

        Parameters
        ----------
        time : float
            Seconds since 1970.
        request_id : str
            Of the request.
        file : str
            SHA-256 of the file.
        answer : Any
            JSON of any scoring endpoint.

        Returns
        -------
        Answered or None
            None for an answer that is no `bonafide.detection.Detection`.
        """
        if not isinstance(answer, Mapping) or not answer.keys() >= NEEDED:
            return None
        channel = answer.get("channel") or {"name": "", "p": 0.0}
        return cls(
            *(time, request_id, file, answer["bundle"]["sha256"], channel["name"], channel["p"]),
            *(answer["llr"], answer["verdict"], answer["duration_s"], answer["models"]),
        )


COLUMNS = tuple(each.name for each in fields(Answered))
NAMES = ", ".join(COLUMNS)
COUNT = "INSERT INTO bundles VALUES (?, 1) ON CONFLICT (bundle) DO UPDATE SET answers = answers + 1"
ADD = (
    f"INSERT INTO answers ({NAMES}) VALUES ({'?, ' * (len(COLUMNS) - 1)}"  # noqa: S608  # ours
    "(SELECT answers FROM bundles WHERE bundle = ?))"
)
FORGET = "DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ? AND rank > ?"


class Record:
    """Answers, and what people said of them.

    Parameters
    ----------
    path : Path
        The database, made where it is not there.
    most_rows : int
        How many answers are kept beside the first `REFERENCE_ROWS` of each bundle; the oldest go.
    """

    def __init__(self, path: Path, most_rows: int = MOST_ROWS) -> None:
        self.path, self._most_rows = path, most_rows

    def add(self, answers: Iterable[Answered]) -> None:
        """Add answers, in one transaction.

        Parameters
        ----------
        answers : iterable of Answered
            In the order of time.

        Raises
        ------
        StorageError
            ``unwritable``.
        """
        with self._open() as database, database:
            for each in answers:
                # the rank is looked up, by the bundle
                values = {**vars(each), "models": json.dumps(each.models), "rank": each.bundle}
                database.execute(COUNT, (each.bundle,))
                database.execute(ADD, tuple(values.values()))
            database.execute(FORGET, (self._most_rows, REFERENCE_ROWS))

    def read(self, bundle: str | None = None, since: float = 0.0) -> list[Answered]:
        """Return answers in the order in which they came.

        Parameters
        ----------
        bundle : str or None
            Content hash of the bundle that gave them; None for any.
        since : float
            Seconds since 1970.

        Returns
        -------
        list of Answered
            Empty where there is no record yet.

        Raises
        ------
        StorageError
            ``unwritable`` for what is no database.
        """
        if not self.path.exists():
            return []
        query = f"SELECT {NAMES} FROM answers WHERE time >= ?"  # noqa: S608  # ours
        values: list[Any] = [since]
        if bundle is not None:
            query, values = f"{query} AND bundle = ?", [since, bundle]
        with self._open() as database:
            rows = database.execute(f"{query} ORDER BY number", values).fetchall()
        named = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
        return [Answered(**{**each, "models": json.loads(each["models"])}) for each in named]

    def label(self, answer: str, label: str) -> None:
        """Note what a person says of a recording; a later judgement replaces an earlier one.

        Parameters
        ----------
        answer : str
            The ID of a request, or the SHA-256 of the file: then all answers to it.
        label : {"bonafide", "spoof"}
            What the recording is.

        Raises
        ------
        BonafideError
            ``unknown_request`` if the record holds no such answer (any more); ``bad_label`` for
            another label.
        StorageError
            ``unwritable``.
        """
        if label not in LABELS:
            raise BonafideError("bad_label", f"{label!r}: must be {' or '.join(LABELS)}")
        with self._open() as database, database:
            change = "UPDATE answers SET label = ? WHERE request_id = ? OR file = ?"
            if not database.execute(change, (label, answer, answer.lower())).rowcount:
                raise BonafideError(
                    "unknown_request",
                    f"{self.path}: holds no answer to a request, or on a file, {answer!r}; it "
                    f"keeps the newest {self._most_rows}",
                )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database:
                database.executescript(TABLES)
                _add_file(database)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise StorageError("unwritable", f"{self.path}: cannot be used: {error}") from error


def _add_file(database: sqlite3.Connection) -> None:
    """Add the column that records had not from the start, and its index."""
    if "by_file" in {row[1] for row in database.execute("PRAGMA index_list(answers)")}:
        return
    with database:
        database.execute("BEGIN IMMEDIATE")  # one worker alone
        if "file" not in {row[1] for row in database.execute("PRAGMA table_info(answers)")}:
            database.execute("ALTER TABLE answers ADD COLUMN file TEXT NOT NULL DEFAULT ''")
        database.execute("CREATE INDEX IF NOT EXISTS by_file ON answers (file)")
