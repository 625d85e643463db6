"""A worker's end of the queue: the tickets of its requests, and the scorers' answers."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonafide.process.lifetime import process_is_gone
from serving.http.errors import ApiError
from serving.http.uploads import Upload
from serving.workers.folder import clear, enter, is_at
from serving.workers.queue import (
    ANSWER,
    HELLO,
    PIPE,
    TICKET,
    audio_path,
    open_queue,
    socket_path,
    taken_by,
    taken_path,
)

log = logging.getLogger("bonafide.serve")
ATTEMPTS = 2
ROOM_BYTES = 1 << 20
PING, PING_S = -1, 10.0  # its number, and the seconds after which another is sent


@dataclass(frozen=True)
class Reply:
    """What a scorer answers: see `serving.workers.scorer.answer`."""

    notes: dict[str, Any]
    body: bytes


class Exchange:
    """Passes requests to scorers and answers back.

    Parameters
    ----------
    folder : Path
        The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._worker = folder, os.getpid()
        self._socket = socket_path(folder, self._worker)
        self._requests: dict[int, asyncio.Future[Reply | None]] = {}
        self._tickets: dict[int, tuple[float, str]] = {}  # when written, and for which endpoint
        self._numbers = 0
        self._ping: asyncio.Future[Reply | None] | None = None
        self._pinged = 0.0
        self._opened = contextlib.ExitStack()
        self._queue = -1  # not open

    async def open(self) -> None:
        """Open the queue and the socket for answers; make what is missing.

        Raises
        ------
        ConfigError
            What `serving.workers.folder.enter` raises.
        OSError
            If there is no room for them.
        """
        with contextlib.ExitStack() as opened:
            self._held = enter(self.folder)
            opened.callback(os.close, self._held)
            clear(self.folder, {self._worker})  # and what workers left that were killed
            self._queue = open_queue(self.folder)
            opened.callback(os.close, self._queue)
            server = await asyncio.start_unix_server(self._take_answers, self._socket)
            opened.callback(server.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close them; a request that waits is answered 503."""
        self._opened.close()
        self._queue = -1  # its number is given to the next that is opened
        for waiter in self._requests.values():
            if not waiter.done():
                waiter.set_exception(lost())
        self._ping = None

    def is_intact(self) -> bool:
        """Return whether what is open is still what is there for scorers."""
        return (
            is_at(self._held, self.folder)
            and is_at(self._queue, self.folder / PIPE)
            and self._socket.is_socket()
        )

    def has_room(self) -> bool:
        """Return whether there is room for an upload, were it small."""
        disk = os.statvfs(self.folder)
        return not disk.f_blocks or disk.f_bavail * disk.f_frsize >= ROOM_BYTES

    @property
    def waiting(self) -> int:
        """Number of requests in the queue or with a scorer."""
        return len(self._requests)

    def new_upload(self) -> Upload:
        """Return a place for the audio of a new request."""
        self._numbers += 1
        return Upload(audio_path(self.folder, self._worker, self._numbers))

    async def answer(self, endpoint: str, upload: Upload, *, attempts: int = ATTEMPTS) -> Reply:
        """Ask a scorer, and another if it ends meanwhile: the upload may not be to blame.

        Parameters
        ----------
        endpoint : str
            Name of the endpoint that the upload was sent to.
        upload : Upload
            From `new_upload`.
        attempts : int
            How many scorers may end over it, at least 1.

        Returns
        -------
        Reply

        Raises
        ------
        ApiError
            ``decoder_crashed`` if so many scorers end; ``not_ready`` if the upload is not there.
        asyncio.CancelledError
            If the caller is cancelled; a scorer that works on it is killed first.
        """
        number = int(upload.path.stem.partition("-")[2])
        for _ in range(attempts):
            if not upload.path.exists():
                raise lost()
            waiter = self._requests[number] = asyncio.get_running_loop().create_future()
            try:
                self._tickets[number] = time.monotonic(), endpoint
                self._write(number, endpoint)
                reply = await waiter
            except asyncio.CancelledError:
                _end_work(upload.path)
                raise
            finally:
                del self._requests[number], self._tickets[number]
            if reply is not None:
                return reply
            log.warning("a scorer ended over a request")
        raise ApiError("decoder_crashed", "the upload crashes the decoder")

    def _write(self, number: int, endpoint: str = "") -> None:
        if self._queue < 0:
            raise lost()
        try:
            ticket = TICKET.pack(self._worker, number, time.monotonic(), endpoint.encode())
            os.write(self._queue, ticket)
        except BlockingIOError as error:  # tickets that no scorer has taken for long
            raise ApiError("not_ready", "no scorer takes requests", retry_after_s=1) from error

    async def is_heard(self, limit_s: float) -> bool:
        """Return whether a scorer of any worker answers within `limit_s` seconds, or works."""
        now = time.monotonic()
        if self._ping is not None and self._ping.done():
            self._write_again(self._pinged)
        if self._ping is None or self._ping.done() or now - self._pinged > PING_S:
            self._ping, self._pinged = asyncio.get_running_loop().create_future(), now
            self._write(PING)
        heard, _ = await asyncio.wait({self._ping}, timeout=limit_s)
        at_work = (path.suffix[1:] for path in self.folder.glob("*-*.[0-9]*"))
        return bool(heard) or not all(map(process_is_gone, at_work))

    def _write_again(self, before: float) -> None:
        """Write tickets again that ended with a scorer before it began.

        All that was written before a ticket that is answered has been read. One too many does no
        harm.
        """
        for number, (written, endpoint) in self._tickets.items():
            if written < before and audio_path(self.folder, self._worker, number).exists():
                self._write(number, endpoint)

    async def _take_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Receive the answers of one scorer until it ends; what it worked on is queued again."""
        scorer = 0
        try:
            (scorer,) = HELLO.unpack(await reader.readexactly(HELLO.size))
            while True:
                number, *sizes = ANSWER.unpack(await reader.readexactly(ANSWER.size))
                notes, body = [await reader.readexactly(size) for size in sizes]
                audio = audio_path(self.folder, self._worker, number)
                taken_path(audio, scorer).unlink(missing_ok=True)
                if notes:
                    self._settle(number, Reply(json.loads(notes), body))
                elif number == PING or not (audio.exists() or taken_by(audio)):
                    self._settle(number, None)
        except (OSError, EOFError):
            for taken in self.folder.glob(f"{self._worker}-*.{scorer}"):
                number = int(taken.stem.partition("-")[2])
                with contextlib.suppress(OSError):  # the folder is gone
                    if number in self._requests:
                        taken.rename(audio_path(self.folder, self._worker, number))
                        self._settle(number, None)
                    else:
                        taken.unlink()
        finally:
            writer.close()

    def _settle(self, number: int, reply: Reply | None) -> None:
        waiter = self._ping if number == PING else self._requests.get(number)
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)


def _end_work(audio: Path) -> None:
    for scorer, path in taken_by(audio).items():
        log.warning("a scorer is killed at the deadline")
        with contextlib.suppress(ProcessLookupError):
            os.kill(scorer, signal.SIGKILL)
        path.unlink(missing_ok=True)


def lost() -> ApiError:
    """Return the answer to a request whose upload is gone, through no fault of its own."""
    return ApiError("not_ready", "the upload was lost in the service; try again", retry_after_s=1)
