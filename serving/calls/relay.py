"""From an exchange to a service: a stream for each voice of each call, and what is said of it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from serving.calls.protocols import AudioSocket, CallError, Ended, Event, Sound, Started, Twilio

MOST_CALLS = 64
READ_BYTES = 65_536
QUIET_S = 60.0  # without a word of an exchange the call is over
LAST_WORD_S = 30.0  # that the service may take for the end of a stream
PATH = "/v1/stream"
TELL = Callable[[Mapping[str, Any]], None]


class Relay:
    """Hands calls on to a service.

    Parameters
    ----------
    service : str
        Where it answers, such as ``http://127.0.0.1:3000``.
    key : str
        Its API key; empty for none.
    tell : callable
        Gets what is said of each voice: ``by``, ``call`` and ``track``, then what the service says.
    """

    def __init__(self, service: str, key: str, tell: TELL) -> None:
        self._url = service.rstrip("/").replace("http", "ws", 1) + PATH
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._tell = tell
        self._calls, self._hearing = set[asyncio.Task[Any]](), set[asyncio.Task[None]]()

    async def audiosocket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of AudioSocket."""
        protocol = AudioSocket()

        async def events() -> AsyncIterator[Event]:
            while content := await asyncio.wait_for(reader.read(READ_BYTES), QUIET_S):
                for event in protocol.feed(content):
                    yield event

        try:
            await self._call("audiosocket", events())
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def twilio(self, connection: ServerConnection) -> None:
        """Serve one connection of Twilio."""
        protocol = Twilio()

        async def events() -> AsyncIterator[Event]:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    for event in protocol.feed(await asyncio.wait_for(connection.recv(), QUIET_S)):
                        yield event

        await self._call("twilio", events())

    async def close(self) -> None:
        """End every call as a hang-up does, and wait for what is said of it."""
        for task in self._hearing:
            task.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    async def _call(self, by: str, events: AsyncIterator[Event]) -> None:
        """Hear a call to its end, whoever ends it; what was heard is judged."""
        task, voices = asyncio.current_task(), dict[str, _Voice]()
        assert task is not None
        if len(self._calls) >= MOST_CALLS:
            message = f"{MOST_CALLS} calls are judged already"
            self._tell({"by": by, "error": {"code": "too_many_calls", "message": message}})
            return
        hearing = asyncio.create_task(self._hear(by, events, voices))
        self._calls.add(task)
        self._hearing.add(hearing)
        try:
            await asyncio.wait([hearing])
            await asyncio.gather(*(voice.end() for voice in voices.values()))
        finally:
            self._calls.discard(task)
            self._hearing.discard(hearing)
        error = None if hearing.cancelled() else hearing.exception()
        if isinstance(error, CallError):
            self._tell({"by": by, "error": {"code": error.code, "message": error.message}})
        elif error and not isinstance(error, (TimeoutError, OSError)):  # of a line that broke
            raise error

    async def _hear(
        self, by: str, events: AsyncIterator[Event], voices: dict[str, "_Voice"]
    ) -> None:
        async for event in events:
            if isinstance(event, Ended):
                return
            if isinstance(event, Started):
                named = {"by": by, "call": event.call, "track": event.track}
                voice = voices[event.track] = _Voice(named, self._tell)
                await voice.open(self._url, self._headers, event)
            elif isinstance(event, Sound):
                await voices[event.track].hear(event.content)
            if voices and all(voice.over for voice in voices.values()):
                return


class _Voice:
    """One voice of a call: its stream at the service."""

    def __init__(self, named: Mapping[str, str], tell: TELL) -> None:
        self._named, self._tell = named, tell
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self.over = False

    async def open(self, url: str, headers: Mapping[str, str], started: Started) -> None:
        try:
            self._connection = await connect(url, additional_headers=headers, proxy=None)
            coded = {"rate": started.rate, "encoding": started.encoding}
            await self._connection.send(json.dumps(coded))
        except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
            self._fail("no_service", f"the service takes no stream: {error}")
            return
        self._reading = asyncio.create_task(self._read(self._connection))

    async def hear(self, content: bytes) -> None:
        """Hand samples on; whoever sends waits while the service does not take them."""
        if self._connection and not self.over:
            with contextlib.suppress(ConnectionClosed):  # said by who reads
                await self._connection.send(content)

    async def end(self) -> None:
        """Have the whole judged, and wait for that."""
        if self._connection is None or self._reading is None:
            return
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send('{"end": true}')
        await asyncio.wait([self._reading], timeout=LAST_WORD_S)
        self._reading.cancel()
        await self._connection.close()

    async def _read(self, connection: ClientConnection) -> None:
        said = False
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                event = json.loads(message)
                self._tell({**self._named, **event})
                said = "end" in event or "error" in event
        self.over = True
        if not said:
            self._fail("no_service", "the service broke off")

    def _fail(self, code: str, message: str) -> None:
        self.over = True
        self._tell({**self._named, "error": {"code": code, "message": message}})
