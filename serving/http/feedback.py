"""``POST /v1/feedback``: what a person says of an answer, into the record of answers."""

import asyncio
import json
import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bonafide.errors import BonafideError, StorageError
from bonafide.monitoring.record import LABELS
from serving.http.errors import ApiError
from serving.http.headers import SANE_ID
from serving.http.recorder import Recorder
from serving.http.uploads import limited_body

log = logging.getLogger("bonafide.serve")
PATH = "/v1/feedback"
MOST_BYTES, LONGEST_S = 4096, 10.0  # of a body, and for it to arrive
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["request_id", "label"],
    "additionalProperties": False,
    "properties": {
        "request_id": {
            "type": "string",
            "pattern": f"^{SANE_ID.pattern.decode()}$",
            "description": "The X-Request-Id of the answer.",
        },
        "label": {"enum": list(LABELS), "description": "What the recording is."},
    },
}


async def feedback(request: Request) -> Response:
    """Note the label of an answer, ``{"request_id": ..., "label": ...}``, and return both."""
    recorder: Recorder | None = request.app.state.recorder
    try:
        if recorder is None:
            message = "this service keeps no record of its answers (BONAFIDE_RECORD)"
            raise ApiError("no_record", message)
        given = await _read(request)
        await _note(recorder, given["request_id"], given["label"])
    except ApiError as api_error:
        return api_error.response()
    return JSONResponse(given)


async def _note(recorder: Recorder, request_id: str, label: str) -> None:
    try:
        await recorder.label(request_id, label)
    except StorageError as error:
        log.error("feedback is not kept: %s", error)
        message = "the record cannot be written now; the service's log says why"
        raise ApiError("not_ready", message, retry_after_s=1) from error
    except BonafideError as error:
        message = f"the record holds no answer to request {request_id!r} (any more)"
        raise ApiError("unknown_request", message) from error


async def _read(request: Request) -> dict[str, str]:
    """Read the body: an object with two texts."""
    try:
        async with asyncio.timeout(LONGEST_S):
            body = b"".join([piece async for piece in limited_body(request, MOST_BYTES)])
    except TimeoutError as error:
        message = f"the body took longer than {LONGEST_S:g} s"
        raise ApiError("request_too_slow", message, close=True) from error
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not _is_sound(given):
        labels = '" or "'.join(LABELS)
        message = f'the body must be {{"request_id": "...", "label": "{labels}"}}'
        raise ApiError("bad_request", message)
    return given


def _is_sound(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and given.keys() == SCHEMA["properties"].keys()
        and all(isinstance(value, str) for value in given.values())
        and given["label"] in LABELS
        and SANE_ID.fullmatch(given["request_id"].encode(errors="replace")) is not None
    )
