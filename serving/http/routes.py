"""The routes: calls of the endpoints, and the application around them."""

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bonafide.home import home
from bonafide.process.lifetime import end_with_parent
from serving.http.endpoints import BundleEndpoint, Endpoint, ScoringEndpoint, plain
from serving.http.errors import ApiError
from serving.http.keys import Gate, read_keys
from serving.http.metrics import Metrics
from serving.http.openapi import document
from serving.http.uploads import read_upload
from serving.settings import Settings
from serving.workers.counters import Counters
from serving.workers.folder import run_folder
from serving.workers.scoring import Scoring
from serving.workers.supervisor import SERVER

CLIENT_GONE = 499  # as in nginx; for the metrics, since nobody is left to read it


async def score(name: str, request: Request, state: State) -> Response:
    """Answer a call of a scoring endpoint, with an error if need be, and count it.

    Parameters
    ----------
    name : str
        Name of the endpoint.
    request : Request
        Its body is not read yet.
    state : State
        The application's, as `lifespan` fills it.

    Returns
    -------
    Response
    """
    metrics: Metrics = state.metrics
    start = time.perf_counter()
    code = "ok"
    try:
        response = await _score(name, request, state)
    except ApiError as api_error:
        code, response = api_error.code, api_error.response()
    except ClientDisconnect:
        code, response = "client_gone", Response(status_code=CLIENT_GONE)
    metrics.answered(name, response.status_code, code, time.perf_counter() - start)
    return response


async def _score(name: str, request: Request, state: State) -> Response:
    scoring: Scoring = state.scoring
    bundle = scoring.bundle
    if scoring.trouble:
        await scoring.check_ready()
    scoring.check_room()
    if state.uploads >= scoring.settings.max_uploads:
        raise ApiError("busy", f"{state.uploads} uploads are arriving; try again", retry_after_s=1)
    start = time.perf_counter()
    upload = scoring.new_upload()
    try:
        state.uploads += 1
        try:
            await read_upload(request, scoring.settings, upload)
        finally:
            state.uploads -= 1
        received_s = time.perf_counter() - start
        with state.metrics.queued():
            reply = await scoring.score(name, upload)
    finally:
        upload.close()
        state.metrics.answers_with(bundle)
    notes = reply.notes
    if error := notes.get("error"):
        raise ApiError(error["code"], error["message"])
    timings = {"receive": received_s, **notes["timings"]}
    state.metrics.scored(name, notes["verdict"], timings)
    return Response(reply.body, media_type="application/json")


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


def _gate(settings: Settings) -> Gate | None:
    if not settings.keys:
        return None
    return Gate(read_keys(Path(settings.keys)), run_folder() / "rates")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Start the scorer with the worker, and end both together."""
    # BentoML's workers outlive a server that is killed
    end_with_parent(signal.SIGTERM, int(os.environ[SERVER]))
    logging.getLogger("bonafide").setLevel(logging.INFO)
    settings = Settings.from_environment()
    app.state.uploads = 0
    app.state.anonymous = settings.anonymous
    app.state.gate = _gate(settings)
    Counters.of_environment().begin()
    app.state.metrics = Metrics()
    app.state.scoring = Scoring(settings, home(), app.state.metrics)
    try:
        await app.state.scoring.start()
        gc.freeze()  # what is loaded stays: the collector need not look at it
        yield
    finally:
        await app.state.scoring.close()
        if app.state.gate:
            app.state.gate.close()


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
    app = Starlette(routes=[*routes, Route("/docs.json", docs, methods=["GET"])], lifespan=lifespan)
    app.state.endpoints = dict(endpoints)
    return app


def scoring_paths(endpoints: Mapping[str, Endpoint]) -> dict[str, str]:
    """Return the name of each scoring endpoint by its path."""
    return {
        each.path: name for name, each in endpoints.items() if isinstance(each, ScoringEndpoint)
    }
