"""One connection of ``WS /v1/stream``: sound in, an event every half second out."""

import asyncio
import contextlib
import time
from dataclasses import asdict
from typing import Any

from starlette.datastructures import State
from starlette.websockets import WebSocket, WebSocketDisconnect

from bonafide.bundle import Bundle
from bonafide.detection import rounded
from bonafide.errors import AudioError
from bonafide.live import HOP_S, Hop, Live, Moment
from bonafide.registry import Version
from bonafide.types import WindowScores
from serving.http.call import Call
from serving.http.errors import ApiError
from serving.http.gate import WORK_S
from serving.http.headers import API_HEADERS, PROTOCOL, REQUEST_ID
from serving.http.stream.kept import Kept, Stream
from serving.http.stream.messages import StreamError, is_end, read_message, read_start
from serving.workers.scoring import Scoring
from serving.workers.windows import score_windows

IDLE_S = 60.0  # without sound
SLICE_S = 2.0  # of sound that comes faster than it plays: others wait no longer than for this
REFUSED, TRY_LATER = 1008, 1013  # codes that a connection closes with (RFC 6455, and its registry)


class Connection:
    """Takes the sound of one connection, and tells what is heard.

    Everything happens in turn: sound that comes faster than it is scored, and events that the
    client does not take, hold its own connection up, and nobody else's.

    Parameters
    ----------
    socket : WebSocket
        Not accepted yet.
    state : State
        The application's.
    call : Call
        Gets what becomes known of the call.
    owner : str
        Whose it is, for a stream to be resumed.
    """

    def __init__(self, socket: WebSocket, state: State, call: Call, owner: str) -> None:
        self._socket, self._state, self._call, self._owner = socket, state, call, owner
        self._scoring: Scoring = state.scoring
        self._kept: Kept = state.kept
        self._bundle: Bundle = self._scoring.bundle
        self._stream: Stream | None = None
        self._unpaid_s = 0.0
        self.load = 0.0  # the share of a processor that it takes while its sound plays

    async def run(self) -> None:
        """Serve until either side ends it; a stream that breaks off is kept for a while."""
        headers = [*API_HEADERS, (REQUEST_ID, self._call.request_id.encode())]
        self._call.status, self._call.bundle = 101, str(Version.of(self._bundle))
        try:
            offered = self._socket.scope["subprotocols"]
            subprotocol = PROTOCOL if PROTOCOL in offered else None
            await self._socket.accept(subprotocol, headers)
            await self._listen()
            self._keep()  # whether the last event arrives, nobody says
            await self._socket.close()
        except WebSocketDisconnect:
            self._call.code = "client_gone"
            self._keep()
        except StreamError as error:
            later = error.code == "unknown_stream"  # it may still seem open
            await self._refuse(error.code, error.message, TRY_LATER if later else REFUSED)
        except ApiError as error:
            self._keep()
            await self._refuse(error.code, error.message, TRY_LATER)

    def _keep(self) -> None:
        if self._stream is not None and self._stream.live.heard_s:
            self._kept.put(self._stream)

    async def _refuse(self, code: str, message: str, close: int) -> None:
        self._call.code = code
        with contextlib.suppress(WebSocketDisconnect):
            await self._socket.send_json({"error": {"code": code, "message": message}})
            await self._socket.close(close)

    async def _listen(self) -> None:
        """Take message after message until the client ends the stream."""
        while True:
            came = await self._next()
            if isinstance(came, bytes):
                await self._hear(self._opened(), came)
                continue
            message = read_message(came)
            if is_end(message):
                await self._end(self._opened())
                return
            if self._stream is not None:
                raise StreamError("bad_message", "a stream starts once; now it takes sound or end")
            if await self._start(message):
                return

    async def _next(self) -> bytes | str:
        try:
            async with asyncio.timeout(IDLE_S):
                message = await self._socket.receive()
        except TimeoutError as error:
            raise StreamError("idle", f"nothing came for {IDLE_S:g} s") from error
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        came: bytes | str | None = message.get("bytes")
        return message["text"] if came is None else came

    def _opened(self) -> Stream:
        if self._stream is None:
            self._stream = Stream(Live(self._bundle), read_start({}), self._owner)
        return self._stream

    async def _start(self, message: dict[str, Any]) -> bool:
        """Start a stream, or go on with one; return whether it had come to its end."""
        start = read_start(message)
        if not start.resume:
            self._stream = Stream(Live(self._bundle), start, self._owner)
            return False
        self._stream = stream = self._kept.take(start, self._owner, self._bundle)
        said = {"stream": stream.name, "resumed": True, "received": stream.received}
        await self._socket.send_json(said)
        for event in stream.events:
            if event["at_s"] > start.after_s:
                await self._socket.send_json(event)
        if stream.end:
            await self._socket.send_json(stream.end)
        return bool(stream.end)

    async def _hear(self, stream: Stream, piece: bytes) -> None:
        """Score what the next piece makes due, a little at a time, and tell it."""
        came = time.perf_counter()
        self._call.size += len(piece)
        size = round(SLICE_S * stream.start.rate) * stream.sound.width
        for first in range(0, len(piece), size):
            start = time.perf_counter()
            hops = stream.feed(piece[first : first + size])
            spoken = sum(hop.speaks for hop in hops)
            if len(hops) > spoken:  # else that is little beside the scores
                self._pay(time.perf_counter() - start)
            most_s = self._scoring.settings.max_duration_s
            if stream.live.heard_s > most_s:
                raise StreamError("too_long", f"longer than the {most_s:g} s limit")
            for hop, scores in zip(hops, await self._scores(hops), strict=True):
                await self._tell(stream, stream.live.judged(hop, scores))
                self._state.metrics.heard(time.perf_counter() - came)
            await asyncio.sleep(0)  # others come in between

    async def _tell(self, stream: Stream, moment: Moment) -> None:
        event = {"stream": stream.name, **rounded(asdict(moment))}
        stream.remember(event)
        await self._socket.send_json(event)

    async def _end(self, stream: Stream) -> None:
        """Tell the result of the whole."""
        hops = stream.live.feed(stream.sound.rest())
        for hop, scores in zip(hops, await self._scores(hops), strict=True):
            await self._tell(stream, stream.live.judged(hop, scores))
        try:
            rest = stream.live.rest()
        except AudioError as error:
            raise StreamError(error.code, error.message) from error
        (scores,) = await self._scores([rest]) if rest else (None,)
        found = stream.live.ended(rest, scores)
        self._call.verdict = found.verdict
        stream.end = {"stream": stream.name, "end": True, **found.to_json()}
        await self._socket.send_json(stream.end)

    async def _scores(self, hops: list[Hop]) -> list[WindowScores | None]:
        """Return the scores of windows; None for those that do not speak."""
        spoken = [hop.waveform for hop in hops if hop.speaks]
        if not spoken:
            return [None for _ in hops]
        scored, notes = await score_windows(self._scoring, spoken)
        if notes["bundle"] != self._call.bundle:
            message = f"{notes['bundle']} answers from now on: start a new stream"
            raise StreamError("other_bundle", message)
        self.load += 0.1 * (notes["work_s"] / (HOP_S * len(spoken)) - self.load)
        self._pay(notes["work_s"])
        each = iter(scored)
        return [next(each) if hop.speaks else None for hop in hops]

    def _pay(self, work_s: float) -> None:
        """Count the work as requests of the key.

        Raises
        ------
        ApiError
            ``over_rate`` where it has none left.
        """
        self._unpaid_s += work_s
        key = self._call.key
        while key is not None and self._unpaid_s >= WORK_S:
            self._unpaid_s -= WORK_S
            if wait_s := self._state.gate.take(key):
                message = f"key {key.name!r} is over its rate; try again in {wait_s:.0f} s"
                raise ApiError("over_rate", message)
