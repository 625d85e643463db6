"""Where jobs lie until they are answered, and their answers for a while: a folder, with SQLite.

Whoever works on a job holds a lock that ends with its process. So what a killed worker had in hand
is found by the next one that looks, and nothing else is.
"""

import fcntl
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonafide.errors import StorageError
from bonafide.monitoring.database import make_private
from serving.workers.folder import is_at

DATABASE = "jobs.sqlite"
WAIT_S = 30.0  # for another worker that writes
MOST_TRIES = 10  # workers that may end over one job
RETRY_S = (1.0, 10.0, 60.0, 600.0, 3_600.0)  # after each failure to tell the callback
GIVEN_UP = json.dumps(
    {"code": "decoder_crashed", "message": f"the service ended {MOST_TRIES} times over it"}
)
TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, endpoint TEXT NOT NULL, created REAL NOT NULL,
    status TEXT NOT NULL, worker TEXT NOT NULL, tries INTEGER NOT NULL, finished REAL NOT NULL,
    answer TEXT NOT NULL, callback TEXT NOT NULL, told TEXT NOT NULL, told_by TEXT NOT NULL,
    attempts INTEGER NOT NULL, next REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_status ON jobs (status, number);
CREATE INDEX IF NOT EXISTS by_told ON jobs (told, next);
"""


@dataclass(frozen=True)
class Job:
    """A recording that is to be answered, or was: a row of the table.

    Parameters
    ----------
    number : int
        Its place among all.
    id : str
        What it is asked for by; cannot be guessed.
    owner : str
        Name of the key that sent it; empty without keys.
    endpoint : str
        Name of the endpoint that answers.
    created, finished : float
        Seconds since 1970; 0 for not yet.
    status : str
        ``arriving``, ``queued``, ``running``, ``done`` or ``failed``.
    worker : str
        Which one has it.
    tries : int
        How many have had it.
    answer : str
        JSON of the answer, or of ``{"code", "message"}`` where it failed; empty until then.
    callback : str
        A URL that gets the answer; empty for none.
    told : str
        What came of that: ``pending``, ``sending``, ``delivered`` or ``failed``; empty for none.
    told_by : str
        Which worker sends it.
    attempts : int
        How often it was sent.
    next : float
        When it may be sent.
    """

    number: int
    id: str
    owner: str
    endpoint: str
    created: float
    status: str
    worker: str
    tries: int
    finished: float
    answer: str
    callback: str
    told: str
    told_by: str
    attempts: int
    next: float


class Store:
    """The folder of jobs, as one worker uses it.

    Parameters
    ----------
    folder : Path
        Made if it is missing, for its owner alone.

    Raises
    ------
    StorageError
        ``unwritable`` if it cannot be used, here and in every method.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._name = f"worker-{secrets.token_hex(8)}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._locked(folder / self._name)
        except OSError as error:
            raise StorageError("unwritable", f"{folder}: cannot be used: {error}") from error
        self.waiting()  # which it can, or says so

    @staticmethod
    def _locked(path: Path) -> int:
        """Return a lock that nobody has taken for one that was left behind."""
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if is_at(lock, path):
                return lock
            os.close(lock)

    def close(self) -> None:
        """Let go of what this worker has in hand; it waits again."""
        with self._opened() as database:
            self._take_back_from(database, self._name)
        with suppress(OSError):
            (self.folder / self._name).unlink(missing_ok=True)
        os.close(self._lock)

    def audio(self, job_id: str) -> Path:
        """Return the file of a job's recording; it is there until the job is finished."""
        return self.folder / f"{job_id}.audio"

    @staticmethod
    def new_id() -> str:
        """Return a name that cannot be guessed."""
        return secrets.token_urlsafe(16)

    # --- from the outside -------------------------------------------------------------------------

    def begin(self, job_id: str, owner: str, endpoint: str, callback: str) -> None:
        """Note a job whose recording arrives; until `accept` it ends with this worker."""
        told = "pending" if callback else ""
        self._change(
            "INSERT INTO jobs (id, owner, endpoint, created, callback, told, status, worker, "
            "tries, finished, answer, told_by, attempts, next) "
            "VALUES (?, ?, ?, ?, ?, ?, 'arriving', ?, 0, 0, '', '', 0, 0)",
            *(job_id, owner, endpoint, time.time(), callback, told, self._name),
        )

    def accept(self, job_id: str) -> None:
        """Take a job whose recording lies there whole: from now on it is answered."""
        self._change("UPDATE jobs SET status = 'queued', worker = '' WHERE id = ?", job_id)

    def find(self, job_id: str) -> Job | None:
        """Return a job; None if there is none (any more)."""
        return self._one("SELECT * FROM jobs WHERE id = ?", job_id)

    def remove(self, job_id: str) -> None:
        """Forget a job and its recording; what works on it finds it gone."""
        self._change("DELETE FROM jobs WHERE id = ?", job_id)
        self.audio(job_id).unlink(missing_ok=True)

    def waiting(self) -> int:
        """Return how many jobs are not finished."""
        with self._opened() as database:
            query = "SELECT count(*) FROM jobs WHERE finished = 0"
            return int(database.execute(query).fetchone()[0])

    # --- work -------------------------------------------------------------------------------------

    def claim(self, endpoints: Collection[str]) -> Job | None:
        """Take the oldest job that waits for one of these endpoints; None if none does."""
        return self._one(
            "UPDATE jobs SET status = 'running', worker = ?, tries = tries + 1 WHERE number = "
            "(SELECT number FROM jobs WHERE status = 'queued' AND endpoint IN "
            "(SELECT value FROM json_each(?)) ORDER BY number LIMIT 1) RETURNING *",
            *(self._name, json.dumps(list(endpoints))),
        )

    def finish(self, job: Job, status: str, answer: str) -> bool:
        """Keep the answer to a job, once; its recording goes.

        Parameters
        ----------
        job : Job
            From `claim`.
        status : {"done", "failed"}
            What came of it.
        answer : str
            JSON.

        Returns
        -------
        bool
            Whether it was this worker's to answer: not if it was removed meanwhile.
        """
        is_kept = self._change(
            "UPDATE jobs SET status = ?, answer = ?, finished = ? WHERE id = ? AND worker = ? "
            "AND status = 'running'",
            *(status, answer, time.time(), job.id, self._name),
        )
        if is_kept:  # else it may be another's by now
            self.audio(job.id).unlink(missing_ok=True)
        return is_kept

    def give_back(self, job: Job) -> None:
        """Let a job wait again, for any worker: it could not be tried."""
        self._change(
            "UPDATE jobs SET status = 'queued', worker = '', tries = tries - 1 "
            "WHERE id = ? AND worker = ? AND status = 'running'",
            *(job.id, self._name),
        )

    def claim_callback(self) -> Job | None:
        """Take the next finished job whose callback is due, for this worker; None if none is."""
        return self._one(
            "UPDATE jobs SET told = 'sending', told_by = ?, attempts = attempts + 1 WHERE number = "
            "(SELECT number FROM jobs WHERE told = 'pending' AND finished > 0 AND next <= ? "
            "ORDER BY next, number LIMIT 1) RETURNING *",
            *(self._name, time.time()),
        )

    def called(self, job: Job, *, delivered: bool, final: bool = False) -> None:
        """Note what came of a callback; one that failed is tried again, a few times.

        Parameters
        ----------
        job : Job
            From `claim_callback`.
        delivered : bool
            Whether it was taken.
        final : bool
            Whether it need not be tried again.
        """
        told, later = "delivered", 0.0
        if not delivered:
            again = not final and job.attempts <= len(RETRY_S)
            told = "pending" if again else "failed"
            later = time.time() + RETRY_S[job.attempts - 1] if again else 0.0
        self._change(
            "UPDATE jobs SET told = ?, told_by = '', next = ? WHERE id = ? AND told_by = ?",
            *(told, later, job.id, self._name),
        )

    # --- order ------------------------------------------------------------------------------------

    def take_back(self) -> None:
        """Let wait again what workers had in hand that are gone; give up what many ended over."""
        if not is_at(self._lock, self.folder / self._name):  # the folder was made anew
            with self._opened():  # which says so where there is no folder
                old, self._lock = self._lock, self._locked(self.folder / self._name)
            os.close(old)
        with self._opened() as database:
            owners = database.execute(
                "SELECT worker FROM jobs WHERE status IN ('arriving', 'running') UNION "
                "SELECT told_by FROM jobs WHERE told = 'sending'"
            ).fetchall()
            for (worker,) in owners:
                if not self._lives(worker):
                    self._take_back_from(database, worker)

    def _take_back_from(self, database: sqlite3.Connection, worker: str) -> None:
        broken_off = database.execute(
            "DELETE FROM jobs WHERE worker = ? AND status = 'arriving' RETURNING id", (worker,)
        )
        for (job_id,) in broken_off.fetchall():
            self.audio(job_id).unlink(missing_ok=True)
        database.execute(
            "UPDATE jobs SET worker = '', status = 'failed', answer = ?, finished = ? "
            "WHERE worker = ? AND status = 'running' AND tries >= ?",
            (GIVEN_UP, time.time(), worker, MOST_TRIES),
        )
        database.execute(
            "UPDATE jobs SET worker = '', status = 'queued' "
            "WHERE worker = ? AND status = 'running'",
            (worker,),
        )
        database.execute(
            "UPDATE jobs SET told = 'pending', told_by = '' WHERE told_by = ?", (worker,)
        )

    def sweep(self, keep_s: float) -> None:
        """Forget jobs that were finished long ago, and files that no job has.

        Parameters
        ----------
        keep_s : float
            Seconds that an answer is kept.
        """
        there = list(self.folder.glob("*.audio"))  # first: a job is known before its recording
        with self._opened() as database:
            database.execute(
                "DELETE FROM jobs WHERE finished > 0 AND finished < ? "
                "AND told NOT IN ('pending', 'sending')",
                (time.time() - keep_s,),
            )
            rows = database.execute("SELECT id FROM jobs WHERE finished = 0")
            known = {job_id for (job_id,) in rows}
        for path in there:
            if path.stem not in known:
                path.unlink(missing_ok=True)
        for path in self.folder.glob("worker-*"):
            self._lives(path.name)

    def _lives(self, worker: str) -> bool:
        """Return whether a worker runs; what is left of one that does not is removed."""
        path = self.folder / worker
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # this worker's own, too
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(lock)

    def _change(self, query: str, *values: Any) -> bool:
        """Change what a query says; return whether there was something to change."""
        with self._opened() as database:
            return database.execute(query, values).rowcount > 0

    def _one(self, query: str, *values: Any) -> Job | None:
        with self._opened() as database:
            row = database.execute(query, values).fetchone()
        return Job(*row) if row else None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the database; each statement is a transaction of its own."""
        path = self.folder / DATABASE
        try:
            is_new = make_private(path)
            with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as database:
                if is_new or not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                    database.execute("PRAGMA journal_mode = WAL")
                    database.executescript(TABLES)
                yield database
        except (sqlite3.Error, OSError) as error:
            raise StorageError("unwritable", f"{path}: cannot be used: {error}") from error
