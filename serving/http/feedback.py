"""``POST /v1/feedback``: what a person says of an answer, into the record of answers."""

import asyncio
import json
import logging
import re
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
# What an answer may be named by, and what such a name looks like.
NAMES = {"request_id": SANE_ID, "sha256": re.compile(rb"[0-9a-f]{64}")}
COLUMNS = {"request_id": "request_id", "sha256": "file"}  # of the record
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["label"],
    "additionalProperties": False,
    "properties": {
        "request_id": {
            "type": "string",
            "pattern": f"^{SANE_ID.pattern.decode()}$",
            "description": "The X-Request-Id of the answer; one that several files had names none.",
        },
        "sha256": {
            "type": "string",
            "pattern": f"^{NAMES['sha256'].pattern.decode()}$",
            "description": "The SHA-256 of the file: all answers to it.",
        },
        "label": {"enum": list(LABELS), "description": "What the recording is."},
    },
    "oneOf": [{"required": [name]} for name in NAMES],
}


async def feedback(request: Request) -> Response:
    """Note the label of an answer, ``{"request_id": ..., "label": ...}``, and return both.

    ``sha256`` in place of ``request_id`` names the file, and with it all answers to it.
    """
    recorder: Recorder | None = request.app.state.recorder
    try:
        if recorder is None:
            message = "this service keeps no record of its answers (BONAFIDE_RECORD)"
            raise ApiError("no_record", message)
        given = await _read(request)
        (name,) = given.keys() & NAMES.keys()
        await _note(recorder, given[name], given["label"], COLUMNS[name])
    except ApiError as api_error:
        return api_error.response()
    return JSONResponse(given)


async def _note(recorder: Recorder, answer: str, label: str, by: str) -> None:
    try:
        await recorder.label(answer, label, by)
    except StorageError as error:
        log.error("feedback is not kept: %s", error)
        message = "the record cannot be written now; the service's log says why"
        raise ApiError("not_ready", message, retry_after_s=1) from error
    except BonafideError as error:
        if error.code == "ambiguous_request":
            raise ApiError(error.code, error.message) from error
        message = f"the record holds no answer to a request, or on a file, {answer!r} (any more)"
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
        message = f'the body must be {{"request_id" or "sha256": "...", "label": "{labels}"}}'
        raise ApiError("bad_request", message)
    return given


def _is_sound(given: Any) -> bool:
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.values()):
        return False
    return given.get("label") in LABELS and any(
        given.keys() == {name, "label"} and looks.fullmatch(given[name].encode(errors="replace"))
        for name, looks in NAMES.items()
    )
