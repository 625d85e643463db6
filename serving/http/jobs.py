"""``/v1/jobs``: recordings that are taken at once, and answered later."""

import asyncio
import logging
import re
from dataclasses import dataclass

from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bonafide.client import BUNDLE_HEADER
from bonafide.errors import StorageError
from serving.http.call import CALL, Call
from serving.http.endpoints import ScoringEndpoint
from serving.http.errors import ApiError
from serving.http.uploads import Upload, read_upload
from serving.jobs.callbacks import CallbackError
from serving.jobs.store import Job
from serving.jobs.work import Jobs, described

log = logging.getLogger("bonafide.serve")
PATH = "/v1/jobs"
ONE = re.compile(rf"{PATH}/([A-Za-z0-9_-]{{22}})")
ASKED = ("endpoint", "callback")  # of the query


def is_path(path: str) -> bool:
    """Return whether a path is one of jobs."""
    return path == PATH or ONE.fullmatch(path) is not None


async def jobs(request: Request, state: State) -> Response:
    """Take a job, tell of one, or forget one.

    Parameters
    ----------
    request : Request
        Its body is not read yet.
    state : State
        The application's.

    Returns
    -------
    Response

    Raises
    ------
    ApiError
        ``not_found`` where there are no jobs, or not that one; what an upload raises.
    """
    kept: Jobs | None = state.jobs
    if kept is None:
        message = "this service takes no jobs (BONAFIDE_JOBS)"
        raise ApiError("not_found", message, close=request.method == "POST")
    path = request.url.path
    allowed = ("POST",) if path == PATH else ("GET", "HEAD", "DELETE")
    if request.method not in allowed:
        message = f"{path} takes {' and '.join(allowed)} alone"
        raise ApiError("method_not_allowed", message, close=True, allow=allowed)
    call: Call = request.scope[CALL]
    try:
        if request.method == "POST":
            return await _take(request, state, kept, call)
        return await _one(request, kept, call)
    except StorageError as error:
        log.error("jobs cannot be kept: %s", error)
        raise ApiError("no_room", "jobs cannot be kept now; the service's log says why") from error


async def _take(request: Request, state: State, kept: Jobs, call: Call) -> Response:
    if BUNDLE_HEADER in request.headers:
        message = f"a job is answered by the bundle in production then: {BUNDLE_HEADER} names none"
        raise ApiError("bad_request", message, close=True)
    wanted = _wanted(request, state, kept)
    if await asyncio.to_thread(kept.store.waiting) >= kept.settings.max_jobs:
        message = f"{kept.settings.max_jobs} jobs wait; try again"
        raise ApiError("busy", message, retry_after_s=60, close=True)
    arriving = state.uploads.total()
    if arriving >= kept.settings.max_uploads:
        message = f"{arriving} uploads are arriving; try again"
        raise ApiError("busy", message, retry_after_s=1, close=True)
    job_id, owner = kept.store.new_id(), _owner(call)
    upload = Upload(kept.store.audio(job_id))
    state.uploads[owner] += 1
    try:
        await asyncio.to_thread(kept.store.begin, job_id, owner, wanted.endpoint, wanted.callback)
        await read_upload(request, kept.settings, upload)
        await asyncio.to_thread(kept.store.accept, job_id)
    except BaseException:
        upload.close()
        kept.store.remove(job_id)
        raise
    finally:
        state.uploads[owner] -= 1
    call.size = upload.size
    kept.wake()
    where = f"{PATH}/{job_id}"
    return JSONResponse({"id": job_id, "status": "queued"}, 202, {"location": where})


@dataclass(frozen=True)
class Wanted:
    """What a job asks for."""

    endpoint: str = "detect"
    callback: str = ""


def _wanted(request: Request, state: State, kept: Jobs) -> Wanted:
    query = request.query_params
    if unknown := [name for name in query if name not in ASKED or len(query.getlist(name)) > 1]:
        named = " and ".join(ASKED)
        message = f"{unknown[0]!r:.40}: the query may hold {named}, each once"
        raise ApiError("bad_request", message, close=True)
    wanted = Wanted(**query)
    if not isinstance(state.endpoints.get(wanted.endpoint), ScoringEndpoint):
        scoring = [n for n, each in state.endpoints.items() if isinstance(each, ScoringEndpoint)]
        message = f"endpoint {wanted.endpoint!r:.40}: must be one of {', '.join(scoring)}"
        raise ApiError("bad_request", message, close=True)
    if wanted.callback:
        try:
            kept.allowed.check(wanted.callback)
        except CallbackError as error:
            raise ApiError("callback_refused", f"callback: {error}", close=True) from error
    return wanted


async def _one(request: Request, kept: Jobs, call: Call) -> Response:
    found = ONE.fullmatch(request.url.path)
    assert found
    job: Job | None = await asyncio.to_thread(kept.store.find, found[1])
    if job is None or job.status == "arriving" or job.owner != _owner(call):
        raise ApiError("not_found", "there is no such job (any more)")
    if request.method == "DELETE":
        await asyncio.to_thread(kept.store.remove, job.id)
        return Response(status_code=204)
    return JSONResponse(described(job))


def _owner(call: Call) -> str:
    return call.key.name if call.key else ""
