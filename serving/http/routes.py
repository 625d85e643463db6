"""The routes: calls of the endpoints, and the application around them."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from bonafide.client import BUNDLE_HEADER
from bonafide.home import home
from bonafide.process.lifetime import end_with_parent
from bonafide.registry import Version
from serving.http import feedback
from serving.http.app import app_routes
from serving.http.audit import Audit
from serving.http.call import Call
from serving.http.endpoints import BundleEndpoint, Endpoint, ScoringEndpoint, plain
from serving.http.errors import ApiError
from serving.http.gate import Gate
from serving.http.headers import label_log
from serving.http.live import live_routes
from serving.http.metrics import Metrics, serve_metrics
from serving.http.openapi import HEALTH, document
from serving.http.page import PAGE
from serving.http.recorder import Recorder
from serving.http.stream.kept import Kept
from serving.http.uploads import Upload, read_upload
from serving.jobs.work import Jobs
from serving.settings import Settings
from serving.workers.beside import Beside
from serving.workers.counters import Counters
from serving.workers.folder import run_folder
from serving.workers.scoring import Scoring
from serving.workers.supervise import TEND_S, supervise
from serving.workers.supervisor import SERVER

CLIENT_GONE = 499  # as in nginx; for the metrics, since nobody is left to read it


async def score(name: str, request: Request, state: State, call: Call) -> Response:
    """Answer a call of a scoring endpoint, with an error if need be, and count it.

    Parameters
    ----------
    name : str
        Name of the endpoint.
    request : Request
        Its body is not read yet.
    state : State
        The application's, as `lifespan` fills it.
    call : Call
        Gets what becomes known of the call.

    Returns
    -------
    Response
    """
    metrics: Metrics = state.metrics
    call.endpoint = name
    start = time.perf_counter()
    try:
        response = await _score(name, request, state, call)
    except ApiError as api_error:
        call.code, response = api_error.code, api_error.response()
    except ClientDisconnect:
        call.code, response = "client_gone", Response(status_code=CLIENT_GONE)
    metrics.answered(name, response.status_code, call.code, time.perf_counter() - start)
    return response


async def _score(name: str, request: Request, state: State, call: Call) -> Response:
    scoring: Scoring = state.scoring
    beside: Beside = state.beside
    judges = state.endpoints[name].judges
    bundle, wanted = scoring.bundle, request.headers.get(BUNDLE_HEADER)
    call.bundle = str(Version.of(bundle))
    if wanted is not None and wanted != bundle.identity["sha256"]:
        raise _other_bundle(call.bundle, wanted)
    if scoring.trouble:
        await scoring.check_ready()
    start = time.perf_counter()
    upload = scoring.new_upload()
    try:
        with _counted(state.in_hand, call):
            entitled = _is_entitled(state, call)
            if not entitled:
                scoring.check_room()
                _check_uploads(state)
            with _counted(state.uploads, call):
                await read_upload(request, scoring.settings, upload)
            received_s, call.size = time.perf_counter() - start, upload.size
            # Others may have come, and filled the queue, while this one was still arriving.
            entitled = entitled or _is_entitled(state, call)
            with state.metrics.queued(), _charged(state, call, upload) as work:
                client = _client(request, call) if wanted is None else None
                if judges:
                    given = name, call.request_id, client, upload
                    reply = await beside.score(*given, entitled=entitled)
                else:
                    reply = await scoring.score(name, upload, entitled=entitled)
                work.append(reply.notes["work_s"])
    finally:
        upload.close()
        state.metrics.answers_with(bundle)
    notes = reply.notes
    if error := notes.get("error"):
        raise ApiError(error["code"], error["message"])
    if wanted is not None and notes["bundle"] != call.bundle:  # promoted meanwhile
        raise _other_bundle(notes["bundle"], wanted)
    timings = call.timings = {"receive": received_s, **notes["timings"]}
    call.verdict, call.bundle = notes["verdict"], notes["bundle"]
    state.metrics.scored(name, call.verdict, timings)
    if state.recorder and judges:
        state.recorder.add(call.request_id, notes["sha256"], reply.body)
    return Response(reply.body, media_type="application/json")


def _other_bundle(answering: str, wanted: str) -> ApiError:
    message = f"{answering} answers; the call wants {wanted:.64}, by the header {BUNDLE_HEADER}"
    return ApiError("other_bundle", message)


def _is_entitled(state: State, call: Call) -> bool:
    """Return whether a call in hand has a place whoever else waits.

    A key with others beside it has an equal share of all places, or one.
    """
    if call.key is None:
        return False
    others = len(state.in_hand.keys() - {call.key.name})
    share = (state.scoring.settings.queue + 1) // (others + 1)
    return bool(others and state.in_hand[call.key.name] <= max(1, share))


def _check_uploads(state: State) -> None:
    arriving = state.uploads.total()
    if arriving >= state.scoring.settings.max_uploads:
        raise ApiError("busy", f"{arriving} uploads are arriving; try again", retry_after_s=1)


@contextlib.contextmanager
def _counted(counts: Counter[str], call: Call) -> Iterator[None]:
    """Count a call for its key until the block is left."""
    name = call.key.name if call.key else ""
    counts[name] += 1
    try:
        yield
    finally:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]


def _client(request: Request, call: Call) -> str:
    """Return whose request it is: that of a key, else of an address."""
    if call.key is not None:
        return f"key {call.key.name}"
    return f"address {request.client.host if request.client else ''}"


@contextlib.contextmanager
def _charged(state: State, call: Call, upload: Upload) -> Iterator[list[float]]:
    """Charge a key for the work that the block adds, or for the time that a failure took."""
    start, work = time.monotonic(), list[float]()
    try:
        yield work
    except ApiError as error:
        if error.code == "decoder_crashed" or not upload.path.exists():  # a scorer had it
            work.append(time.monotonic() - start)
        raise
    finally:
        if call.key is not None:
            state.gate.charge(call.key, sum(work))


def _handler(endpoint: BundleEndpoint) -> Callable[[Request], Awaitable[Response]]:
    async def describe(request: Request) -> Response:
        scoring: Scoring = request.app.state.scoring
        try:
            return JSONResponse(plain(endpoint.answer(scoring.bundle)))
        except ApiError as api_error:
            return api_error.response()

    return describe


async def docs(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(document(request.app.state.endpoints))


async def page(_: Request) -> Response:
    """Return the page at ``/``."""
    return HTMLResponse(PAGE)


def _gate(settings: Settings) -> Gate | None:
    if not settings.keys:
        return None
    return Gate(Path(settings.keys), run_folder() / "rates")


async def _follow(gate: Gate) -> None:
    while True:
        await asyncio.sleep(TEND_S)
        await asyncio.to_thread(gate.follow)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Start the scorer with the worker, and end both together."""
    # BentoML's workers outlive a server that is killed
    end_with_parent(signal.SIGTERM, int(os.environ[SERVER]))
    logging.getLogger("bonafide").setLevel(logging.INFO)
    label_log()
    settings = Settings.from_environment()
    app.state.uploads, app.state.in_hand = Counter[str](), Counter[str]()
    app.state.streams, app.state.kept = {}, Kept(run_folder())
    app.state.anonymous = settings.anonymous
    app.state.audit = Audit(Path(settings.audit)) if settings.audit else None
    Counters.of_environment().begin()
    app.state.metrics = Metrics()
    app.state.scoring = Scoring(settings, home(), app.state.metrics)
    async with contextlib.AsyncExitStack() as opened:
        opened.push_async_callback(app.state.scoring.close)
        app.state.gate = gate = _gate(settings)
        if gate:
            opened.callback(gate.close)
            following = asyncio.create_task(supervise("following the keys", partial(_follow, gate)))
            opened.callback(following.cancel)
        app.state.recorder = Recorder(Path(settings.record)) if settings.record else None
        if recorder := app.state.recorder:
            opened.callback(recorder.close)
            keeping = asyncio.create_task(supervise("the record", recorder.keep))
            opened.callback(keeping.cancel)
        app.state.beside = Beside(
            settings, home(), app.state.scoring, app.state.metrics, app.state.recorder
        )
        opened.push_async_callback(app.state.beside.close)
        app.state.jobs = None
        if settings.jobs:
            app.state.jobs = Jobs(
                *(settings, home(), app.state.endpoints, app.state.metrics),
                *(app.state.recorder, gate),
            )
            opened.push_async_callback(app.state.jobs.close)
        if settings.metrics_address:
            await opened.enter_async_context(serve_metrics(*settings.metrics_address))
        await app.state.scoring.start()
        app.state.beside.start()
        if app.state.jobs:
            app.state.jobs.start()
        gc.freeze()  # what is loaded stays: the collector need not look at it
        yield


def application(endpoints: Mapping[str, Endpoint]) -> Starlette:
    """Build the application that BentoML mounts.

    Scoring endpoints have no route in it: the guard, which every request passes, calls `score`.

    Parameters
    ----------
    endpoints : mapping of str to Endpoint
        What `find_endpoints` returns.

    Returns
    -------
    Starlette
    """
    describing = [each for each in endpoints.values() if isinstance(each, BundleEndpoint)]
    routes = [Route(each.path, _handler(each), methods=[each.method]) for each in describing]
    routes += [
        Route("/", page, methods=["GET"]),
        *app_routes(),
        *(live_routes() if Settings.from_environment().streams else ()),
        Route("/docs.json", docs, methods=["GET"]),
        Route(feedback.PATH, feedback.feedback, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.endpoints = dict(endpoints)
    app.state.paths = {*HEALTH, *(route.path for route in routes)}
    if Settings.from_environment().metrics:
        app.state.paths.remove("/metrics")
    return app


def scoring_paths(endpoints: Mapping[str, Endpoint]) -> dict[str, str]:
    """Return the name of each scoring endpoint by its path."""
    return {
        each.path: name for name, each in endpoints.items() if isinstance(each, ScoringEndpoint)
    }
