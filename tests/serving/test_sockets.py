"""A WebSocket whose client does not read is cut off, and what it asks for is not kept."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.server import ServerState

from serving.http import sockets
from serving.http.protocol import LimitedProtocol
from serving.http.sockets import LimitedSocket

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def until_cut_off(read: bool) -> tuple[int, bool]:
    """Send a client messages until it is gone; return how many, and whether it was cut off."""
    sent, gone = 0, asyncio.Event()

    async def talk(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        connection = WebSocket(scope, receive, send)
        await connection.accept()
        try:
            while sent < 2_000:
                await connection.send_bytes(bytes(60_000))
                sent += 1
                await asyncio.sleep(0)
            await connection.close()
        except WebSocketDisconnect:
            gone.set()

    config = uvicorn.Config(talk, http=LimitedProtocol, ws=LimitedSocket, log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: LimitedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await loop.sock_sendall(client, HANDSHAKE)
            if read:
                came = 0
                while came < 2_000 * 60_000:
                    came += len(await loop.sock_recv(client, 1 << 20))
            else:
                await asyncio.wait_for(gone.wait(), 30)
    return sent, gone.is_set()


def test_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TAKE_S", 0.5)
    sent, cut_off = asyncio.run(until_cut_off(read=False))
    assert cut_off and sent < 500  # what buffers of the kernel hold, and no more


def test_who_reads_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TAKE_S", 0.5)
    assert asyncio.run(until_cut_off(read=True)) == (2_000, False)
