"""The routes under /v1, and what is written about them."""

import contextlib
import gc
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bonafide.home import home
from serving.http.errors import ApiError
from serving.http.keys import Gate, read_keys
from serving.http.metrics import Metrics
from serving.http.openapi import document
from serving.http.uploads import read_upload
from serving.settings import Settings
from serving.workers.queue import run_folder
from serving.workers.scoring import Scoring

CLIENT_GONE = 499  # as nginx counts it; nobody is there to read it


async def detect(request: Request, state: State) -> Response:
    """Answer ``POST /v1/detect``."""
    metrics: Metrics = state.metrics
    start = time.perf_counter()
    code = "ok"
    try:
        response = await _detect(request, state)
    except ApiError as api_error:
        code, response = api_error.code, api_error.response()
    except ClientDisconnect:
        code, response = "client_gone", Response(status_code=CLIENT_GONE)
    metrics.answered(response.status_code, code, time.perf_counter() - start)
    return response


async def _detect(request: Request, state: State) -> Response:
    scoring: Scoring = state.scoring
    bundle = scoring.bundle
    scoring.check_room()
    if state.uploads >= scoring.settings.max_uploads:
        raise ApiError("busy", f"{state.uploads} uploads are arriving", retry_after_s=1)
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
            reply = await scoring.score(upload)
    finally:
        upload.close()
        state.metrics.answers_with(bundle)
    notes = reply.notes
    if error := notes.get("error"):
        raise ApiError(error["code"], error["message"])
    state.metrics.scored(notes["verdict"], {"receive": received_s, **notes["timings"]})
    return Response(reply.body, media_type="application/json")


async def model(request: Request) -> Response:
    """Return the manifest, card and thresholds of the bundle that answers."""
    scoring: Scoring = request.app.state.scoring
    try:
        bundle = scoring.bundle
    except ApiError as api_error:
        return api_error.response()
    card = bundle.folder / "card.md"
    manifest = bundle.manifest
    return JSONResponse(
        {
            "bundle": bundle.identity,
            "thresholds": manifest["thresholds"],
            "prior_spoof": manifest["prior_spoof"],
            "lineage": {key: manifest.get(key) for key in ("corpus", "code", "zenml", "created")},
            "card": card.read_text(encoding="utf-8") if card.is_file() else "",
            "manifest": manifest,
        }
    )


async def docs(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(document())


def _gate(settings: Settings) -> Gate | None:
    if not settings.keys:
        return None
    return Gate(read_keys(Path(settings.keys)), run_folder(os.getppid()) / "rates")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Start the scorer with the worker, and end it with it."""
    logging.getLogger("bonafide").setLevel(logging.INFO)
    settings = Settings.from_environment()
    app.state.uploads = 0
    app.state.anonymous = settings.anonymous
    app.state.gate = _gate(settings)
    app.state.metrics = Metrics()
    app.state.scoring = Scoring(settings, home())
    try:
        await app.state.scoring.start()
        app.state.metrics.answers_with(app.state.scoring.bundle)
        gc.freeze()  # what is loaded stays; looking through it again and again costs time
        yield
    finally:
        await app.state.scoring.close()
        if app.state.gate:
            app.state.gate.close()


def application() -> Starlette:
    """Build the application that BentoML mounts; `detect` is called before it, by the guard."""
    return Starlette(
        routes=[
            Route("/v1/model", model, methods=["GET"]),
            Route("/docs.json", docs, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
