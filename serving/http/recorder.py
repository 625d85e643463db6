"""Answers on their way into the record: held in memory, and written in the background."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue

from bonafide.errors import BonafideError, ConfigError, StorageError
from bonafide.monitoring.record import Answered, Record
from serving.workers.supervise import TEND_S

log = logging.getLogger("bonafide.serve")
MOST_WAITING = 1000  # answers; more come only where the disk does not keep up


class Recorder:
    """Takes answers at once, and writes them later.

    Parameters
    ----------
    path : Path
        The record, made where it is not there.

    Raises
    ------
    ConfigError
        ``bad_setting`` if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            (record := Record(path)).add([])
        except StorageError as error:
            raise ConfigError("bad_setting", f"BONAFIDE_RECORD={error.message}") from error
        self._record, self._lost = record, False
        self._waiting = SimpleQueue[tuple[float, str, str, bytes]]()
        self._writing = threading.Lock()

    def add(self, request_id: str, sha256: str, body: bytes) -> None:
        """Take an answer; where writing lags far behind it is left out, and the log says so.

        Parameters
        ----------
        request_id : str
            Of the request.
        sha256 : str
            Of the file that it was about.
        body : bytes
            The answer, JSON.
        """
        lost = self._waiting.qsize() >= MOST_WAITING
        if not lost:
            self._waiting.put((time.time(), request_id, sha256, body))
        elif not self._lost:
            log.error("the record misses answers: %s is not written to", self._record.path)
        self._lost = lost

    async def label(self, answer: str, label: str, by: str) -> None:
        """Do as `Record.label` does, for an answer that may still be on its way there."""
        await asyncio.to_thread(self.write)
        try:
            await asyncio.to_thread(self._record.label, answer, label, (by,))
        except BonafideError as error:
            if error.code != "unknown_request":
                raise
            await asyncio.sleep(2 * TEND_S)  # another worker may have it
            await asyncio.to_thread(self._record.label, answer, label, (by,))

    async def keep(self) -> None:
        """Write what waits, again and again."""
        while True:
            await asyncio.sleep(TEND_S)
            await asyncio.to_thread(self.write)

    def close(self) -> None:
        """Write what waits; where that fails, the log says so."""
        try:
            self.write()
        except StorageError as error:
            log.error("the record misses answers: %s", error)

    def write(self) -> None:
        """Write what waits; what cannot be written waits on.

        It returns once what another thread has taken is written, too: the end must wait for that.

        Raises
        ------
        StorageError
            ``unwritable``.
        """
        with self._writing:
            self._write()

    def _write(self) -> None:
        taken = []
        with contextlib.suppress(Empty):
            while True:
                taken.append(self._waiting.get_nowait())
        answers = [Answered.of(*given, json.loads(body)) for *given, body in taken]
        try:
            if found := [each for each in answers if each is not None]:
                self._record.add(found)
        except BaseException:
            for each in taken:
                self._waiting.put(each)
            raise
