"""The record of what a service answered: SQLite, no audio, and the newest answers alone."""

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bonafide.detection import VERDICTS
from bonafide.errors import MALFORMED, BonafideError
from bonafide.monitoring.database import reading, writing

RECORD = "record.sqlite"  # its usual name, in the home folder
MOST_ROWS = 100_000  # some 40 MB
REFERENCE_ROWS = 1000  # the first of each bundle, which stay: later ones are compared with them
WINDOW_ROWS, LAST = 100, 20  # answers that are compared at a time, and how many times by default
FIRST, TRAINING = AGAINST = ("first", "training")  # what they are compared with
LABELS = ("bonafide", "spoof")
NEEDED = {"llr", "verdict", "bundle", "models", "duration_s"}  # of an answer, to be kept
LATEST_S = 253_402_300_799.0  # of a time, since 1970: the year 9999
BY = ("file", "request_id")  # what answers are named by: the first that holds any counts


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

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> "Answered | None":
        """Return what a row of a record holds.

        Parameters
        ----------
        row : sequence
            The cells, in the order of `COLUMNS`.

        Returns
        -------
        Answered or None
            None for a row that is damaged: a cell of it holds what no service writes.
        """
        try:
            values = dict(zip(COLUMNS, row, strict=True))
            found = cls(**{**values, "models": json.loads(values["models"])})
            return found if found._is_whole() else None
        except MALFORMED:
            return None

    def _is_whole(self) -> bool:
        names = (self.request_id, self.file, self.bundle, self.channel)
        return (
            all(isinstance(each, str) and each.isprintable() for each in names)
            and 0 <= self.time <= LATEST_S
            and 0 <= self.channel_p <= 1
            and math.isfinite(self.llr)
            and self.verdict in VERDICTS
            and 0 <= self.duration_s < math.inf
            and all(
                p is None or (type(p) in (int, float) and 0 <= p <= 1) for p in self.models.values()
            )
            and self.label in ("", *LABELS)
            and type(self.rank) is int
            and self.rank >= 1
        )


COLUMNS = tuple(each.name for each in fields(Answered))
NAMES = ", ".join(COLUMNS)
COUNT = "INSERT INTO bundles VALUES (?, 1) ON CONFLICT (bundle) DO UPDATE SET answers = answers + 1"
ADD = (
    f"INSERT INTO answers ({NAMES}) VALUES ({'?, ' * (len(COLUMNS) - 1)}"  # noqa: S608  # ours
    "(SELECT answers FROM bundles WHERE bundle = ?))"
)
FORGET = "DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ? AND rank > ?"


def damaged_in_words(rows: int) -> str:
    """Return one sentence on rows that are left out."""
    return f"Rows of the record that are damaged, and left out: {rows}."


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
            As in `bonafide.monitoring.database.writing`.
        """
        with writing(self.path) as database, database:
            for each in answers:
                # the rank is looked up, by the bundle
                values = {**vars(each), "models": json.dumps(each.models), "rank": each.bundle}
                database.execute(COUNT, (each.bundle,))
                database.execute(ADD, tuple(values.values()))
            database.execute(FORGET, (self._most_rows, REFERENCE_ROWS))

    def read(self, bundle: str | None = None, since: float = 0.0) -> list[Answered]:
        """Return answers in the order in which they came, without the damaged rows.

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
            ``bad_record`` for what is no record.
        """
        return [each for each in self.look(bundle)[0] if each.time >= since]

    def look(self, bundle: str | None = None) -> tuple[list[Answered], int]:
        """Do as `read` does, and tell how many rows are left out.

        Parameters
        ----------
        bundle : str or None
            Content hash of the bundle whose answers are looked at; None for any.

        Returns
        -------
        answers : list of Answered
            As `read` returns them.
        damaged : int
            Rows that hold what no service writes.

        Raises
        ------
        StorageError
            ``bad_record`` for what is no record.
        """
        if not self.path.exists():
            return [], 0
        with reading(self.path) as (database, columns):
            names = (name if name in columns else f"'' AS {name}" for name in COLUMNS)
            query = f"SELECT {', '.join(names)} FROM answers"  # noqa: S608  # ours
            of_one, values = ("", ()) if bundle is None else (" WHERE bundle = ?", (bundle,))
            rows = database.execute(f"{query}{of_one} ORDER BY number", values).fetchall()
        whole = [each for row in rows if (each := Answered.of_row(row))]
        return whole, len(rows) - len(whole)

    def label(self, answer: str, label: str, by: Sequence[str] = BY) -> None:
        """Note what a person says of a recording; a later judgement replaces an earlier one.

        Parameters
        ----------
        answer : str
            The SHA-256 of a file, for all answers to it, or the ID of a request.
        label : {"bonafide", "spoof"}
            What the recording is.
        by : sequence of str
            Of `BY`, what ``answer`` may be.

        Raises
        ------
        BonafideError
            ``unknown_request`` if the record holds no such answer (any more), ``ambiguous_request``
            if clients sent several files under that ID; ``bad_name`` for a name that is blank,
            ``bad_label`` for another label.
        StorageError
            As in `bonafide.monitoring.database.writing`.
        """
        if label not in LABELS:
            raise BonafideError("bad_label", f"{label!r}: must be {' or '.join(LABELS)}")
        if not answer.strip():
            raise BonafideError(
                "bad_name", f"{answer!r}: must be an answer's X-Request-Id, or a file's SHA-256"
            )
        with writing(self.path) as database, database:
            for column in by:
                name = answer.lower() if column == "file" else answer
                if column == "request_id":
                    self._require_one(database, name)
                change = f"UPDATE answers SET label = ? WHERE {column} = ?"  # noqa: S608  # ours
                if database.execute(change, (label, name)).rowcount:
                    return
        raise BonafideError(
            "unknown_request",
            f"{self.path}: holds no answer to a request, or on a file, {answer!r}; it "
            f"keeps the newest {self._most_rows}",
        )

    def _require_one(self, database: sqlite3.Connection, request_id: str) -> None:
        """Raise ``ambiguous_request`` if answers under one ID are about several recordings."""
        query = "SELECT file, bundle FROM answers WHERE request_id = ?"
        rows = database.execute(query, (request_id,)).fetchall()
        files = {file for file, _ in rows} - {""}
        unnamed = Counter(bundle for file, bundle in rows if not file)  # of an older record
        if (n := len(files) + max(unnamed.values(), default=0)) > 1:
            raise BonafideError(
                "ambiguous_request",
                f"{request_id!r} covers {n} files, for clients repeated that ID: name one file by "
                "its SHA-256",
            )
