"""The files of the metrics: they outlive their worker, and never end or fail one.

The Prometheus client maps a file for each kind of metric and process into memory. As it has it, a
file grows while it is written, and a full disk then ends the process (SIGBUS); files of workers
that are gone stay for ever, with the requests that they had in hand; and a file that a cleaner
removed is never read again.
"""

import contextlib
import logging
import mmap
import os
import struct
from pathlib import Path
from typing import IO, Any

import prometheus_client.values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

from bonafide.process.lifetime import process_is_gone
from serving.workers.folder import is_at

log = logging.getLogger("bonafide.serve")
SIZE = 1 << 19  # bytes of a file; some 2,000 values
ENTRY_BYTES = 64  # more than a value takes beside its name
_USED = struct.Struct("i")  # at the start of a file: bytes that are in use, these included


class Values(MmapedDict):
    """The values of one kind: in a file while there is one, in memory alone until then.

    Parameters
    ----------
    filename : str
        Values that it holds already are gone on with.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        self._fname, self._capacity = filename, SIZE
        self._f: IO[bytes] | None = None
        self._m: Any = mmap.mmap(-1, SIZE)
        self._m[: _USED.size] = _USED.pack(2 * _USED.size)
        with contextlib.suppress(OSError):
            content = Path(filename).read_bytes()
            self._m[: len(content)] = content
        (self._used,) = _USED.unpack_from(self._m)
        self._positions = {key: place for key, _, _, place in self._read_all_values()}
        self._is_full = False
        _all.append(self)
        self.keep_file()

    def keep_file(self) -> None:
        """Move to the file, all of whose room is taken at once, unless that is where they are."""
        path = Path(self._fname)
        if self._f is not None and is_at(self._f.fileno(), path):
            return
        draft = path.with_name(f".{path.name}")
        try:
            draft.write_bytes(self._m[:])
            file = draft.open("r+b")
            draft.replace(path)
        except OSError:  # no room, or no folder; `Counters.tend` tries again
            with contextlib.suppress(OSError):
                draft.unlink()
            return
        self._m = mmap.mmap(file.fileno(), SIZE)
        if self._f is not None:
            self._f.close()
        self._f = file

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a value and its time."""
        return super().read_value(key) if self._has_room(key) else (0.0, 0.0)

    def write_value(self, key: str, value: float, timestamp: float | None) -> None:
        """Set a value and its time."""
        if self._has_room(key):
            super().write_value(key, value, timestamp)

    def _has_room(self, key: str) -> bool:
        if key in self._positions or self._used + len(key.encode()) + ENTRY_BYTES <= SIZE:
            return True
        if not self._is_full:
            log.warning("%s is full: new metrics are left out", self._fname)
        self._is_full = True
        return False


_all: list[Values] = []  # those of this process


class Counters:
    """The folder with the files of all workers.

    Parameters
    ----------
    folder : Path
        Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_environment(cls) -> "Counters":
        """Return those that BentoML has named to this worker."""
        return cls(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))

    def begin(self) -> None:
        """Take over the counters of a worker that is gone; to be called before any metric is made.

        So that what it counted stays counted, and one file does not follow another.
        """
        mark_process_dead(os.getpid(), str(self._folder))  # its number was given again
        self._drop_gauges()
        for path in self._folder.glob("*.db"):
            kind, _, worker = path.stem.rpartition("_")
            own = path.with_name(f"{kind}_{os.getpid()}.db")
            if process_is_gone(worker) and not own.exists():
                with contextlib.suppress(FileNotFoundError):  # another worker was faster
                    path.rename(own)
        prometheus_client.values.MmapedDict = Values  # type: ignore[misc]

    def tend(self) -> None:
        """Put files back that have vanished, and drop the gauges of workers that are gone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for values in _all:
            values.keep_file()
        self._drop_gauges()

    def _drop_gauges(self) -> None:
        workers = {path.stem.rpartition("_")[2] for path in self._folder.glob("gauge_live*.db")}
        for worker in filter(process_is_gone, workers):
            mark_process_dead(worker, str(self._folder))
