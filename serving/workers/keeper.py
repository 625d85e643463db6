"""A worker's scorer: kept running, with the bundle in production or the last good one before it."""

import asyncio
import contextlib
import json
import logging
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from bonafide.audio import Limits
from bonafide.bundle import MANIFEST, Bundle
from bonafide.errors import BonafideError, BundleError, RegistryError
from bonafide.home import SHIPPED
from bonafide.process.confine import end, start_confined
from bonafide.registry import State, registry_of
from bonafide.registry.trust import load_bundle
from serving.settings import Settings

Answer = TypeVar("Answer")

log = logging.getLogger("bonafide.serve")
START_S = 60.0
ANSWER_S = 10.0  # that a registry may take to answer before what is served goes on without it
PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
PROMOTED = "the promoted bundle is not served, the last good one is"
GOOD, MOST_GOOD = "good", 4  # in the run folder: the bundles that scorers started with last


async def start_scorer(
    folder: Path, bundle: Bundle, settings: Settings, niceness: int = 0
) -> asyncio.subprocess.Process:
    """Start a scorer and wait until it takes tickets.

    Parameters
    ----------
    folder : Path
        The run folder, where the queue is.
    bundle : Bundle
        The one to score with.
    settings : Settings
        The limits on recordings and memory.
    niceness : int
        From 0 to 19: how much it leaves to others.

    Returns
    -------
    asyncio.subprocess.Process

    Raises
    ------
    ConfinedError
        If it ends instead, or takes longer than the `START_S` limit.
    OSError
        If there is no room for another process.
    """
    limits = Limits(
        max_duration_s=settings.max_duration_s,
        max_rate_hz=settings.max_rate_hz,
        max_channels=settings.max_channels,
    )
    return await start_confined(
        "serving.workers.scorer",
        *(str(folder), str(bundle.folder)),
        *(json.dumps(asdict(limits)), str(round(settings.scorer_mb * 1e6)), str(niceness)),
        limit_s=START_S,
    )


class Keeper:
    """Starts and ends the one scorer of a worker; nothing else does, so nothing races with it.

    Parameters
    ----------
    folder : Path
        The run folder.
    home : Path
        Its registry tells what is in production, unless the settings name a bundle.
    settings : Settings
        Of the service.
    niceness : int
        Of the scorer, from 0 to 19.
    role : str
        ``shadow`` or ``canary`` of one beside the bundle in production; else empty.
    """

    def __init__(
        self, folder: Path, home: Path, settings: Settings, niceness: int = 0, role: str = ""
    ) -> None:
        self._folder, self._settings, self._niceness = folder, settings, niceness
        self._said = f"now beside it, as {role}:" if role else "now serving"
        self._refused_as = f"the {role} is not loaded" if role else "the bundle is not served"
        self._registry = registry_of(home)
        self._watch_s, self._look_at = settings.watches_every_s(self._registry.url), 0.0
        self.bundle: Bundle | None = None  # what the scorer scores with
        self.journal: State | None = None  # as last read; None where the settings name a bundle
        self.stale = ""  # why what is in production is not what is served
        self._scorer: asyncio.subprocess.Process | None = None
        self._end: asyncio.Task[int] | None = None
        self._question: asyncio.Task[Any] | None = None  # that the registry was asked last
        self._started = 0.0
        self._served, self._refused = "never", "never"  # stamps
        self._retry_at = self._pause_s = 0.0
        self._good: list[str] = []

    @property
    def is_running(self) -> bool:
        """Whether the scorer runs."""
        return self._scorer is not None and self._scorer.returncode is None

    def has_bundle(self) -> bool:
        """Return whether the bundle is still where it was read, for a scorer to come."""
        return self.bundle is not None and all(
            (self.bundle.folder / name).is_file() for name in (MANIFEST, "detector.onnx")
        )

    async def tend(self) -> None:
        """Have the scorer run, with what is in production if that can be served.

        Raises
        ------
        BonafideError, OSError
            If it does not run and none can be started.
        """
        if time.monotonic() >= self._look_at:
            await self._follow()
            self._look_at = time.monotonic() + self._watch_s
        if self.is_running:
            return
        if time.monotonic() - self._started < PAUSE_S:  # it ended as soon as it had started
            await asyncio.sleep(PAUSE_S)
        await self._start(await asyncio.to_thread(self._last_good))

    async def _follow(self) -> None:
        """Serve what was promoted; if that fails, what is served stays, and it is tried again."""
        stamp = "unreadable"
        try:
            stamp = await self._asked(self._stamp)
            if stamp == self._served:
                self.stale = ""
            elif stamp != self._refused or time.monotonic() >= self._retry_at:
                await self._start(await self._asked(self._promoted))
                self._served, self._refused, self.stale = stamp, "never", ""
        except (BonafideError, OSError) as error:
            self._refuse(stamp, str(error))

    async def _asked(self, question: Callable[[], Answer]) -> Answer:
        """Ask the registry; one that hangs is not waited for when the scorer ends, or for long."""
        if self._question is None or self._question.done():
            asked = self._question = asyncio.create_task(asyncio.to_thread(question))
            asked.add_done_callback(lambda task: task.cancelled() or task.exception())
            ends = {self._end} if self._end is not None and not self._end.done() else set()
            await asyncio.wait({asked, *ends}, timeout=ANSWER_S, return_when=FIRST_COMPLETED)
            if asked.done():
                return asked.result()
        raise RegistryError("unreachable", f"{self._registry.url}: does not answer")

    def _stamp(self) -> str:
        """Return text that changes when another bundle is to be served."""
        if self._settings.bundle:
            return "chosen"
        self.journal = self._registry.sound()
        return self.journal.stamp

    def _promoted(self) -> Bundle:
        bundle = self._registry.find(self._settings.bundle or None)
        if bundle.folder == SHIPPED and self._known_good()[:1] not in ([], [str(SHIPPED)]):
            missing = f"{self._registry.url}: nothing is in production any more; promote a bundle"
            raise BundleError("bad_production", missing)
        return bundle

    def _refuse(self, stamp: str, why: str) -> None:
        again = stamp == self._refused
        if not again or why != self.stale:
            chosen = self._refused_as if self._settings.bundle else PROMOTED
            log.error("%s: %s", chosen, why)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S) if again else PAUSE_S
        self._refused, self.stale = stamp, why
        self._retry_at = time.monotonic() + self._pause_s

    async def _start(self, bundle: Bundle) -> None:
        """Start a scorer; the one before finishes its request first."""
        fresh = await start_scorer(self._folder, bundle, self._settings, self._niceness)
        old, self._scorer, self._started = self._scorer, fresh, time.monotonic()
        self._end = asyncio.create_task(fresh.wait())
        if old is not None and old.returncode is None:
            old.terminate()
            asyncio.get_running_loop().call_later(self._settings.deadline_s, _kill, old)
        if bundle.folder != (self.bundle and self.bundle.folder):
            name, version = bundle.identity["name"], bundle.identity["version"]
            log.info("%s bundle %s version %s", self._said, name, version)
            self._served = "never"  # unless it was promoted
        self.bundle = bundle
        self._remember(bundle)

    def _remember(self, bundle: Bundle) -> None:
        folder = str(bundle.folder)
        self._good = [folder, *(each for each in self._known_good() if each != folder)][:MOST_GOOD]
        draft = self._folder / f".{GOOD}"
        try:
            draft.write_text(json.dumps(self._good))
            draft.replace(self._folder / GOOD)
        except OSError as error:
            log.warning("the last good bundle is not remembered: %s", error)

    def _known_good(self) -> list[str]:
        """Return the folders of bundles that scorers of this server started with, newest first."""
        try:
            return self._good or json.loads((self._folder / GOOD).read_text())
        except (OSError, ValueError):
            return []

    def _last_good(self) -> Bundle:
        problems = []
        for folder in self._known_good():
            try:
                return load_bundle(Path(folder))
            except BundleError as error:
                problems.append(error)
        raise problems[0] if problems else BundleError("no_bundle", self.stale)

    async def wait(self, limit_s: float) -> None:
        """Wait until the scorer ends, it is time to look, or for `limit_s` seconds."""
        if self._end is not None:
            await asyncio.wait({self._end}, timeout=min(limit_s, self._watch_s))

    async def drop(self) -> None:
        """End the scorer at once."""
        if self._scorer is not None:
            await end(self._scorer)


def _kill(scorer: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        scorer.kill()
