"""The service's Prometheus metrics; BentoML's client sums them over workers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response

from bonafide.bundle import Bundle
from bonafide.process.service import is_loopback
from serving.http.errors import ApiError
from serving.http.headers import API_HEADERS, REQUEST_ID, named_host, request_id
from serving.workers.watch import WORDS

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
HEALTH = (
    ("bonafide_ready", "1 while every worker can have requests answered", "livemin"),
    (
        "bonafide_stale",
        "1 while the bundle in production cannot be served, and the one before it answers",
        "livemax",
    ),
    (
        "bonafide_schedule_alive_timestamp_seconds",
        "When a schedule of this home was last seen to run, since 1970; 0 without one",
        "livemax",
    ),
)


class Metrics:
    """Counters, histograms and gauges of one worker.

    Create it when the worker starts: BentoML must have set up its client first.
    """

    def __init__(self) -> None:
        from bentoml.metrics import Gauge, Histogram

        self._requests, self._rejected, self._verdicts = _answers()
        self._shadow, self._canary, self._returns, self._share = _beside()
        self._stages = Histogram(
            "bonafide_stage_seconds",
            "Seconds that a request spent in a stage, by endpoint",
            ["endpoint", "stage"],
            buckets=BUCKETS_S,
        )
        self._total = Histogram(
            "bonafide_request_seconds",
            "Seconds from a request to its answer, by endpoint",
            ["endpoint"],
            buckets=BUCKETS_S,
        )
        self._queue = Gauge(
            "bonafide_queue",
            "Requests in the queue or with a scorer, all workers",
            multiprocess_mode="livesum",
        )
        self._streams, self._heard, self._ended = _streams()
        self._jobs, self._job_ends, self._job_total, self._callbacks = _jobs()
        self._bundle = Gauge(
            "bonafide_bundle",
            "1 for the bundle that answers",
            ["name", "version", "sha256"],
            multiprocess_mode="livemax",
        )
        self._ready, self._stale, self._schedule = (
            Gauge(name, text, multiprocess_mode=mode) for name, text, mode in HEALTH
        )
        self._stage = cache(self._stages.labels)  # looking a label up takes a lock
        self._identity: tuple[str, ...] = ()

    def answered(self, endpoint: str, status: int, code: str, total_s: float) -> None:
        """Count an answer."""
        self._requests.labels(endpoint, str(status), code).inc()
        self._total.labels(endpoint).observe(total_s)

    def rejected(self, status: int, code: str) -> None:
        """Count a request that no endpoint answered; codes are a closed list."""
        self._rejected.labels(str(status), code).inc()

    def scored(self, endpoint: str, verdict: str | None, timings: Mapping[str, float]) -> None:
        """Count the verdict, if the answer has one, and observe the time of each stage."""
        if verdict is not None:
            self._verdicts.labels(endpoint, verdict).inc()
        for stage, seconds in timings.items():
            self._stage(endpoint, stage).observe(seconds)

    def shadowed(self, endpoint: str, outcome: str) -> None:
        """Count what came of the shadow's hearing."""
        self._shadow.labels(endpoint, outcome).inc()

    def canaried(self, endpoint: str, outcome: str) -> None:
        """Count what came of a request of the canary's clients."""
        self._canary.labels(endpoint, outcome).inc()

    def returned(self, criterion: str) -> None:
        """Count a canary that is stopped."""
        self._returns.labels(criterion).inc()

    def gives(self, share: float) -> None:
        """Show the share of clients that the canary answers."""
        self._share.set(share)

    def listens(self, streams: int) -> None:
        """Show how many streams this worker has."""
        self._streams.set(streams)

    def heard(self, seconds: float) -> None:
        """Observe the time from sound to the event that it made due."""
        self._heard.observe(seconds)

    def listened(self, code: str) -> None:
        """Count a stream that has ended; codes are a closed list."""
        self._ended.labels(code).inc()

    def jobs_wait(self, number: int) -> None:
        """Show how many jobs are not finished."""
        self._jobs.set(number)

    def job_ended(self, endpoint: str, code: str, took_s: float) -> None:
        """Count a job that is finished."""
        self._job_ends.labels(endpoint, code).inc()
        self._job_total.labels(endpoint).observe(took_s)

    def called_back(self, *, delivered: bool) -> None:
        """Count a callback."""
        self._callbacks.labels("delivered" if delivered else "failed").inc()

    def queued(self) -> contextlib.AbstractContextManager[None]:
        """Count a request as in the queue until the block is left."""
        tracked: contextlib.AbstractContextManager[None] = self._queue.track_inprogress()
        return tracked

    def answers_with(self, bundle: Bundle) -> None:
        """Show which bundle answers."""
        identity = tuple(bundle.identity[key] for key in ("name", "version", "sha256"))
        if identity != self._identity:
            if self._identity:
                self._bundle.labels(*self._identity).set(0)
            self._bundle.labels(*identity).set(1)
            self._identity = identity

    def shows(self, *, ready: bool, stale: bool, schedule_s: float) -> None:
        """Show whether requests are answered, with what is in production, and a schedule's life."""
        self._ready.set(ready)
        self._stale.set(stale)
        self._schedule.set(schedule_s)


def _answers() -> tuple[Any, Any, Any]:
    """Return what counts answers: of endpoints that score, of none, and their verdicts."""
    from bentoml.metrics import Counter

    return (
        Counter(
            "bonafide_requests",
            "Requests to endpoints that score, by endpoint, status and code",
            ["endpoint", "status", "code"],
        ),
        Counter(
            "bonafide_rejected",
            "Requests rejected before an endpoint had them, or failed, by status and code",
            ["status", "code"],
        ),
        Counter("bonafide_verdicts", "Verdicts by endpoint", ["endpoint", "verdict"]),
    )


def _streams() -> tuple[Any, Any, Any]:
    """Return what tells of streams."""
    from bentoml.metrics import Counter, Gauge, Histogram

    return (
        Gauge("bonafide_streams", "Streams that are open", multiprocess_mode="livesum"),
        Histogram(
            "bonafide_stream_seconds",
            "Seconds from sound to the event that it made due",
            buckets=BUCKETS_S,
        ),
        Counter("bonafide_streams_ended", "Streams that ended, by code", ["code"]),
    )


def _jobs() -> tuple[Any, Any, Any, Any]:
    """Return what tells of jobs."""
    from bentoml.metrics import Counter, Gauge, Histogram

    return (
        Gauge("bonafide_jobs", "Jobs that are not finished", multiprocess_mode="livemax"),
        Counter("bonafide_jobs_ended", "Jobs finished, by code", ["endpoint", "code"]),
        Histogram(
            "bonafide_job_seconds",
            "Seconds that a worker was at a job",
            ["endpoint"],
            buckets=BUCKETS_S,
        ),
        Counter("bonafide_callbacks", "Callbacks sent, by what came of them", ["outcome"]),
    )


def _beside() -> tuple[Any, Any, Any, Any]:
    """Return what counts the bundles beside the one in production."""
    from bentoml.metrics import Counter, Gauge

    returns = Counter(
        "bonafide_canary_returns", "Canaries stopped, by what passed its bound", ["criterion"]
    )
    for criterion in WORDS:  # an increase is seen only of a metric that was there before
        returns.labels(criterion)
    return (
        Counter(
            "bonafide_shadow",
            "What came of the shadow's hearing, by endpoint: agreed, differed, failed, skipped",
            ["endpoint", "outcome"],
        ),
        Counter(
            "bonafide_canary",
            "Requests of the canary's clients, by endpoint and what came of them: answered, failed "
            "and skipped (production answered); answered and scored by both: agreed, differed",
            ["endpoint", "outcome"],
        ),
        returns,
        Gauge(
            "bonafide_canary_share",
            "Share of clients that the canary answers; 0 while there is none",
            multiprocess_mode="livemax",
        ),
    )


@contextlib.asynccontextmanager
async def serve_metrics(host: str, port: int) -> AsyncIterator[None]:
    """Serve the metrics at an address of their own until the block ends.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        Port that the workers share: each answers for all.
    """
    import uvicorn
    from uvicorn.server import ServerState

    from serving.http.protocol import LimitedProtocol

    config = uvicorn.Config(
        _answer, log_config=None, lifespan="off", http=LimitedProtocol, ws="none"
    )
    config.load()
    state = ServerState()

    def connect() -> asyncio.Protocol:
        return LimitedProtocol(config=config, server_state=state, app_state={})

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connect, host, port, reuse_port=True)
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    try:
        response = _metrics(scope)
    except ApiError as error:
        response = error.response()
    identity = (REQUEST_ID, request_id(scope["headers"]).encode())
    response.raw_headers += [*API_HEADERS, identity]
    await response(scope, receive, send)


def _metrics(scope: Any) -> Response:
    from bentoml._internal.configuration.containers import BentoMLContainer

    host = named_host(Headers(scope=scope))
    if is_loopback(scope["server"][0]) and not is_loopback(host):
        raise ApiError("bad_host", f"host {host!r} is not this machine", close=True)
    if scope["path"] != "/metrics":
        raise ApiError("not_found", "only /metrics is served here", close=True)
    client = BentoMLContainer.metrics_client.get()
    return Response(client.generate_latest(), media_type=client.CONTENT_TYPE_LATEST)
