"""The canary: another bundle that answers a share of the clients while it does well enough."""

import asyncio
import logging
from hashlib import sha256

from serving.http.errors import ApiError
from serving.http.metrics import Metrics
from serving.http.recorder import Recorder
from serving.http.uploads import Upload
from serving.settings import Settings
from serving.workers.exchange import Reply
from serving.workers.folder import run_folder
from serving.workers.lane import Lane
from serving.workers.scoring import Scoring
from serving.workers.watch import Watch

log = logging.getLogger("bonafide.serve")
DEADLINE_SHARE = 0.5  # of the time for an answer; production has all of it afterwards
# How much a request counts that comes while its scorer starts again, as one that was killed does.
AWAY = 0.25
MOST = 0.5  # of recordings may take it too long: the median counts


def is_chosen(client: str, share: float) -> bool:
    """Return whether a client is one of those that a canary answers.

    Parameters
    ----------
    client : str
        Its key's name or its address; the same client is always chosen, or never.
    share : float
        Of all clients, from 0 to 1; who is chosen at one is chosen at each larger one.

    Returns
    -------
    bool
    """
    return int.from_bytes(sha256(client.encode()).digest()[:8]) < share * 2**64


class Canary:
    """Answers, and is compared with the bundle in production on the same recordings.

    Parameters
    ----------
    name : str
        What the log calls it.
    lane : Lane
        Its own, in which somebody keeps a scorer running.
    number, share : int and float
        See `follow`.
    production : Scoring
        Answers what it does not.
    metrics : Metrics
        Count what comes of it.
    recorder : Recorder or None
        Gets what the bundle in production says to what the canary answered.

    Raises
    ------
    OSError
        As in `follow`.
    """

    def __init__(
        self,
        name: str,
        lane: Lane,
        number: int,
        share: float,
        production: Scoring,
        metrics: Metrics,
        recorder: Recorder | None,
    ) -> None:
        self.name, self._lane, self._production = name, lane, production
        self._metrics, self._recorder = metrics, recorder
        self._settings = production.settings
        self._comparing: asyncio.Task[None] | None = None
        self.follow(number, share)

    def follow(self, number: int, share: float) -> None:
        """Answer another share, and count anew.

        Parameters
        ----------
        number : int
            Of the journal's entry; 0 for one that the settings name.
        share : float
            Of clients, above 0 and below 1.

        Raises
        ------
        OSError
            If there is no room to count.
        """
        self.number, self.share = number, share
        self.watch = watch_of(number, self._settings)

    def takes(self, client: str) -> bool:
        """Return whether a client is its to answer."""
        if not is_chosen(client, self.share) or self.watch.alarm:
            return False
        ours, theirs = self._lane.keeper.bundle, self._production.bundle
        return ours is None or ours.identity["sha256"] != theirs.identity["sha256"]

    async def score(
        self, endpoint: str, request_id: str, upload: Upload, *, entitled: bool
    ) -> Reply:
        """Have an upload of its client scored: by the bundle in production where it does not.

        Parameters
        ----------
        endpoint, upload, entitled
            As in `Scoring.score`.
        request_id : str
            Of the request.

        Returns
        -------
        Reply

        Raises
        ------
        ApiError
            As in `Scoring.score`.
        """
        lane = self._lane
        if not lane.tried.is_set() or lane.exchange.waiting > self._settings.queue:
            self._metrics.canaried(endpoint, "skipped")
            return await self._production.score(endpoint, upload, entitled=entitled)
        is_away = not (lane.keeper.is_running or lane.trouble)
        if not is_away and (reply := await self._ask(endpoint, upload)):
            self._metrics.canaried(endpoint, "answered")
            self._judge("errors", False)
            self._compare(endpoint, request_id, upload, reply)
            return reply
        reply = await self._production.score(endpoint, upload, entitled=True)
        if "error" not in reply.notes:  # else the upload is to blame
            self._metrics.canaried(endpoint, "failed")
            self._judge("errors", True, AWAY if is_away else 1.0)
        return reply

    async def _ask(self, endpoint: str, upload: Upload) -> Reply | None:
        if self._lane.trouble or not self._lane.is_open:
            return None
        if (again := self._lane.again(upload)) is None:
            return None
        try:
            async with asyncio.timeout(DEADLINE_SHARE * self._settings.deadline_s):
                reply = await self._lane.exchange.answer(endpoint, again, attempts=1)
        except (ApiError, TimeoutError, OSError):
            return None
        finally:
            again.close()
        return None if "error" in reply.notes else reply

    def _compare(self, endpoint: str, request_id: str, upload: Upload, reply: Reply) -> None:
        """Have the bundle in production score it too, where that keeps nobody waiting for long."""
        is_busy = 2 * self._production.waiting > self._settings.queue
        if is_busy or (self._comparing and not self._comparing.done()):
            return
        if again := self._production.again(upload):
            work = self._compared(endpoint, request_id, again, reply)
            self._comparing = asyncio.create_task(work)

    async def _compared(self, endpoint: str, request_id: str, again: Upload, reply: Reply) -> None:
        try:
            theirs = await self._production.score_aside(endpoint, again)
        except (ApiError, OSError):
            return
        finally:
            again.close()
        if "error" in theirs.notes:
            return
        if self._recorder:
            self._recorder.add(request_id, theirs.notes["sha256"], theirs.body)
        differs = reply.notes["verdict"] != theirs.notes["verdict"]
        self._metrics.canaried(endpoint, "differed" if differs else "agreed")
        self._judge("disagreement", differs)
        self._judge("latency", _took_s(reply) > self._settings.canary_slower * _took_s(theirs))

    def _judge(self, criterion: str, bad: bool, weight: float = 1.0) -> None:
        if self.watch.add(criterion, bad, weight):
            log.error("the canary %s is stopped: %s", self.name, self.watch.why)
            self._metrics.returned(criterion)

    async def close(self, *, at_once: bool) -> None:
        """Wait for what is being compared: to break it off ends a scorer of production.

        Parameters
        ----------
        at_once : bool
            Break it off.
        """
        if self._comparing:
            if at_once:
                self._comparing.cancel()
            await asyncio.wait({self._comparing})


def watch_of(number: int, settings: Settings) -> Watch:
    """Open what was counted of a canary.

    Parameters
    ----------
    number : int
        Of the journal's entry; 0 for one that the settings name.
    settings : Settings
        Say what it may.

    Returns
    -------
    Watch

    Raises
    ------
    OSError
        If there is no room for it.
    """
    allowed = {
        "errors": settings.canary_errors,
        "latency": MOST,
        "disagreement": settings.canary_differ,
    }
    return Watch(run_folder() / f"canary-{number}", allowed)


def _took_s(reply: Reply) -> float:
    """Return the seconds that an answer took once a scorer had the recording."""
    timings = reply.notes["timings"]
    return sum(timings.values()) - float(timings["wait"])
