"""What every answer carries: headers for browsers, and the number of the request."""

import contextvars
import logging
import re
import secrets
from typing import Any

from starlette.datastructures import Headers

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# Of a script that runs beside a page: compiling WebAssembly is forbidden by any policy but this.
WORKER_POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"
API_HEADERS, PAGE_HEADERS, WORKER_HEADERS = (
    [
        (name.encode(), value.encode())
        for name, value in {**SECURITY_HEADERS, "content-security-policy": policy}.items()
    ]
    for policy in (API_POLICY, PAGE_POLICY, WORKER_POLICY)
)

WORKER = "/app/worker.js"

PROTOCOL, KEY = "bonafide", "key."  # of WebSockets, and what a key is offered behind
REQUEST_ID = b"x-request-id"
SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
in_hand: contextvars.ContextVar[str] = contextvars.ContextVar("in_hand", default="")


def headers_on(path: str) -> list[tuple[bytes, bytes]]:
    """Return what an answer of a path carries.

    Parameters
    ----------
    path : str
        Of the request.

    Returns
    -------
    list of tuple of bytes
        Names, in lower case, and values.
    """
    if path == WORKER:
        return WORKER_HEADERS
    return API_HEADERS if path.startswith("/v1/") else PAGE_HEADERS


def new_request_id() -> str:
    """Return the ID of a request that has none of its own."""
    return secrets.token_hex(8)


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the ID of a request: the client's own, unless it is one that a log should not hold.

    Parameters
    ----------
    headers : list of tuple of bytes
        The request's, with names in lower case.

    Returns
    -------
    str
        At most 128 letters, digits and ``. _ : -``.

    Examples
    --------
    >>> request_id([(b"x-request-id", b"call-17")])
    'call-17'
    >>> len(request_id([(b"x-request-id", b"two words")]))
    16
    """
    for name, value in headers:
        if name == REQUEST_ID and SANE_ID.fullmatch(value):
            return value.decode()
    return new_request_id()


def named_host(headers: Headers) -> str:
    """Return the host that the Host header names, without its port; ``localhost`` without one."""
    named = headers.get("host", "localhost")
    return named.rpartition("]")[0].lstrip("[") or named.partition(":")[0]


def key_offered(headers: Headers) -> str:
    """Return the API key among the subprotocols that a WebSocket offers; empty for none.

    Browsers let a page set no header but this one.

    Examples
    --------
    >>> key_offered(Headers({"sec-websocket-protocol": "bonafide, key.0123"}))
    '0123'
    """
    offered = headers.get("sec-websocket-protocol", "").split(",")
    keys = [each.strip().removeprefix(KEY) for each in offered if each.strip().startswith(KEY)]
    return keys[0] if keys else ""


def label_log() -> None:
    """Have every line of this process's log end in the ID of the request that it is about."""
    make = logging.getLogRecordFactory()

    def labelled(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = make(*arguments, **more)
        if in_hand.get():
            record.msg = f"{record.msg} [request {in_hand.get()}]"
        return record

    logging.setLogRecordFactory(labelled)
