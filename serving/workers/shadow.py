"""The shadow: another bundle that hears what is asked, while nobody gets its answers."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from serving.http.errors import ApiError
from serving.http.metrics import Metrics
from serving.http.recorder import Recorder
from serving.http.uploads import Upload
from serving.settings import Settings
from serving.workers.exchange import Reply
from serving.workers.folder import SHADOW, run_folder
from serving.workers.lane import Lane
from serving.workers.supervise import supervise

MOST_WAITING = 8  # recordings that a worker keeps for it; it hears no more until it has caught up
NICENESS = 19  # its scorers take what those that answer leave over


class Shadow:
    """Scores what was answered once more, with another bundle, and compares.

    Parameters
    ----------
    settings : Settings
        Of the service; ``shadow`` names the bundle.
    home : Path
        The home folder.
    metrics : Metrics
        Count what comes of it.
    recorder : Recorder or None
        Gets its answers, each by the ID of the request that was answered.
    """

    def __init__(
        self, settings: Settings, home: Path, metrics: Metrics, recorder: Recorder | None
    ) -> None:
        self._deadline_s = settings.deadline_s
        self._metrics, self._recorder = metrics, recorder
        own = replace(settings, bundle=settings.shadow)
        self._lane = Lane(run_folder() / SHADOW, home, own, NICENESS)
        self._keeping: asyncio.Task[None] | None = None
        self._hearing: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start its scorer, in the background: nobody waits for a shadow."""
        self._keeping = asyncio.create_task(supervise("the shadow", self._lane.keep))

    async def close(self) -> None:
        """End its scorer, and what it hears."""
        tasks = [*self._hearing, *([self._keeping] if self._keeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._lane.close()

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
        if self._lane.is_open and len(self._hearing) < MOST_WAITING:
            heard = self._lane.exchange.new_upload()
            with contextlib.suppress(OSError):
                os.link(upload.path, heard.path)
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
            self._recorder.add(request_id, reply.body)
