"""The bundles beside the one in production: the settings name them, or else the registry does."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from bonafide.registry import Role, registry_of
from bonafide.registry.beside import end, split_share
from serving.http.metrics import Metrics
from serving.http.recorder import Recorder
from serving.http.uploads import Upload
from serving.settings import FOLDER_WATCH_S, Settings
from serving.workers.canary import Canary, watch_of
from serving.workers.exchange import Reply
from serving.workers.folder import BESIDE, leave, run_folder
from serving.workers.lane import Lane
from serving.workers.scoring import Scoring
from serving.workers.shadow import NICENESS, Shadow
from serving.workers.supervise import supervise

log = logging.getLogger("bonafide.serve")


@dataclass(frozen=True)
class Chosen:
    """A bundle that is to be beside the one in production.

    Parameters
    ----------
    name : str
        What the log calls it.
    ref : str
        As `bonafide.registry.find_bundle` takes it.
    place : str
        The folder of its queue, in the run folder.
    number : int
        Of the journal's entry; 0 where the settings name it.
    share : float
        Of clients that it answers.
    """

    name: str
    ref: str
    place: str
    number: int = 0
    share: float = 0.0


class Beside:
    """Keeps the shadow and the canary of a worker, and has requests answered.

    Parameters
    ----------
    settings : Settings
        Of the service.
    home : Path
        The home folder.
    scoring : Scoring
        Of the bundle in production; it follows the registry.
    metrics : Metrics
        Count what comes of them.
    recorder : Recorder or None
        Gets what is said beside an answer.
    """

    def __init__(
        self,
        settings: Settings,
        home: Path,
        scoring: Scoring,
        metrics: Metrics,
        recorder: Recorder | None,
    ) -> None:
        self._settings, self._home, self._scoring = settings, home, scoring
        self._metrics, self._recorder = metrics, recorder
        self._shadow: Shadow | None = None
        self._canary: Canary | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self) -> None:
        """Start them in the background: nobody waits for them."""
        self._metrics.gives(0)
        for name, work in (("shadow", self._keep_shadow), ("canary", self._keep_canary)):
            self._tasks.append(asyncio.create_task(supervise(f"following the {name}", work)))

    async def close(self) -> None:
        """End them."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def score(
        self, endpoint: str, request_id: str, client: str | None, upload: Upload, *, entitled: bool
    ) -> Reply:
        """Have an upload scored by the bundle that is to answer its client.

        Parameters
        ----------
        endpoint, upload, entitled
            As in `Scoring.score`.
        request_id : str
            Of the request.
        client : str or None
            Whose request it is: see `serving.workers.canary.is_chosen`; None: no canary's.

        Returns
        -------
        Reply

        Raises
        ------
        ApiError
            As in `Scoring.score`.
        """
        if self._canary is not None and client is not None and self._canary.takes(client):
            return await self._canary.score(endpoint, request_id, upload, entitled=entitled)
        if self._shadow is None:
            return await self._scoring.score(endpoint, upload, entitled=entitled)
        with self._shadow.beside(endpoint, request_id, upload) as answers:
            reply = await self._scoring.score(endpoint, upload, entitled=entitled)
            if "error" not in reply.notes:
                answers.append(reply)
        return reply

    def _chosen(self, role: Role) -> Chosen | None:
        letter = role[0]
        if named := getattr(self._settings, role):
            ref, share = split_share(named) if role == "canary" else (named, 0.0)
            return Chosen(ref, ref, letter, share=share)
        journal = self._scoring.journal
        if journal is None or (entry := journal.beside.get(role)) is None:
            return None
        sha256 = entry.bundle.sha256  # the reference: no other content will do
        place = f"{letter}{sha256}"[: len(BESIDE)]
        return Chosen(str(entry.bundle), sha256, place, entry.number, entry.share)

    async def _keep_shadow(self) -> None:
        while True:
            if chosen := self._chosen("shadow"):
                async with self._lane("shadow", chosen, NICENESS) as lane:
                    shadow = Shadow(lane, self._settings.deadline_s, self._metrics, self._recorder)
                    self._shadow = shadow
                    try:
                        await self._unless_other("shadow", chosen)
                    finally:
                        self._shadow = None
                        await shadow.close()
            await asyncio.sleep(FOLDER_WATCH_S)

    async def _unless_other(self, role: Role, chosen: Chosen) -> None:
        """Wait for as long as the bundle stays the one."""
        while (now := self._chosen(role)) and now.ref == chosen.ref:
            if self._canary is not None and role == "canary":
                if self._canary.watch.alarm:
                    return
                if self._canary.number != now.number:
                    self._canary.follow(now.number, now.share)
                self._metrics.gives(now.share)
            await asyncio.sleep(FOLDER_WATCH_S)

    async def _keep_canary(self) -> None:
        while True:
            chosen = self._chosen("canary")
            if chosen and not await self._has_returned(chosen):
                async with self._lane("canary", chosen) as lane:
                    canary = Canary(
                        *(chosen.name, lane, chosen.number, chosen.share),
                        *(self._scoring, self._metrics, self._recorder),
                    )
                    self._canary = canary
                    try:
                        await self._unless_other("canary", chosen)
                    finally:
                        self._canary = None
                        self._metrics.gives(0)
                        await canary.close(at_once=self._closing)
                    continue  # at once: what returned is to be said
            await asyncio.sleep(FOLDER_WATCH_S)

    async def _has_returned(self, chosen: Chosen) -> bool:
        """Return whether a worker of this server has stopped it; if so, the journal says so."""
        watch = watch_of(chosen.number, self._settings)
        if not watch.alarm:
            return False
        if chosen.number:
            registry = await asyncio.to_thread(registry_of, self._home)
            await asyncio.to_thread(end, registry, "canary", why=watch.why, returned=chosen.number)
        return True

    @contextlib.asynccontextmanager
    async def _lane(self, role: Role, chosen: Chosen, niceness: int = 0) -> AsyncIterator[Lane]:
        """Keep a scorer running until the block ends."""
        folder = run_folder() / chosen.place
        own = replace(self._settings, bundle=chosen.ref)
        lane = Lane(folder, self._home, own, niceness, role)
        keeping = asyncio.create_task(supervise(f"the {role} {chosen.name}", lane.keep))
        try:
            yield lane
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await lane.close()
            leave(folder, os.getpid(), server_is_gone=True)  # that of its queue
            if not self._closing:
                log.info("no longer beside it, as %s: %s", role, chosen.name)
