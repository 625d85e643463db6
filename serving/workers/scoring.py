"""A worker's side of scoring: its requests in the queue, and the scorer that it keeps running."""

import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import time
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bonafide.audio import Limits
from bonafide.bundle import Bundle
from bonafide.errors import BonafideError
from bonafide.home import find_bundle, production_stamp
from bonafide.process.confine import ConfinedError, end, start_confined
from serving.http.errors import ApiError
from serving.http.uploads import Upload
from serving.settings import Settings
from serving.workers.queue import (
    ANSWER,
    HELLO,
    TICKET,
    audio_path,
    clear,
    leave,
    open_queue,
    run_folder,
    socket_path,
    taken_by,
    taken_path,
)

log = logging.getLogger("bonafide.serve")
START_S = 60.0
PAUSE_S = 1.0
ATTEMPTS = 2


@dataclass(frozen=True)
class Reply:
    """What a scorer answers: see `serving.workers.scorer.answer`."""

    notes: dict[str, Any]
    body: bytes


async def start_scorer(
    folder: Path, bundle: Bundle, settings: Settings
) -> asyncio.subprocess.Process:
    """Start a scorer and wait until it takes tickets.

    Parameters
    ----------
    folder : Path
        Where the queue is.
    bundle : Bundle
        The one to score with.
    settings : Settings
        The limits on recordings and memory.

    Returns
    -------
    asyncio.subprocess.Process

    Raises
    ------
    ConfinedError
        If it ends instead, or takes longer than the `START_S` limit.
    """
    limits = Limits(
        max_duration_s=settings.max_duration_s,
        max_rate_hz=settings.max_rate_hz,
        max_channels=settings.max_channels,
    )
    return await start_confined(
        "serving.workers.scorer",
        *(str(folder), str(bundle.folder)),
        *(json.dumps(asdict(limits)), str(round(settings.scorer_mb * 1e6))),
        limit_s=START_S,
    )


class Scoring:
    """Scores requests; replaces the scorer when it ends; follows the bundle in production.

    Parameters
    ----------
    settings : Settings
        Of the service.
    home : Path
        Where the bundle in production is, unless the settings name another.
    """

    def __init__(self, settings: Settings, home: Path) -> None:
        self.settings, self._home = settings, home
        self._requests: dict[int, asyncio.Future[Reply | None]] = {}
        self._numbers = 0
        self._service_s = 0.01  # seconds a request takes, smoothed
        self._tasks: set[asyncio.Task[None]] = set()
        self._bundle: Bundle | None = None
        self._opened = contextlib.ExitStack()  # what `close` closes, however far `start` got

    async def start(self) -> None:
        """Load the bundle, open the queue and start the scorer.

        Raises
        ------
        BonafideError
            What `bonafide.home.find_bundle` and `serving.workers.queue.run_folder` raise.
        ConfinedError
            If no scorer starts.
        """
        self._stamp = production_stamp(self._home)
        bundle = find_bundle(self._home, self.settings.bundle_folder)
        self._folder = run_folder(os.getppid())
        self._opened.callback(leave, self._folder, os.getpid())
        clear(self._folder)  # what a worker left that was killed
        self._queue = open_queue(self._folder)
        self._opened.callback(os.close, self._queue)
        path = socket_path(self._folder, os.getpid())
        server = await asyncio.start_unix_server(self._take_answers, path)
        self._opened.callback(server.close)
        self._scorer = await start_scorer(self._folder, bundle, self.settings)
        self._bundle = bundle
        self._in_background(self._keep_running())
        if self.settings.bundle_folder is None:
            self._in_background(self._follow())

    async def close(self) -> None:
        """End the scorer and the background work, and leave nothing behind."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.ready:
            await end(self._scorer)
        self._opened.close()

    @property
    def bundle(self) -> Bundle:
        """The bundle that this worker's scorer answers with."""
        assert self._bundle is not None
        return self._bundle

    @property
    def ready(self) -> bool:
        """Whether the scorer has started."""
        return self._bundle is not None

    @property
    def waiting(self) -> int:
        """Number of requests in the queue or with a scorer."""
        return len(self._requests)

    def check_room(self) -> None:
        """Check that one more request may wait.

        Raises
        ------
        ApiError
            ``busy`` if the queue is full.
        """
        if self.waiting > self.settings.queue:
            wait_s = max(1, math.ceil(self.waiting * self._service_s))
            raise ApiError(
                "busy", f"{self.waiting} requests are waiting; try again", retry_after_s=wait_s
            )

    def new_upload(self) -> Upload:
        """Return a place for the audio of a new request."""
        self._numbers += 1
        return Upload(audio_path(self._folder, os.getpid(), self._numbers))

    async def score(self, endpoint: str, upload: Upload, *, entitled: bool = False) -> Reply:
        """Have an upload scored.

        Parameters
        ----------
        endpoint : str
            Name of the endpoint that it was sent to.
        upload : Upload
            From `new_upload`.
        entitled : bool
            Score it even where the queue is full.

        Returns
        -------
        Reply

        Raises
        ------
        ApiError
            ``busy``, ``deadline`` or ``decoder_crashed``.
        """
        if not entitled:
            self.check_room()
        start = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                reply = await self._until_answered(endpoint.encode(), upload)
        except TimeoutError as error:
            message = f"scoring took longer than the {self.settings.deadline_s:g} s limit"
            raise ApiError("deadline", message) from error
        took_s = time.monotonic() - start - reply.notes["timings"]["wait"]
        self._service_s += 0.1 * (took_s - self._service_s)
        return reply

    async def _until_answered(self, endpoint: bytes, upload: Upload) -> Reply:
        """Ask a scorer, and once more if it ends meanwhile: the upload may not be to blame."""
        number = int(upload.path.stem.partition("-")[2])
        for _ in range(ATTEMPTS):
            waiter = self._requests[number] = asyncio.get_running_loop().create_future()
            try:
                ticket = TICKET.pack(os.getpid(), number, time.monotonic(), endpoint)
                os.write(self._queue, ticket)
                reply = await waiter
            except asyncio.CancelledError:
                for scorer, path in taken_by(upload.path).items():
                    log.warning("a scorer is killed at the deadline")
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(scorer, signal.SIGKILL)
                    path.unlink(missing_ok=True)
                raise
            finally:
                del self._requests[number]
            if reply is not None:
                return reply
            log.warning("a scorer ended over a request")
        raise ApiError("decoder_crashed", "the upload crashes the decoder")

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
                self._answer(number, Reply(json.loads(notes), body))
        except (OSError, EOFError):
            for number in list(self._requests):
                audio = audio_path(self._folder, os.getpid(), number)
                with contextlib.suppress(FileNotFoundError):
                    taken_path(audio, scorer).rename(audio)
                    self._answer(number, None)
        finally:
            writer.close()

    def _answer(self, number: int, reply: Reply | None) -> None:
        waiter = self._requests.get(number)
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work ended: %r", error)

    async def _keep_running(self) -> None:
        """Start another scorer whenever this one ends."""
        while True:
            process = self._scorer
            await process.wait()
            if process is not self._scorer:  # a reload has put another in its place
                continue
            try:
                self._scorer = await start_scorer(self._folder, self.bundle, self.settings)
            except ConfinedError as error:
                log.error("%s", error)
                await asyncio.sleep(PAUSE_S)

    async def _follow(self) -> None:
        """Serve each bundle that is promoted, without losing a request."""
        while True:
            await asyncio.sleep(self.settings.watch_s)
            if (stamp := production_stamp(self._home)) == self._stamp:
                continue
            self._stamp = stamp
            try:
                bundle = await asyncio.to_thread(find_bundle, self._home)
                fresh = await start_scorer(self._folder, bundle, self.settings)
            except BonafideError as error:
                log.error("the promoted bundle is not served, the old one stays: %s", error)
                continue
            old, self._scorer, self._bundle = self._scorer, fresh, bundle
            if old.returncode is None:
                old.terminate()  # it finishes its request first
            log.info("now serving bundle %s version %s", *_name(bundle))


def _name(bundle: Bundle) -> tuple[str, str]:
    return bundle.identity["name"], bundle.identity["version"]
