"""HTTP/1.1 with limits on what a client may make the server keep before a request is answered.

uvicorn's protocol keeps header lines, trailers and pipelined requests without end. This one counts
them as they arrive. What it rejects is answered in its turn, in the shape of every API error.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.http.errors import ApiError
from serving.http.headers import API_HEADERS, REQUEST_ID, new_request_id
from serving.http.sockets import CutOff, is_handshake

MAX_URL_BYTES = 8_192
MAX_HEADER_LINES = 100  # trailers included
MAX_HEADER_BYTES = 32_768
MAX_FRAMING_BYTES = 65_536  # sizes and extensions of chunks: this, and as many as the body has
MAX_PIPELINED = 16
MAX_DRAINED_BYTES = 1_000_000  # read for nothing, so that the client gets to see its answer
WAIT_S = 10.0  # for the whole head of a request, or the rest of a body that nobody wants
LEAVE_S = 2.0  # for a client to see why its connection is closed
TAKE_S = 30.0  # for a client to take what it asked for
VERSIONS = ("1.0", "1.1")


class Stage(Enum):
    """Where in the client's stream the parser is."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


class LimitedProtocol(CutOff, HttpToolsProtocol):
    """One connection: uvicorn's protocol, with limits.

    Parameters
    ----------
    *arguments, **options : Any
        As uvicorn gives them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stage = Stage.BETWEEN
        self._framing = 0  # bytes of this request that are not its body
        self._lines = self._header_bytes = self._drained = 0
        self._error: ApiError | None = None
        self._leaving = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; reject it where it is over a limit."""
        if self._leaving:
            self._drain(len(data))
        if self._leaving or self._error:
            return
        self._unset_keepalive_if_required()
        self._framing += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._reject(self._error or ApiError("bad_request", "not a request of HTTP/1.1"))
            return
        if self._leaving:
            return
        if self._stage is Stage.BODY:
            if self._framing > MAX_FRAMING_BYTES:
                self._reject(ApiError("bad_request", "the chunks of the body are too small"))
                return
        elif self._framing > MAX_HEADER_BYTES:
            self._reject(_too_large())
            return
        self._watch()

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self._opens_a_socket():
                    self._leaving = True  # what comes of the connection is another's
                    self._stop_timer()
                    self.handle_websocket_upgrade()
                    return
                data = self._without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _opens_a_socket(self) -> bool:
        """Return whether the request is a handshake that may be taken, with nothing before it."""
        busy = bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)
        return bool(self.ws_protocol_class) and not busy and is_handshake(self.scope, self.url)

    def _without_offer(self) -> bytes:
        """Return the head of a request that offers another protocol, as if it did not."""
        lines = [f"{self.scope['method']} ".encode() + self.url + b" HTTP/1.1"]
        for name, value in self.headers:
            if name == b"connection":
                others = (each for each in value.split(b",") if each.strip().lower() != b"upgrade")
                lines.append(b"connection: " + b",".join(others))
            elif name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    # --- what the parser calls --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        if len(self.pipeline) >= MAX_PIPELINED:
            message = f"more than {MAX_PIPELINED} requests wait on one connection"
            self._fail(ApiError("bad_request", message))
        super().on_message_begin()
        self._stage, self._lines, self._header_bytes, self._drained = Stage.HEAD, 0, 0, 0

    def on_url(self, url: bytes) -> None:
        """Add to the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            message = f"the URL is longer than the {MAX_URL_BYTES} bytes allowed"
            self._fail(ApiError("url_too_long", message))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a line of the head, and nothing of a trailer."""
        self._lines += 1
        self._header_bytes += len(name) + len(value) + 4  # with what separates them
        if self._lines > MAX_HEADER_LINES or self._header_bytes > MAX_HEADER_BYTES:
            self._fail(_too_large())
        if self._stage is Stage.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to answer, unless the client offers another protocol: see `_parse`."""
        if self.parser.should_upgrade():
            self.scope["method"] = self.parser.get_method().decode()
            if self.scope["method"] == "CONNECT":
                self._fail(ApiError("bad_request", "CONNECT is not served"))
        elif self.parser.get_http_version() not in VERSIONS:
            self._fail(ApiError("bad_request", f"the version must be one of {', '.join(VERSIONS)}"))
        else:
            super().on_headers_complete()
            self.cycle.transport = _Leaving(self)
            self._stage = Stage.BODY

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, or count what nobody wants."""
        self._framing -= 2 * len(body)  # itself, and as much framing
        super().on_body(body)
        if self.cycle.response_complete:
            self._drain(len(body))

    def on_message_complete(self) -> None:
        """End a request."""
        if self._stage is Stage.BODY:
            super().on_message_complete()
            self._stage, self._framing = Stage.BETWEEN, 0

    def on_response_complete(self) -> None:
        """Go on to the next request; read no more while one waits."""
        if self._leaving:
            return
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    # --- limits -----------------------------------------------------------------------------------

    def _fail(self, error: ApiError) -> None:
        """Have the parser stop."""
        self._error = error
        raise error

    def _reject(self, error: ApiError) -> None:
        """Answer with an error after all that is being answered, and close the connection."""
        self._error = error
        self._stop_timer()
        self.flow.pause_reading()
        running = self.cycle is not None and not self.cycle.response_complete
        if self._stage is Stage.BODY:  # of the newest request, which thereby breaks off
            if self.cycle.response_started:
                self.leave()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            running = bool(self.pipeline)
            if running:
                self.pipeline.popleft()
        self.cycle = self._last_cycle()
        if running:
            self.pipeline.appendleft((self.cycle, _answering(error)))
        else:
            self._start_asgi_task(self.cycle, _answering(error))

    def _last_cycle(self) -> RequestResponseCycle:
        scope: Any = {"type": "http", "method": "GET", "http_version": "1.1", "headers": []}
        return RequestResponseCycle(
            scope=scope,
            transport=_Leaving(self),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def leave(self) -> None:
        """Close the connection, once the client has had a chance to read its answer.

        Closed at once, with something unread, it would be reset, and the answer lost on its way.
        """
        if self.transport.is_closing() or self._leaving:
            return
        self._leaving = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        if self._stage is Stage.BETWEEN and not self._error:
            self.transport.close()  # once it has taken all
        else:
            self.transport.write_eof()
            self.flow.resume_reading()
        self._timer = self.loop.call_later(LEAVE_S, self.transport.abort)

    def _drain(self, size: int) -> None:
        """Read for nothing, within limits."""
        self._drained += size
        if self._drained > MAX_DRAINED_BYTES:
            self.transport.abort()

    # --- time -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Limit the time of what the client owes, unless its body is wanted: that has a limit."""
        busy = self.cycle is not None and not self.cycle.response_complete
        owing = self._stage is Stage.HEAD or self._framing > 0 or not busy
        if self._stage is Stage.BODY:
            owing = not busy
        if not owing:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(WAIT_S, self._is_late)

    def take_s(self) -> float:
        """Return the seconds that a client has for its answers."""
        return TAKE_S

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that asks nothing more, whatever it has not taken."""
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        if self.transport.is_closing():
            return
        idle = self._stage is Stage.BETWEEN and not self._framing
        if idle or self._stage is Stage.BODY:
            self.transport.close()
        else:
            message = f"the request took longer than {WAIT_S:g} s to arrive"
            self._reject(ApiError("request_too_slow", message))


class _Leaving:
    """The transport that an answer is written to: closing it leaves the client time to read."""

    def __init__(self, protocol: LimitedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        self._protocol.leave()


def _too_large() -> ApiError:
    limits = f"{MAX_HEADER_LINES} lines and {MAX_HEADER_BYTES} bytes allowed"
    return ApiError("header_too_large", f"the header is larger than the {limits}")


def _answering(error: ApiError) -> Callable[..., Awaitable[None]]:
    """Return an application that answers every request with an error."""
    response = error.response()
    response.raw_headers += [*API_HEADERS, (REQUEST_ID, new_request_id().encode())]
    return response
