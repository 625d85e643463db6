"""WebSockets with limits: what a client may send at once, and how long it may take to read."""

import asyncio
import base64
import binascii
import logging
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

PATH = "/v1/stream"
MAX_MESSAGE_BYTES = 1_000_000  # half a minute of sound
PING_S = 5.0, 10.0  # between two, and for an answer: then the connection is broken
TAKE_S = 10.0  # for a client to take what it is sent

# What it would say: addresses and queries of clients, and traces of what they send.
_SILENT = logging.getLogger("bonafide.sockets")
_SILENT.setLevel(logging.CRITICAL + 1)


class CutOff(asyncio.Protocol):
    """A connection that is broken off where its client does not take what it is sent."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _unread: asyncio.TimerHandle | None = None

    def take_s(self) -> float:
        """Return the seconds that a client has."""
        return TAKE_S

    def pause_writing(self) -> None:
        """Wait for a client to take what it is sent, for a while."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.take_s(), self.transport.abort)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)


class LimitedSocket(CutOff, WebSocketsSansIOProtocol):
    """One WebSocket: uvicorn's protocol, with limits and without compression.

    Parameters
    ----------
    *arguments, **options : Any
        As uvicorn gives them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _SILENT
        self.conn = ServerProtocol(max_size=MAX_MESSAGE_BYTES, logger=_SILENT)
        self.ping_interval, self.ping_timeout = PING_S


def is_handshake(scope: MutableMapping[str, Any], url: bytes) -> bool:
    """Return whether a request opens a WebSocket where there is one (RFC 6455, section 4.2.1).

    Parameters
    ----------
    scope : ASGI scope
        With method and headers.
    url : bytes
        As the request has it.

    Returns
    -------
    bool
    """
    headers = dict(scope["headers"])
    try:
        key = base64.b64decode(headers.get(b"sec-websocket-key", b""), validate=True)
    except binascii.Error:
        return False
    return (
        scope["method"] == "GET"
        and url.partition(b"?")[0] == PATH.encode()
        and headers.get(b"upgrade", b"").strip().lower() == b"websocket"
        and headers.get(b"sec-websocket-version", b"").strip() == b"13"
        and len(key) == 16
    )
