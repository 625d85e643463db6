"""The shadow: another bundle that hears what is asked, while nobody gets its answers."""

import asyncio
import contextlib
from collections.abc import Iterator

from serving.http.errors import ApiError
from serving.http.metrics import Metrics
from serving.http.recorder import Recorder
from serving.http.uploads import Upload
from serving.workers.exchange import Reply
from serving.workers.lane import Lane

MOST_WAITING = 8  # recordings that a worker keeps for it; it hears no more until it has caught up
NICENESS = 19  # its scorers take what those that answer leave over


class Shadow:
    """Scores what was answered once more, with another bundle, and compares.

    Parameters
    ----------
    lane : Lane
        Its own, in which somebody keeps a scorer running.
    deadline_s : float
        Longest time for scoring.
    metrics : Metrics
        Count what comes of it.
    recorder : Recorder or None
        Gets its answers, each by the ID of the request that was answered.
    """

    def __init__(
        self, lane: Lane, deadline_s: float, metrics: Metrics, recorder: Recorder | None
    ) -> None:
        self._lane, self._deadline_s = lane, deadline_s
        self._metrics, self._recorder = metrics, recorder
        self._hearing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End what it hears."""
        tasks = [*self._hearing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.contextmanager
    def beside(self, endpoint: str, request_id: str, upload: Upload) -> Iterator[list[Reply]]:
        """Hear an upload that the block has answered.

        Parameters
        ----------
        endpoint : str
            Name of the endpoint that it was sent to.
        request_id : str
            Of the request.
        upload : Upload
            Whole.

        Yields
        ------
        list of Reply
            For the answer, once the block has it; where there is none, nothing is heard.
        """
        answers = list[Reply]()
        heard = self._link(endpoint, upload)
        try:
            yield answers
        finally:
            if heard and answers:
                task = asyncio.create_task(self._hear(endpoint, request_id, heard, answers[0]))
                self._hearing.add(task)
                task.add_done_callback(self._hearing.discard)
            elif heard:
                heard.close()

    def _link(self, endpoint: str, upload: Upload) -> Upload | None:
        """Give the upload another name, which outlives its answer; None if it is not heard."""
        can_hear = self._lane.is_open and len(self._hearing) < MOST_WAITING
        if can_hear and (heard := self._lane.again(upload)):
            return heard
        self._metrics.shadowed(endpoint, "skipped")
        return None

    async def _hear(self, endpoint: str, request_id: str, heard: Upload, answer: Reply) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                reply = await self._lane.exchange.answer(endpoint, heard)
        except (ApiError, TimeoutError, OSError):
            self._metrics.shadowed(endpoint, "failed")
            return
        finally:
            heard.close()
        if "error" in reply.notes:
            self._metrics.shadowed(endpoint, "failed")
            return
        same = reply.notes["verdict"] == answer.notes["verdict"]
        self._metrics.shadowed(endpoint, "agreed" if same else "differed")
        if self._recorder:
            self._recorder.add(request_id, reply.notes["sha256"], reply.body)
