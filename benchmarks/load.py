"""Load on the service from a process of its own: closed loops of clients, or a fixed rate.

    python -m benchmarks.load --port 3000 --file clip.wav --clients 8 --seconds 5
    python -m benchmarks.load --port 3000 --file clip.wav --rate 800 --seconds 60

Prints JSON: answers by status, and the latencies of the 200s in milliseconds. A client speaks
HTTP/1.1 over one connection and parses no more of an answer than its status and length, so that
most of the machine is left to the service.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

BOUNDARY = "bonafide-benchmark"


def request_bytes(content: bytes) -> bytes:
    """Return one multipart request for ``POST /v1/detect``."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    lines = [
        "POST /v1/detect HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Tally:
    """What came back: answers by status, latencies of the 200s, connections that broke."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    broken: int = 0
    bundles: Counter[str] = field(default_factory=Counter)

    def add(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(seconds)

    def to_json(self, elapsed_s: float) -> dict[str, Any]:
        """Return counts, rate, and percentiles of the latency in milliseconds."""
        ordered = sorted(self.seconds)

        def percentile(share: float) -> float | None:
            if not ordered:
                return None
            return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return {
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "broken": self.broken,
            "per_second": len(ordered) / elapsed_s,
            "p50_ms": percentile(0.5),
            "p99_ms": percentile(0.99),
            "bundles": dict(self.bundles),
        }


class Client(asyncio.Protocol):
    """One connection: `ask` sends a request and returns the status, or None if it broke."""

    def __init__(self, read_bundles: bool = False) -> None:
        self._read_bundles = read_bundles
        self.bundle = ""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int | None] | None = None
        self._buffer = b""

    async def ask(self, port: int, request: bytes) -> int | None:
        """Send the request; connect first where that is needed."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            try:
                await loop.create_connection(lambda: self, "127.0.0.1", port)
            except OSError:
                return None
        self._answer, self._buffer = loop.create_future(), b""
        assert self._transport is not None
        self._transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect until head and body are there."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or self._answer is None or self._answer.done():
            return
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) >= int(rest.split(b"\r\n", 1)[0]):
            if self._read_bundles and head.startswith(b"HTTP/1.1 200"):
                self.bundle = json.loads(body)["bundle"]["version"]
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let `ask` return None."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)


async def _ask(client: Client, port: int, request: bytes, tally: Tally) -> None:
    start = time.perf_counter()
    status = await client.ask(port, request)
    if status is None:
        tally.broken += 1
        await asyncio.sleep(0.05)
    else:
        tally.add(status, time.perf_counter() - start)
        if client.bundle:
            tally.bundles[client.bundle] += 1


async def closed_loop(
    port: int, request: bytes, clients: int, seconds: float, *, read_bundles: bool = False
) -> Tally:
    """Let each client ask again as soon as it is answered, or a little later after a 429."""
    tally, end = Tally(), time.perf_counter() + seconds

    async def loop() -> None:
        client = Client(read_bundles)
        while time.perf_counter() < end:
            busy = tally.statuses[429]
            await _ask(client, port, request, tally)
            if tally.statuses[429] > busy:
                await asyncio.sleep(0.02)

    await asyncio.gather(*(loop() for _ in range(clients)))
    return tally


async def fixed_rate(port: int, request: bytes, rate: float, seconds: float) -> Tally:
    """Send at a fixed rate, whatever comes back; connections are reused."""
    tally, idle, tasks = Tally(), list[Client](), set[asyncio.Task[None]]()
    start = time.perf_counter()

    async def one() -> None:
        client = idle.pop() if idle else Client()
        await _ask(client, port, request, tally)
        idle.append(client)

    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
        task = asyncio.create_task(one())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return tally


def main() -> None:
    """Send the load and print what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--rate", type=float, help="requests a second; else closed loops")
    parser.add_argument("--bundles", action="store_true", help="count answers by bundle version")
    arguments = parser.parse_args()
    request = request_bytes(arguments.file.read_bytes())
    start = time.perf_counter()
    if arguments.rate:
        work = fixed_rate(arguments.port, request, arguments.rate, arguments.seconds)
    else:
        work = closed_loop(
            arguments.port,
            request,
            arguments.clients,
            arguments.seconds,
            read_bundles=arguments.bundles,
        )
    import uvloop

    tally = uvloop.run(work)
    print(json.dumps(tally.to_json(time.perf_counter() - start)))


if __name__ == "__main__":
    main()
