"""A worker's side of scoring: its requests, its scorer, and what keeps both going."""

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bonafide.bundle import Bundle
from bonafide.history import last_alive
from bonafide.registry import State
from serving.http.errors import ApiError
from serving.http.metrics import Metrics
from serving.http.uploads import Upload
from serving.settings import Settings
from serving.workers.counters import Counters
from serving.workers.exchange import Reply
from serving.workers.folder import leave, run_folder, sweep
from serving.workers.lane import Lane
from serving.workers.supervise import TEND_S, supervise

log = logging.getLogger("bonafide.serve")
HEARD_S = 1.0  # seconds that an idle scorer has to say that it is there


class Scoring:
    """Scores requests; replaces the scorer when it ends; follows the bundle in production.

    Parameters
    ----------
    settings : Settings
        Of the service.
    home : Path
        Where the bundle in production is, unless the settings name another.
    metrics : Metrics
        Show what is served.
    """

    def __init__(self, settings: Settings, home: Path, metrics: Metrics) -> None:
        self.settings, self._home, self._metrics = settings, home, metrics
        self._folder = run_folder()
        self._lane = Lane(self._folder, home, settings)
        self._aside = 0  # of those in the queue, the ones that nobody waits for
        self._service_s = 0.01  # seconds a request takes, smoothed
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the queue and start the scorer; return when it runs, or has failed once."""
        self._server = os.getppid()
        self._in_background("the scorer", self._lane.keep)
        self._in_background("the metrics", self._keep_metrics)
        await self._lane.tried.wait()
        sweep(self._folder.parent)  # the port is ours now

    async def close(self) -> None:
        """End the scorer and the background work, and leave nothing behind."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lane.close()
        leave(self._folder, os.getpid(), server_is_gone=os.getppid() != self._server)

    @property
    def trouble(self) -> str:
        """Why requests may not be answered; empty as a rule."""
        return self._lane.trouble

    @property
    def bundle(self) -> Bundle:
        """The bundle that this worker's scorer answers with.

        Raises
        ------
        ApiError
            ``not_ready`` if there is none yet.
        """
        if self._lane.keeper.bundle is None:
            raise not_ready(self.trouble)
        return self._lane.keeper.bundle

    @property
    def stale(self) -> str:
        """Why the bundle in production is not the one that answers; empty as a rule."""
        return self._lane.keeper.stale

    @property
    def journal(self) -> State | None:
        """What the registry's journal said last; None until then, and where it is not followed."""
        return self._lane.keeper.journal

    @property
    def waiting(self) -> int:
        """Number of requests in the queue or with a scorer."""
        return self._lane.exchange.waiting - self._aside

    async def check_ready(self) -> None:
        """Check that a request would be answered now.

        Raises
        ------
        ApiError
            ``not_ready``, with the reason.
        """
        if not self._lane.is_open:
            raise not_ready(self.trouble or "the run folder is damaged")
        if not self._lane.keeper.has_bundle():
            raise not_ready(self.trouble or f"the bundle is gone from {self.bundle.folder}")
        try:
            if not self._lane.exchange.has_room():
                raise not_ready("no room is left for uploads")
            heard = await self._lane.exchange.is_heard(HEARD_S)
        except OSError as error:  # no descriptor is left even to look
            raise not_ready(self.trouble or str(error)) from error
        if not heard:
            raise not_ready(self.trouble or "no scorer answers")

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
        return self._lane.exchange.new_upload()

    def again(self, upload: Upload) -> Upload | None:
        """Give an upload another name, for another `score`; see `Lane.again`."""
        return self._lane.again(upload)

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
            ``busy``, ``deadline`` or what `Exchange.answer` raises.
        """
        if not entitled:
            self.check_room()
        start = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                reply = await self._lane.exchange.answer(endpoint, upload)
        except TimeoutError as error:
            message = f"scoring took longer than the {self.settings.deadline_s:g} s limit"
            raise ApiError("deadline", message) from error
        took_s = time.monotonic() - start - reply.notes["timings"]["wait"]
        self._service_s += 0.1 * (took_s - self._service_s)
        return reply

    async def score_aside(self, endpoint: str, upload: Upload) -> Reply:
        """Do as `score` does for an upload that nobody waits for: it takes no other's place."""
        self._aside += 1
        try:
            return await self.score(endpoint, upload, entitled=True)
        finally:
            self._aside -= 1

    def _in_background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.create_task(supervise(name, work)))

    async def _keep_metrics(self) -> None:
        """Show what is served; drop the gauges of workers that are gone."""
        counters = Counters.of_environment()
        await self._lane.tried.wait()
        while True:
            counters.tend()
            ready = False
            with contextlib.suppress(ApiError):
                self._metrics.answers_with(self.bundle)
                await self.check_ready()
                ready = True
            alive_s = last_alive(self._home)
            self._metrics.shows(ready=ready, stale=bool(self.stale), schedule_s=alive_s)
            await asyncio.sleep(TEND_S)


def not_ready(why: str) -> ApiError:
    """Return the answer of a service that cannot answer now."""
    return ApiError("not_ready", f"the service is not ready: {why}", retry_after_s=1)
