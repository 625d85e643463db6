"""One connection: what is answered, what is rejected, and what is kept meanwhile."""

import asyncio
import contextlib
import http.client
import io
import json
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving.http import protocol
from serving.http.protocol import LimitedProtocol

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE = b"Connection: close\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
WEBSOCKET = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what came, once the body is there; at ``/early``, before it is."""
    body = b""
    while scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    names = sorted(name.decode() for name, _ in scope["headers"])
    content = json.dumps([scope["method"], scope["path"], names, len(body)]).encode()
    if scope["path"] == "/large":
        content = bytes(20_000_000)
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": content})


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Any, ServerState]]:
    config = uvicorn.Config(echo, log_config=None, lifespan="off", http=LimitedProtocol)
    config.load()
    state = ServerState()

    def connect() -> asyncio.Protocol:
        return LimitedProtocol(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname(), state
    finally:
        server.close()


async def _exchange(pieces: Iterable[bytes], limit_s: float) -> bytes:
    async with served() as (address, _):
        return await _talk(*await asyncio.open_connection(*address), pieces, limit_s)


async def _talk(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    pieces: Iterable[bytes],
    limit_s: float,
) -> bytes:
    answer = bytearray()

    async def read() -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                answer.extend(piece)

    reading = asyncio.create_task(read())
    with contextlib.suppress(ConnectionError):  # rejected before all was sent
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
    await asyncio.wait([reading], timeout=limit_s)
    reading.cancel()
    writer.close()
    return bytes(answer)


class _Lying(io.BytesIO):
    def close(self) -> None:
        pass


def exchange(
    *pieces: bytes, limit_s: float = 10.0
) -> list[tuple[int, Any, http.client.HTTPMessage]]:
    """Send pieces on one connection until it is closed; return status, JSON, headers of each."""
    stream = _Lying(asyncio.run(_exchange(pieces, limit_s)))
    answers = []
    while stream.tell() < len(stream.getvalue()):

        class Socket:
            def makefile(self, _: str) -> io.BytesIO:
                return stream

        answer = http.client.HTTPResponse(Socket())  # type: ignore[arg-type]
        answer.begin()
        answers.append((answer.status, json.loads(answer.read()), answer.headers))
    return answers


def rejected(answers: list[tuple[int, Any, http.client.HTTPMessage]]) -> tuple[int, str]:
    """Check the shape of the last answer; return its status and code."""
    status, content, headers = answers[-1]
    assert list(content) == ["error"] and list(content["error"]) == ["code", "message"]
    assert headers["content-type"] == "application/json" and headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff" and len(headers["x-request-id"]) == 16
    return status, content["error"]["code"]


REJECTED = {
    "too many lines": ([GET, b"X: y\r\n" * 200], 431, "header_too_large"),
    "lines without end": ([GET, *[b"X: y\r\n" * 20_000] * 3], 431, "header_too_large"),
    "lines that are long": ([GET, (b"X: " + b"y" * 8_000 + b"\r\n") * 5], 431, "header_too_large"),
    "a value without end": ([GET + b"X: ", *[b"y" * 50_000] * 4], 431, "header_too_large"),
    "a name without end": ([GET, *[b"y" * 50_000] * 4], 431, "header_too_large"),
    "a value by the byte": ([GET + b"X: ", *[b"y" * 9_000] * 4], 431, "header_too_large"),
    "a URL too long": ([b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n"], 414, "url_too_long"),
    "a URL without end": ([b"GET /", *[b"a" * 50_000] * 4], 414, "url_too_long"),
    "a query without end": ([b"GET /?a=", *[b"a&" * 25_000] * 4], 414, "url_too_long"),
    "empty lines without end": ([b"\r\n" * 20_000], 431, "header_too_large"),
    "trailers": ([CHUNKED, b"1\r\nx\r\n0\r\n", b"T: y\r\n" * 200], 431, "header_too_large"),
    "a trailer without end": ([CHUNKED, b"0\r\nT: ", *[b"y" * 50_000] * 4], 400, "bad_request"),
    "an extension without end": ([CHUNKED, b"1;a=", *[b"y" * 50_000] * 4], 400, "bad_request"),
    "extensions": ([CHUNKED, (b"1;" + b"a" * 900 + b"\r\nx\r\n") * 200], 400, "bad_request"),
    "tiny chunks": ([CHUNKED, *[b"1\r\nx\r\n" * 10_000] * 4], 400, "bad_request"),
    "a size that is none": ([CHUNKED, b"x\r\n"], 400, "bad_request"),
    "a size too large": ([CHUNKED, b"f" * 40 + b"\r\n"], 400, "bad_request"),
    "two lengths": ([POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], 400, "bad_request"),
    "a length and chunks": (
        [POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        *(400, "bad_request"),
    ),
    "a length below 0": ([POST + b"Content-Length: -1\r\n\r\n"], 400, "bad_request"),
    "no HTTP": ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400, "bad_request"),
    "HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400, "bad_request"),
    "HTTP/0.9": ([b"GET /\r\n\r\n"], 400, "bad_request"),
    "a made-up method": ([b"FETCH / HTTP/1.1\r\n\r\n"], 400, "bad_request"),
    "a tunnel": ([b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"], 400, "bad_request"),
    "a bad line": ([GET + b"no colon\r\n\r\n"], 400, "bad_request"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_is_rejected(name: str) -> None:
    pieces, status, code = REJECTED[name]
    answers = exchange(*pieces)
    assert len(answers) == 1 and rejected(answers) == (status, code)


def test_what_fits_is_answered() -> None:
    lines = b"".join(b"X%d: %s\r\n" % (number, b"y" * 200) for number in range(90))
    ((status, content, _),) = exchange(GET + lines + CLOSE)
    assert status == 200 and len(content[2]) == 92


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_body_in_chunks_is_taken_however_it_is_cut(size: int) -> None:
    chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (size, bytes(size)) for _ in range(500))
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\n" + CLOSE)
    ((status, content, _),) = exchange(head, chunks + b"0\r\nTrailer: x\r\n\r\n")
    assert (status, content[3]) == (200, 500 * size)
    assert "trailer" not in content[2]


def test_pipelined_requests_are_answered_in_turn() -> None:
    asked = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(15))
    answers = exchange(
        asked + b"POST /15 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n" + CLOSE + b"ab"
    )
    assert [content[1] for _, content, _ in answers] == [f"/{number}" for number in range(16)]
    assert answers[-1][1][3] == 2


def test_no_more_than_a_few_requests_are_kept_for_later() -> None:
    answers = exchange(*[GET + b"\r\n" for _ in range(3)], (GET + b"\r\n") * 10_000)
    assert rejected(answers) == (400, "bad_request")
    assert len(answers) <= 3 + protocol.MAX_PIPELINED + 2
    assert {status for status, *_ in answers[:-1]} == {200}


def test_what_is_rejected_waits_for_its_turn() -> None:
    for bad in (b"no HTTP\r\n\r\n", GET + b"X: y\r\n" * 200, CHUNKED + b"x\r\n"):
        answers = exchange((GET + b"\r\n") * 3 + bad)
        assert [status for status, *_ in answers[:-1]] == [200] * 3
        assert rejected(answers)[0] in (400, 431)


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET, H2C.upper(), H2C.replace(b"h2c", b"TLS/1.0")])
@pytest.mark.parametrize("cut", [False, True])
def test_an_offer_of_another_protocol_is_declined(offer: bytes, cut: bool) -> None:
    body = b"x" * 70_000
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    sent = GET + offer + b"\r\n" + POST + offer + length + body + GET + offer + CLOSE
    pieces = [sent[start : start + 997] for start in range(0, len(sent), 997)] if cut else [sent]
    answers = exchange(*pieces)
    assert [(status, content[0], content[3]) for status, content, _ in answers] == [
        *((200, "GET", 0), (200, "POST", 70_000), (200, "GET", 0)),
    ]
    assert not any("upgrade" in content[2] for _, content, _ in answers)
    assert answers[-1][2]["connection"] == "close"


def test_a_body_that_nobody_wants_is_not_read_to_its_end() -> None:
    head = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    small = exchange(head % 500_000 + bytes(500_000), GET + CLOSE)
    assert [content[1] for _, content, _ in small] == ["/early", "/a"]
    large = exchange(head % 9_000_000, *[bytes(100_000)] * 30)
    assert [content[1] for _, content, _ in large] == ["/early"]


SLOW = {
    "a head": [GET, *[b"X: y\r\n"] * 60],
    "a URL": [b"GET /", *[b"a"] * 60],
    "empty lines": [b"\r\n"] * 60,
    "after another": [GET + b"\r\n", GET, *[b"X: y\r\n"] * 60],
}


@pytest.mark.parametrize("name", SLOW)
def test_a_head_has_a_time(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(protocol, "WAIT_S", 0.2)
    monkeypatch.setattr(protocol, "MAX_HEADER_LINES", 1_000)
    assert rejected(exchange(*SLOW[name])) == (408, "request_too_slow")


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_a_client_that_does_not_read_is_given_up(
    monkeypatch: pytest.MonkeyPatch, close: bytes
) -> None:
    monkeypatch.setattr(protocol, "TAKE_S", 0.2)
    monkeypatch.setattr(protocol, "LEAVE_S", 0.2)

    async def ask() -> int:
        async with served() as (address, state):
            with socket.create_connection(address) as client:
                client.setblocking(False)
                request = b"GET /large HTTP/1.1\r\nHost: a\r\n" + close + b"\r\n"
                await asyncio.get_running_loop().sock_sendall(client, request)
                await asyncio.sleep(0.1)
                assert len(state.connections) == 1
                await asyncio.sleep(1.0)
                return len(state.connections)

    assert asyncio.run(ask()) == 0


IDLE = {
    "nothing": ([], []),
    "a body that nobody wants": (
        [b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n", *[b"x"] * 60],
        ["/early"],
    ),
}


@pytest.mark.parametrize("name", IDLE)
def test_a_client_that_owes_something_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(protocol, "WAIT_S", 0.2)
    pieces, paths = IDLE[name]
    answers = exchange(*pieces, limit_s=4.0)  # and keeps 5 s otherwise
    assert [content[1] for _, content, _ in answers] == paths
