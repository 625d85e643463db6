"""What telephone exchanges send of a call, as events: protocols without any input or output."""

import base64
import binascii
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bonafide.errors import BonafideError

HEADER_BYTES = 3
HANGUP, NAME, FAILED = 0x00, 0x01, 0xFF
RATES_HZ = dict(  # by kind; all are 16-bit little-endian mono
    zip(
        range(0x10, 0x19),
        (8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000),
        strict=True,
    )
)
MULAW = "audio/x-mulaw"


class CallError(BonafideError):
    """An exchange sent what its protocol does not have; code ``bad_message``."""


@dataclass(frozen=True)
class Started:
    """A voice of a call begins: its name, which of its voices, and how its samples are coded."""

    call: str
    track: str
    rate: int
    encoding: str


@dataclass(frozen=True)
class Sound:
    """Samples of a voice."""

    track: str
    content: bytes


@dataclass(frozen=True)
class Ended:
    """The call is over."""


Event = Started | Sound | Ended


class AudioSocket:
    """AudioSocket, as Asterisk speaks it (its application, its channel and ARI's external media).

    References
    ----------
    https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket
    """

    TRACK = "call"

    def __init__(self) -> None:
        self._held = bytearray()
        self._call: str | None = None
        self._kind: int | None = None

    def feed(self, content: bytes) -> Iterator[Event]:
        """Take bytes, cut anywhere.

        Parameters
        ----------
        content : bytes
            As they arrive.

        Yields
        ------
        Event
            What they complete. Kinds that are not known are passed over, as later versions of the
            protocol have more.

        Raises
        ------
        CallError
            ``bad_message`` for a name that is none, sound before it, or another sampling rate.
        """
        self._held += content
        while len(self._held) >= HEADER_BYTES:
            kind, size = self._held[0], int.from_bytes(self._held[1:HEADER_BYTES], "big")
            if len(self._held) < HEADER_BYTES + size:
                return
            payload = bytes(self._held[HEADER_BYTES : HEADER_BYTES + size])
            del self._held[: HEADER_BYTES + size]
            yield from self._message(kind, payload)

    def _message(self, kind: int, payload: bytes) -> Iterator[Event]:
        if kind in (HANGUP, FAILED):
            yield Ended()
        elif kind == NAME:
            if len(payload) != 16 or self._call is not None:
                raise CallError("bad_message", "AudioSocket: one name of 16 bytes begins a call")
            self._call = str(uuid.UUID(bytes=payload))
        elif kind in RATES_HZ:
            if self._call is None:
                raise CallError("bad_message", "AudioSocket: sound came before the call's name")
            if self._kind is None:
                self._kind = kind
                yield Started(self._call, self.TRACK, RATES_HZ[kind], "pcm_s16le")
            if kind != self._kind:
                raise CallError("bad_message", "AudioSocket: the sampling rate changed")
            yield Sound(self.TRACK, payload)


class Twilio:
    """Twilio's Media Streams; who speaks the same protocol is understood alike.

    References
    ----------
    https://www.twilio.com/docs/voice/media-streams/websocket-messages
    """

    def __init__(self) -> None:
        self._tracks: set[str] = set()

    def feed(self, text: str | bytes) -> Iterator[Event]:
        """Take one message.

        Parameters
        ----------
        text : str or bytes
            JSON.

        Yields
        ------
        Event
            A start for each of the call's tracks; marks, digits and the like have none.

        Raises
        ------
        CallError
            ``bad_message`` for what is no message of the protocol, and for other codings than
            8 kHz mu-law, of which Twilio has none.
        """
        try:
            message = json.loads(text)
            kind = message["event"]
            if kind == "start":
                yield from self._start(message["start"])
            elif kind == "media":
                yield self._sound(message["media"])
            elif kind == "stop":
                yield Ended()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"Twilio: {text[:80]!r} is no message of a media stream"
            raise CallError("bad_message", message) from error

    def _start(self, start: dict[str, Any]) -> Iterator[Event]:
        coded = start["mediaFormat"]
        rate = coded["sampleRate"]
        if (coded["encoding"], coded["channels"]) != (MULAW, 1) or type(rate) is not int:
            message = f"Twilio: sound comes as {coded}; must be {MULAW}, one channel"
            raise CallError("bad_message", message)
        call, tracks = start["callSid"], [str(track) for track in start["tracks"]]
        if not (isinstance(call, str) and tracks) or self._tracks:
            raise CallError("bad_message", "Twilio: one start, with a callSid and tracks")
        self._tracks = set(tracks)
        for track in sorted(self._tracks):
            yield Started(call, track, rate, "mulaw")

    def _sound(self, media: dict[str, Any]) -> Sound:
        track = media["track"]
        if track not in self._tracks:
            raise CallError("bad_message", f"Twilio: track {track!r} was not said to come")
        try:
            return Sound(track, base64.b64decode(media["payload"], validate=True))
        except binascii.Error as error:
            raise CallError("bad_message", "Twilio: a payload is not base64") from error
