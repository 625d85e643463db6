"""What every request passes first: checks of origin and key, and the headers of the answer."""

import errno
import logging
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders, State
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from bonafide.process.service import is_loopback
from serving.http.bentoml_schema import SCHEMA, schema
from serving.http.call import CALL, Call
from serving.http.errors import ApiError, error_response
from serving.http.gate import Gate
from serving.http.headers import (
    REQUEST_ID,
    headers_on,
    in_hand,
    key_offered,
    named_host,
    request_id,
)
from serving.http.jobs import is_path as is_of_jobs
from serving.http.jobs import jobs
from serving.http.routes import score, scoring_paths
from serving.http.sockets import PATH as STREAM
from serving.http.stream import stream

log = logging.getLogger("bonafide.serve")

Message = MutableMapping[str, Any]
Scope, Receive, Send = (
    Message,
    Callable[[], Awaitable[Message]],
    Callable[[Message], Awaitable[None]],
)

CODES = {404: "not_found", 405: "method_not_allowed", 503: "not_ready"}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
STARTS = ("http.response.start", "websocket.http.response.start")
OF_THE_SITE = ("same-origin", "none")  # Sec-Fetch-Site: of a page of ours, or typed by the user

# What the machine is short of for a while: files of the process or of all, memory, disk.
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC)
SHORT = ApiError("not_ready", "the service is short of files, memory or disk", retry_after_s=1)


class Guard:
    """ASGI middleware: rejects requests before their body is read; gives all errors one shape.

    Parameters
    ----------
    app : ASGI application
        Called for all but scoring endpoints.
    state : State
        ``endpoints``, by name; ``paths``, all that are served; ``gate``, a `Gate`, or None to serve
        without keys; ``audit``, an `Audit` or None; ``anonymous``, whether to serve without keys
        even on an address that other machines can reach.
    """

    def __init__(self, app: Any, state: State) -> None:
        self._app, self._state = app, state
        self._scoring = scoring_paths(state.endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        call = Call(request_id(scope["headers"]))
        scope[CALL] = call
        in_hand.set(call.request_id)
        answer = _Answer(scope["path"], call, send)
        start = time.perf_counter()
        try:
            await self._answer(scope, receive, answer, call)
        finally:
            if self._state.audit and scope["path"].startswith("/v1/"):
                self._note(scope["path"], call, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer", call: Call) -> None:
        try:
            self._check(scope, call)
            if scope["path"] == STREAM:
                await self._stream(scope, receive, answer, call)
            elif name := self._scoring.get(scope["path"]):
                if scope["method"] != "POST":
                    raise ApiError("method_not_allowed", f"{scope['path']} takes POST alone")
                # Called here: a dozen layers of routing would take as long as reading the body.
                response = await score(name, Request(scope, receive), self._state, call)
                await response(scope, receive, answer.send)
            elif is_of_jobs(scope["path"]):
                response = await jobs(Request(scope, receive), self._state)
                await response(scope, receive, answer.send)
            elif scope["path"] == SCHEMA:  # BentoML's own there names no calls
                if scope.get("method") not in ("GET", "HEAD"):
                    raise ApiError("method_not_allowed", f"{SCHEMA} takes GET alone")
                await JSONResponse(schema(self._state.endpoints))(scope, receive, answer.send)
            elif scope["path"] in self._state.paths:
                if scope["path"] == "/readyz":
                    await self._state.scoring.check_ready()
                await self._app(scope, receive, answer.send)
            else:
                raise ApiError("not_found", "not found")
        except ApiError as api_error:
            call.code = api_error.code
            self._state.metrics.rejected(api_error.status, call.code)
            await api_error.response()(scope, receive, answer.send)
        except Exception as error:  # the log keeps the trace; the answer has none
            log.exception("a request failed")
            short = isinstance(error, OSError) and error.errno in SHORTAGES
            call.code = "not_ready" if short else "internal"
            self._state.metrics.rejected(503 if short else 500, call.code)
            if answer.started:
                raise
            internal = (500, "internal", "an error of the service; see its log")
            response = SHORT.response() if short else error_response(*internal)
            await response(scope, receive, answer.send)

    async def _stream(self, scope: Scope, receive: Receive, answer: "_Answer", call: Call) -> None:
        if not self._state.scoring.settings.streams:
            raise ApiError("not_found", "not found")
        if scope["type"] != "websocket":
            message = f"{STREAM} takes WebSockets alone: GET, with Upgrade: websocket"
            raise ApiError("upgrade_required", message)
        await stream(WebSocket(scope, receive, answer.send), self._state, call)

    def _note(self, path: str, call: Call, took_s: float) -> None:
        """Add a call to the audit log; made-up paths are not kept."""
        known = (
            path in self._state.paths or path in self._scoring or path == STREAM or is_of_jobs(path)
        )
        self._state.audit.write(
            request_id=call.request_id,
            key=call.key.name if call.key else None,
            path=path if known else None,
            status=call.status,
            code=call.code,
            verdict=call.verdict,
            size_bytes=call.size,
            took_s=round(took_s, 4),
        )

    def _check(self, scope: Scope, call: Call) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        # What browsers ask of a page that opens a socket is nothing at all.
        if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
            _check_site(headers)
        if self._state.gate is None:
            self._check_place(scope, headers)
        elif path.startswith("/v1/") or path == "/metrics":
            self._check_key(self._state.gate, headers, call)

    def _check_place(self, scope: Scope, headers: Headers) -> None:
        """Without keys, serve this machine alone, and no web site whose name points to it."""
        if self._state.anonymous:
            return
        server = scope.get("server") or ("127.0.0.1", 0)
        if not is_loopback(server[0]):
            message = "no API keys are set, so only this machine is served"
            raise ApiError("keys_required", message, close=True)
        host = named_host(headers)
        if not is_loopback(host):
            raise ApiError("bad_host", f"host {host!r} is not this machine", close=True)

    def _check_key(self, gate: Gate, headers: Headers, call: Call) -> None:
        kind, _, secret = headers.get("authorization", "").partition(" ")
        secret = secret.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        secret = secret or key_offered(headers)
        if not secret:
            message = "an API key is needed: Authorization: Bearer KEY"
            raise ApiError("unauthorized", message, close=True)
        call.key = gate.find(secret)
        if call.key is None:
            raise ApiError("unauthorized", "the API key is not known", close=True)
        if call.key.expired():
            message = f"key {call.key.name!r} has expired on {call.key.expires}"
            raise ApiError("unauthorized", message, close=True)
        if wait_s := gate.take(call.key):
            message = f"key {call.key.name!r} is over its rate"
            raise ApiError("over_rate", message, retry_after_s=math.ceil(wait_s))


def _check_site(headers: Headers) -> None:
    """Reject what a page of another site has its visitor's browser send.

    Browsers say where a request comes from; other clients say nothing, and are let through.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        ours = site in OF_THE_SITE
    else:  # an older browser
        named = headers.get("host", "").lower()
        ours = origin is None or origin.lower().partition("://")[2] == named
    if not ours:
        message = "a page of another site may not call the service from a browser"
        raise ApiError("cross_site", message, close=True)


class _Answer:
    """Passes an answer on with our headers, and an error of BentoML's in our shape."""

    def __init__(self, path: str, call: Call, send: Send) -> None:
        self._call, self._send = call, send
        self._ours = [*headers_on(path), (REQUEST_ID, call.request_id.encode())]
        self.started = False
        self._replaced = False

    async def send(self, message: Message) -> None:
        self.started = self.started or message["type"] in (*STARTS, "websocket.accept")
        if message["type"] in STARTS:
            status = self._call.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._ours]
            headers = MutableHeaders(scope=message)
            self._replaced = status >= 400 and headers.get("content-type") != "application/json"
            if self._replaced:
                await self._send_error(status, headers)
                return
        if not self._replaced:
            await self._send(message)

    async def _send_error(self, status: int, headers: MutableHeaders) -> None:
        code = self._call.code = CODES.get(status, "error")
        response = error_response(status, code, code.replace("_", " "))
        headers["content-type"], headers["content-length"] = (
            "application/json",
            str(len(response.body)),
        )
        start = {"type": "http.response.start", "status": status, "headers": headers.raw}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": response.body})
