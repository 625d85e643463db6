"""A WebSocket whose client does not read is cut off, and what it asks for is not kept."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.server import ServerState
from websockets.asyncio.client import connect

from serving.http import protocol, sockets
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

    loop = asyncio.get_running_loop()
    async with listening(talk) as place:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            await loop.sock_connect(client, place)
            await loop.sock_sendall(client, HANDSHAKE)
            if read:
                came = 0
                while came < 2_000 * 60_000:
                    came += len(await loop.sock_recv(client, 1 << 20))
            else:
                await asyncio.wait_for(gone.wait(), 30)
    return sent, gone.is_set()


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[tuple[str, int]]:
    """Serve an application over WebSockets until the block ends."""
    config = uvicorn.Config(app, http=LimitedProtocol, ws=LimitedSocket, log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: LimitedProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()


def test_what_http_requests_owe_a_socket_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a request to arrive ends with the handshake."""
    monkeypatch.setattr(protocol, "WAIT_S", 0.2)

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        connection = WebSocket(scope, receive, send)
        await connection.accept()
        while True:
            try:
                await connection.send_text(await connection.receive_text())
            except WebSocketDisconnect:
                return

    async def talk() -> None:
        async with listening(echo) as (host, port):
            url = f"ws://{host}:{port}/v1/stream"
            async with connect(url, proxy=None) as connection:
                for text in "abc":
                    await asyncio.sleep(0.5)
                    await connection.send(text)
                    assert await connection.recv() == text

    asyncio.run(talk())


def test_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TAKE_S", 0.5)
    sent, cut_off = asyncio.run(until_cut_off(read=False))
    assert cut_off and sent < 500  # what buffers of the kernel hold, and no more


def test_who_reads_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TAKE_S", 0.5)
    assert asyncio.run(until_cut_off(read=True)) == (2_000, False)
