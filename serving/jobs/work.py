"""What a worker does about jobs: it answers them, tells callbacks, and keeps order."""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from bonafide.artifact import link_or_copy
from bonafide.errors import ConfigError, StorageError
from serving.http.endpoints import Endpoint, ScoringEndpoint
from serving.http.errors import ApiError
from serving.http.gate import Gate
from serving.http.metrics import Metrics
from serving.http.recorder import Recorder
from serving.jobs import callbacks
from serving.jobs.callbacks import Allowed, CallbackError
from serving.jobs.store import Job, Store
from serving.settings import Settings
from serving.workers.folder import leave, run_folder
from serving.workers.lane import Lane
from serving.workers.supervise import TEND_S, supervise

log = logging.getLogger("bonafide.serve")
PLACE = "j"  # of its queue, in the run folder
TELLERS = 4  # callbacks at a time: a slow receiver holds few up
NICENESS = 10  # calls that somebody waits for go first
SWEEP_S = 10.0
# What says nothing of the recording: the job is tried again.
PASSING = ("not_ready", "no_room")


class Jobs:
    """Answers jobs in the background, by a scorer of its own.

    Parameters
    ----------
    settings : Settings
        Of the service; `jobs` names the folder.
    home : Path
        The home folder.
    endpoints : mapping of str to Endpoint
        Those that are served.
    metrics : Metrics
        Count what comes of jobs.
    recorder : Recorder or None
        Gets the answers that are verdicts, each by its job's ID.
    gate : Gate or None
        Gets the work of each key.

    Raises
    ------
    ConfigError
        ``bad_setting`` if the folder cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        home: Path,
        endpoints: Mapping[str, Endpoint],
        metrics: Metrics,
        recorder: Recorder | None,
        gate: Gate | None,
    ) -> None:
        self.settings, self._endpoints = settings, endpoints
        self._metrics, self._recorder, self._gate = metrics, recorder, gate
        self.allowed = Allowed.of(settings.callbacks)
        self.store = _store(settings)
        self._folder = run_folder() / PLACE
        self._lane = Lane(self._folder, home, settings, NICENESS, "scorer of jobs")
        self._served = [n for n, each in endpoints.items() if isinstance(each, ScoringEndpoint)]
        self._left: list[Callable[[], None]] = []  # what could not be written, and is to be
        self._came = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "the scorer of jobs": self._lane.keep,
            "jobs": self._work,
            **{f"callbacks ({number})": self._tell for number in range(TELLERS)},
            "the order of jobs": self._tend,
        }
        for name, work in works.items():
            self._tasks.append(asyncio.create_task(supervise(name, work)))

    async def close(self) -> None:
        """End; what is in hand waits for another worker."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lane.close()
        leave(self._folder, os.getpid(), server_is_gone=True)
        with contextlib.suppress(StorageError):  # the next worker finds it
            self.store.close()

    def wake(self) -> None:
        """Say that a job has come."""
        self._came.set()

    async def _work(self) -> None:
        """Answer job after job."""
        await self._lane.tried.wait()
        while True:
            self._came.clear()
            claim = partial(self.store.claim, self._served)
            job = None if self._lane.trouble else await asyncio.to_thread(claim)
            if job is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), TEND_S)
                continue
            try:
                await self._answer(job)
            except BaseException:
                self._left.append(partial(self.store.give_back, job))
                raise

    async def _answer(self, job: Job) -> None:
        start = time.monotonic()
        upload = self._lane.exchange.new_upload()
        try:
            await asyncio.to_thread(link_or_copy, self.store.audio(job.id), upload.path)
            async with asyncio.timeout(self.settings.job_s):
                reply = await self._lane.exchange.answer(job.endpoint, upload)
        except FileNotFoundError:
            # The recording, or the run folder: that is made again, unless the server ends.
            is_gone = not self.store.audio(job.id).exists()
            code = "not_found" if is_gone else "not_ready"
            await self._failed(job, ApiError(code, "its recording is gone"), start)
            return
        except TimeoutError:
            message = f"scoring took longer than the {self.settings.job_s:g} s limit"
            await self._failed(job, ApiError("deadline", message), start)
            return
        except ApiError as error:
            await self._failed(job, error, start)
            return
        finally:
            upload.close()
        self._charge(job, reply.notes["work_s"])
        if error := reply.notes.get("error"):
            await self._finish(job, error["code"], error, start)
            return
        endpoint = self._endpoints[job.endpoint]
        if self._recorder and isinstance(endpoint, ScoringEndpoint) and endpoint.judges:
            self._recorder.add(job.id, reply.notes["sha256"], reply.body)
        self._metrics.scored(job.endpoint, reply.notes["verdict"], reply.notes["timings"])
        await self._finish(job, "ok", reply.body.decode(), start)

    async def _failed(self, job: Job, error: ApiError, start: float) -> None:
        if error.code in PASSING:
            await asyncio.to_thread(self.store.give_back, job)
            await asyncio.sleep(TEND_S)
            return
        said = {"code": error.code, "message": error.message}
        await self._finish(job, error.code, said, start)

    async def _finish(
        self, job: Job, code: str, answer: str | Mapping[str, str], start: float
    ) -> None:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        status = "done" if code == "ok" else "failed"
        if await asyncio.to_thread(self.store.finish, job, status, text):
            self._metrics.job_ended(job.endpoint, code, time.monotonic() - start)

    def _charge(self, job: Job, work_s: float) -> None:
        key = self._gate.named(job.owner) if self._gate else None
        if key is not None and self._gate is not None:
            self._gate.charge(key, work_s)

    # --- callbacks --------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Tell callback after callback."""
        async with callbacks.new_client() as client:
            while True:
                job = await asyncio.to_thread(self.store.claim_callback)
                if job is None:
                    await asyncio.sleep(TEND_S)
                    continue
                delivered = final = False
                told = partial(self.store.called, job)
                try:
                    body = json.dumps(described(job)).encode()
                    secret = callbacks.secret_of(self.settings.callback_secret)
                    headers = callbacks.signed(secret, f"msg_{job.id}", body, int(time.time()))
                    await callbacks.send(client, self.allowed, job.callback, body, headers)
                    delivered = True
                except CallbackError as error:
                    final = error.final
                    log.warning("a callback was not taken: %s", error)
                except BaseException:
                    self._left.append(partial(told, delivered=False))
                    raise
                self._metrics.called_back(delivered=delivered)
                try:
                    await asyncio.to_thread(told, delivered=delivered, final=final)
                except StorageError:
                    self._left.append(partial(told, delivered=delivered, final=final))
                    raise

    async def _tend(self) -> None:
        """Take back what workers left that are gone; forget what is old."""
        swept = 0.0
        while True:
            while self._left:
                await asyncio.to_thread(self._left[-1])
                self._left.pop()
            await asyncio.to_thread(self.store.take_back)
            if time.monotonic() - swept > SWEEP_S:
                await asyncio.to_thread(self.store.sweep, self.settings.job_keep_h * 3_600)
                swept = time.monotonic()
            self._metrics.jobs_wait(await asyncio.to_thread(self.store.waiting))
            await asyncio.sleep(TEND_S)


def check_jobs(settings: Settings) -> None:
    """Check what is set about jobs, before a server starts.

    Parameters
    ----------
    settings : Settings
        Of the service.

    Raises
    ------
    ConfigError
        ``bad_setting`` for a folder that cannot be used, for what is no origin, for callbacks
        without a secret to sign them with, or without jobs.
    """
    if settings.jobs:
        _store(settings).close()
    if Allowed.of(settings.callbacks).origins:
        if not settings.jobs:
            raise ConfigError("bad_setting", "BONAFIDE_CALLBACKS: needs BONAFIDE_JOBS, a folder")
        callbacks.secret_of(settings.callback_secret)


def _store(settings: Settings) -> Store:
    try:
        return Store(Path(settings.jobs))
    except StorageError as error:
        raise ConfigError("bad_setting", f"BONAFIDE_JOBS={error.message}") from error


def described(job: Job) -> dict[str, object]:
    """Return a job as ``GET /v1/jobs/ID`` and callbacks tell it."""
    said: dict[str, object] = {
        "id": job.id,
        "status": job.status,
        "endpoint": job.endpoint,
        "created": _utc(job.created),
        "finished": _utc(job.finished) if job.finished else None,
        "callback": job.told or None,
    }
    if job.status == "done":
        said["result"] = json.loads(job.answer)
    elif job.status == "failed":
        said["error"] = json.loads(job.answer)
    return said


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
