"""The SQLite file of a record, opened to be read or written; what is no record is refused."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from bonafide.errors import StorageError

WAIT_S = 30.0  # for another worker that writes
BESIDE = ("-journal", "-wal", "-shm")  # what SQLite adds to the name, for files of its own
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
# Columns that every record has; those from before files were named have no ``file``.
OURS = {
    *("number", "time", "request_id", "bundle", "channel", "channel_p", "llr", "verdict"),
    *("duration_s", "models", "label", "rank"),
}


@contextmanager
def reading(path: Path) -> Iterator[tuple[sqlite3.Connection, frozenset[str]]]:
    """Open a record to read it, and change nothing.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    database : sqlite3.Connection
        Text that is no UTF-8 has surrogates (PEP 383).
    columns : frozenset of str
        Of the table ``answers``.

    Raises
    ------
    StorageError
        ``bad_record`` for what is no record, or cannot be read.
    """
    try:
        with closing(_readable(path)) as database:
            yield database, _require_ours(database, path)
    except sqlite3.Error as error:
        raise StorageError("bad_record", f"{path}: cannot be read: {error}") from error


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a record to write to it; an empty file, or none, becomes a record.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    sqlite3.Connection
        As `reading` does.

    Raises
    ------
    StorageError
        ``bad_record`` for another program's database, ``unwritable`` for what cannot be written.
    """
    try:
        make_private(path)
        with closing(sqlite3.connect(path, timeout=WAIT_S)) as database:
            database.text_factory = _text
            if database.execute("SELECT 1 FROM sqlite_master").fetchone():
                _require_ours(database, path)
            database.executescript(TABLES)
            _add_file(database)
            yield database
    except (sqlite3.Error, OSError) as error:
        raise StorageError("unwritable", f"{path}: cannot be used: {error}") from error


def make_private(path: Path) -> bool:
    """Make an empty file for its owner alone; one that is there is not even opened.

    Closing any descriptor of a database takes the locks away that other threads hold on it
    (sqlite.org/howtocorrupt.html, 2.2).

    Returns
    -------
    bool
        Whether it was made.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return True
    return False


def _readable(path: Path) -> sqlite3.Connection:
    try:
        return _opened(path, "mode=ro")
    except sqlite3.OperationalError as error:
        wal = Path(f"{path}-wal")
        if error.sqlite_errorname == "SQLITE_READONLY_ROLLBACK":
            return _opened(path, "mode=rw")  # what a killed worker left half done is taken back
        if path.is_file() and not (wal.exists() and wal.stat().st_size):
            return _opened(path, "mode=ro&immutable=1")  # on media where no lock can be had
        raise


def _opened(path: Path, how: str) -> sqlite3.Connection:
    """Open a file that is there; the first query tells whether it can be read."""
    name = quote(os.fsencode(path.absolute()))
    database = sqlite3.connect(f"file:{name}?{how}", uri=True, timeout=WAIT_S)
    try:
        database.text_factory = _text
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _require_ours(database: sqlite3.Connection, path: Path) -> frozenset[str]:
    """Return the columns of the table of answers, or raise ``bad_record``."""
    columns = frozenset(row[1] for row in database.execute("PRAGMA table_info(answers)"))
    if not columns >= OURS:
        raise StorageError(
            "bad_record",
            f"{path}: no record of answers, but something else; must be what a service writes that "
            "is started with BONAFIDE_RECORD=FILE",
        )
    return columns


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def _add_file(database: sqlite3.Connection) -> None:
    """Add the column that records had not from the start, and its index."""
    if "by_file" in {row[1] for row in database.execute("PRAGMA index_list(answers)")}:
        return
    with database:
        database.execute("BEGIN IMMEDIATE")  # one worker alone
        if "file" not in {row[1] for row in database.execute("PRAGMA table_info(answers)")}:
            database.execute("ALTER TABLE answers ADD COLUMN file TEXT NOT NULL DEFAULT ''")
        database.execute("CREATE INDEX IF NOT EXISTS by_file ON answers (file)")
