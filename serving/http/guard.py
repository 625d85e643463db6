"""What every request passes first: checks of origin and key, and the headers of the answer."""

import logging
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders, State
from starlette.requests import Request

from serving.http.errors import ApiError, error_response
from serving.http.keys import Gate
from serving.http.routes import score, scoring_paths
from serving.settings import is_loopback

log = logging.getLogger("bonafide.serve")

Message = MutableMapping[str, Any]
Scope, Receive, Send = (
    Message,
    Callable[[], Awaitable[Message]],
    Callable[[Message], Awaitable[None]],
)

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
# BentoML's page would load a tracker; it does well without.
PAGE_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
API_HEADERS, PAGE_HEADERS = (
    Headers({**SECURITY_HEADERS, "content-security-policy": policy}).raw
    for policy in (API_POLICY, PAGE_POLICY)
)
CODES = {404: "not_found", 405: "method_not_allowed", 503: "not_ready"}


class Guard:
    """ASGI middleware: rejects requests before their body is read; gives all errors one shape.

    Parameters
    ----------
    app : ASGI application
        Called for all but scoring endpoints.
    state : State
        ``endpoints``, by name; ``gate``, a `Gate`, or None to serve without keys; ``anonymous``,
        whether to do so even on an address that other machines can reach.
    """

    def __init__(self, app: Any, state: State) -> None:
        self._app, self._state = app, state
        self._scoring = scoring_paths(state.endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope["path"], send)
        try:
            self._check(scope)
            if name := self._scoring.get(scope["path"]):
                if scope["method"] != "POST":
                    raise ApiError("method_not_allowed", f"{scope['path']} takes POST alone")
                # Called here: a dozen layers of routing would take as long as reading the body.
                response = await score(name, Request(scope, receive), self._state)
                await response(scope, receive, answer.send)
            else:
                if scope["path"] == "/readyz":
                    await self._state.scoring.check_ready()
                await self._app(scope, receive, answer.send)
        except ApiError as api_error:
            await api_error.response()(scope, receive, answer.send)
        except Exception:  # the log keeps the trace; the answer has none
            log.exception("a request failed")
            if answer.started:
                raise
            response = error_response(500, "internal", "an error of the service; see its log")
            await response(scope, receive, answer.send)

    def _check(self, scope: Scope) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        if self._state.gate is None:
            self._check_place(scope, headers)
        elif path.startswith("/v1/") or path == "/metrics":
            self._check_key(self._state.gate, headers)

    def _check_place(self, scope: Scope, headers: Headers) -> None:
        """Without keys, serve this machine alone, and no web site whose name points to it."""
        if self._state.anonymous:
            return
        server = scope.get("server") or ("127.0.0.1", 0)
        if not is_loopback(server[0]):
            message = "no API keys are set, so only this machine is served"
            raise ApiError("keys_required", message, close=True)
        named = headers.get("host", "localhost")
        host = named.rpartition("]")[0].lstrip("[") or named.partition(":")[0]
        if not is_loopback(host):
            raise ApiError("bad_host", f"host {host!r} is not this machine", close=True)

    def _check_key(self, gate: Gate, headers: Headers) -> None:
        kind, _, secret = headers.get("authorization", "").partition(" ")
        secret = secret.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        if not secret:
            message = "an API key is needed: Authorization: Bearer KEY"
            raise ApiError("unauthorized", message, close=True)
        number = gate.find(secret)
        if number is None:
            raise ApiError("unauthorized", "the API key is not known", close=True)
        if wait_s := gate.take(number):
            message = f"key {gate.name(number)!r} is over its rate"
            raise ApiError("over_rate", message, retry_after_s=math.ceil(wait_s))


class _Answer:
    """Passes an answer on with our headers, and an error of BentoML's in our shape."""

    def __init__(self, path: str, send: Send) -> None:
        self._path, self._send = path, send
        self.started = False
        self._replaced = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            of_api = self._path.startswith("/v1/")
            ours = API_HEADERS if of_api else PAGE_HEADERS
            message["headers"] = [*message.get("headers", ()), *ours]
            headers = MutableHeaders(scope=message)
            status = message["status"]
            self._replaced = status >= 400 and headers.get("content-type") != "application/json"
            if self._replaced:
                await self._send_error(status, headers)
                return
        if not self._replaced:
            await self._send(message)

    async def _send_error(self, status: int, headers: MutableHeaders) -> None:
        code = CODES.get(status, "error")
        response = error_response(status, code, code.replace("_", " "))
        headers["content-type"], headers["content-length"] = (
            "application/json",
            str(len(response.body)),
        )
        start = {"type": "http.response.start", "status": status, "headers": headers.raw}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": response.body})
