"""One worker's scorer: who may ask it, how long it may take, and what replaces it."""

import asyncio
import json
import logging
import math
import os
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bonafide.audio import Limits
from bonafide.bundle import Bundle
from bonafide.errors import BonafideError
from bonafide.home import find_bundle, production_stamp
from serving.refusals import Refusal
from serving.scorer import ANSWER, QUESTION
from serving.settings import Settings
from serving.uploads import Upload

log = logging.getLogger("bonafide.serve")
START_S = 60.0


class ScorerGoneError(Exception):
    """The scorer's process has ended."""


class Scorer:
    """A running `serving.scorer`, seen from the worker."""

    def __init__(
        self, bundle: Bundle, process: asyncio.subprocess.Process, connection: socket.socket
    ) -> None:
        self.bundle, self._process, self._connection = bundle, process, connection

    @classmethod
    async def start(cls, bundle: Bundle, settings: Settings) -> "Scorer":
        """Start one and wait until it has loaded the bundle.

        Raises
        ------
        ScorerGoneError
            If it ends instead, or takes more than a minute.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        limits = Limits(
            max_duration_s=settings.max_duration_s,
            max_rate_hz=settings.max_rate_hz,
            max_channels=settings.max_channels,
        )
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "serving.scorer", str(theirs.fileno())),
                *(str(bundle.folder), json.dumps(asdict(limits))),
                str(round(settings.scorer_mb * 1e6)),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,  # decoders print what a file makes them print
                cwd=Path(__file__).resolve().parent.parent,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        scorer = cls(bundle, process, ours)
        try:
            async with asyncio.timeout(START_S):
                await scorer._receive()
        except (TimeoutError, ScorerGoneError) as error:
            await scorer.stop()
            raise ScorerGoneError(f"no scorer starts with {bundle.folder}") from error
        except asyncio.CancelledError:
            await scorer.stop()
            raise
        return scorer

    async def ask(self, upload: Upload) -> dict[str, Any]:
        """Score an upload; gives what `serving.scorer.answer` gives.

        Raises
        ------
        ScorerGoneError
            If the process ends before it has answered.
        """
        loop = asyncio.get_running_loop()
        try:
            if upload.file is None:
                head = QUESTION.pack(upload.size)
                await loop.sock_sendall(self._connection, head + upload.content)
            else:  # few bytes into an empty socket: this does not block
                head, files = QUESTION.pack(0), [upload.file.fileno()]
                socket.send_fds(self._connection, [head], files)
            return json.loads(await self._receive())
        except OSError as error:
            raise ScorerGoneError from error

    async def _receive(self) -> bytes:
        (size,) = ANSWER.unpack(await self._exactly(ANSWER.size))
        return await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        loop, content = asyncio.get_running_loop(), b""
        while len(content) < size:
            piece = await loop.sock_recv(self._connection, size - len(content))
            if not piece:
                raise ScorerGoneError
            content += piece
        return content

    async def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._connection.close()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Scoring:
    """One scorer at a time, a short line before it, and a look at the bundle in production.

    Parameters
    ----------
    settings : Settings
    home : Path
        Where the bundle in production is found, unless the settings name one.
    """

    def __init__(self, settings: Settings, home: Path) -> None:
        self.settings, self._home = settings, home
        self._scorer: Scorer | None = None
        self._turn = asyncio.Lock()
        self._service_s = 0.01  # seconds a request takes, smoothed
        self._background: set[asyncio.Task[None]] = set()
        self.waiting = 0
        self.reloads = 0

    async def start(self) -> None:
        """Load the bundle and start the scorer.

        Raises
        ------
        BundleError
            What `bonafide.home.find_bundle` raises.
        ScorerGoneError
            If no scorer starts.
        """
        self._stamp = production_stamp(self._home)
        bundle = find_bundle(self._home, self.settings.bundle_folder)
        self._scorer = await Scorer.start(bundle, self.settings)
        if self.settings.bundle_folder is None:
            self._in_background(self._follow())

    async def close(self) -> None:
        """End the scorer and all that runs beside it."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._scorer is not None:
            await self._scorer.stop()
            self._scorer = None

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers.

        Raises
        ------
        Refusal
            ``not_ready`` while there is none.
        """
        if self._scorer is None:
            raise Refusal("not_ready", "the scorer is starting; try again", retry_after_s=1)
        return self._scorer.bundle

    @property
    def ready(self) -> bool:
        """Tell whether a scorer stands by."""
        return self._scorer is not None

    def check_room(self) -> None:
        """Raise the refusal ``busy`` where one more request would wait too long."""
        if self.waiting > self.settings.queue:
            wait_s = max(1, math.ceil(self.waiting * self._service_s))
            raise Refusal(
                "busy", f"{self.waiting} requests are waiting; try again", retry_after_s=wait_s
            )

    async def score(self, upload: Upload) -> dict[str, Any]:
        """Score an upload; gives what `serving.scorer.answer` gives, and the seconds it waited.

        Raises
        ------
        Refusal
            ``busy``, ``deadline`` or ``decoder_crashed``.
        """
        self.check_room()
        self.waiting += 1
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                async with self._turn:
                    waited_s = loop.time() - start
                    reply = await self._ask(upload)
        except TimeoutError as error:
            message = f"not done within {self.settings.deadline_s:g} s, so the work was stopped"
            raise Refusal("deadline", message) from error
        finally:
            self.waiting -= 1
        self._service_s += 0.1 * (loop.time() - start - waited_s - self._service_s)
        reply.setdefault("timings", {})["wait"] = waited_s
        return reply

    async def _ask(self, upload: Upload) -> dict[str, Any]:
        """Ask the scorer; a second one, if the first ends. Holds the turn."""
        for _ in range(2):
            if self._scorer is None:
                await self._replace(find_bundle(self._home, self.settings.bundle_folder))
            scorer = self._scorer
            assert scorer is not None
            try:
                return await scorer.ask(upload)
            except ScorerGoneError:
                log.warning("a scorer ended while it decoded; starting another")
                await self._drop()
            except asyncio.CancelledError:  # past the deadline: end the work itself
                log.warning("a scorer was stopped at the deadline; starting another")
                self._scorer = None
                self._in_background(self._stand_by(scorer))
                raise
        raise Refusal("decoder_crashed", "decoding the upload ends the decoder; it is refused")

    async def _drop(self) -> None:
        scorer, self._scorer = self._scorer, None
        if scorer is not None:
            await scorer.stop()

    async def _replace(self, bundle: Bundle) -> None:
        try:
            self._scorer = await Scorer.start(bundle, self.settings)
        except ScorerGoneError as error:
            raise Refusal("not_ready", "no scorer starts; see the log", retry_after_s=5) from error

    async def _stand_by(self, old: Scorer) -> None:
        """End a scorer and have a new one ready before the next request asks."""
        await old.stop()
        async with self._turn:
            if self._scorer is None:
                await self._replace(old.bundle)

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work ended: %s", error)

    async def _follow(self) -> None:
        """Put a bundle that is promoted into service, without a request being lost."""
        while True:
            await asyncio.sleep(self.settings.watch_s)
            if (stamp := production_stamp(self._home)) == self._stamp:
                continue
            self._stamp = stamp
            try:
                bundle = await asyncio.to_thread(find_bundle, self._home)
                fresh = await Scorer.start(bundle, self.settings)
            except (BonafideError, ScorerGoneError) as error:
                log.error("the promoted bundle is not served, the old one stays: %s", error)
                continue
            async with self._turn:  # the request on hand ends with the bundle that it began with
                old, self._scorer = self._scorer, fresh
            self.reloads += 1
            log.info("now serving bundle %(name)s version %(version)s", bundle.identity)
            if old is not None:
                await old.stop()
