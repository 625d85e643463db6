"""What ingestion found in files, by the hash of each: a file that is known is not decoded again.

The suffix counts too, since some formats are told by it alone.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from bonafide.artifact import sha256_of
from bonafide.errors import AudioError, StorageError

DECODERS = ("av", "numpy", "soundfile", "soxr")  # packages that decide what is found
PASSING = ("unreadable", "decoder_crashed")  # reasons that may be gone the next time
WAIT_S = 60.0  # for another run that writes
TABLE = """
CREATE TABLE IF NOT EXISTS examined (
    file TEXT PRIMARY KEY, code TEXT NOT NULL, found TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Examined:
    """Hashes of a file and of its sound, with measures; or the reason not to use it.

    Parameters
    ----------
    file_sha256, sound_sha256 : str
        Empty where there is none.
    measures : ndarray of float64, shape (n_measures,), or None
        In the order of `bonafide.training.recordings.MEASURES`.
    error : AudioError or None
        The reason.
    """

    file_sha256: str = ""
    sound_sha256: str = ""
    measures: NDArray[np.float64] | None = None
    error: AudioError | None = None


class Memory:
    """What was found in files, kept in SQLite.

    What other code found, or other versions of `DECODERS`, is forgotten.

    Parameters
    ----------
    path : Path
        The database, made where it is not there. One that is damaged is begun anew.
    code : Sequence of Path
        The files of the code that examines.
    """

    def __init__(self, path: Path, code: Sequence[Path]) -> None:
        self._path, self._checked = path, False
        versions = [f"{name} {version(name)}" for name in DECODERS]
        versions += [soundfile.__libsndfile_version__, repr(sorted(av.library_versions.items()))]
        self._code = sha256_of(*versions, *(file.read_bytes() for file in code))

    def recall(self, files: Mapping[str, str]) -> dict[str, Examined]:
        """Return what is known of some files.

        Parameters
        ----------
        files : mapping of str to str
            Path -> SHA-256 of what lies there.

        Returns
        -------
        dict of str to Examined
            By path; errors name this path.
        """
        query = "SELECT found FROM examined WHERE file = ? AND code = ?"
        with self._open() as database:
            rows = {
                path: database.execute(query, (_key(path, sha256), self._code)).fetchone()
                for path, sha256 in files.items()
            }
        return {path: _read(path, files[path], *row) for path, row in rows.items() if row}

    def keep(self, examined: Iterable[tuple[str, Examined]]) -> None:
        """Remember what was found in files, by path; reasons that may pass are left out.

        Parameters
        ----------
        examined : iterable of (str, Examined)
            Path, and what was found there.
        """
        rows = [
            (_key(path, each.file_sha256), self._code, _written(path, each))
            for path, each in examined
            if each.file_sha256 and not (each.error and _may_pass(path, each.error))
        ]
        with self._open() as database, database:
            database.execute("DELETE FROM examined WHERE code != ?", (self._code,))
            database.executemany("INSERT OR REPLACE INTO examined VALUES (?, ?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not self._checked and self._path.exists() and not _is_database(self._path):
                self._path.unlink()
            self._checked = True  # it is read to its end for that: once
            with closing(sqlite3.connect(self._path, timeout=WAIT_S)) as database:
                database.execute(TABLE)
                yield database
        except sqlite3.Error as error:
            raise StorageError("unwritable", f"{self._path}: cannot be used: {error}") from error


def _is_database(path: Path) -> bool:
    """Return whether SQLite reads a file to its end; False for what a full disk may leave."""
    with closing(sqlite3.connect(path, timeout=WAIT_S)) as database:
        try:
            return database.execute("PRAGMA quick_check").fetchone() == ("ok",)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False


def _key(path: str, sha256: str) -> str:
    return sha256 + Path(path).suffix.lower()


def _may_pass(path: str, error: AudioError) -> bool:
    return error.code in PASSING or not error.message.startswith(path)


def _written(path: str, examined: Examined) -> str:
    if examined.error:
        message = examined.error.message.removeprefix(path)
        return json.dumps({"code": examined.error.code, "message": message})
    assert examined.measures is not None
    return json.dumps({"sound": examined.sound_sha256, "measures": examined.measures.tolist()})


def _read(path: str, sha256: str, text: str) -> Examined:
    found = json.loads(text)
    if "code" in found:
        return Examined(sha256, error=AudioError(found["code"], path + found["message"]))
    return Examined(sha256, found["sound"], np.array(found["measures"], dtype=np.float64))
