"""What a client says on a stream besides sound: how it starts, goes on and ends."""

import json
from dataclasses import dataclass
from typing import Any

from bonafide.audio.pcm import PcmStream
from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ

MAX_TEXT = 1_000  # characters
MAX_AFTER_S = 1e9


class StreamError(Exception):
    """What ends a stream, told by an event.

    Parameters
    ----------
    code : str
        For programs.
    message : str
        What was seen and what is allowed.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Start:
    """How a stream starts.

    Parameters
    ----------
    rate : int
        Of its samples, in Hz.
    encoding : str
        One of `bonafide.audio.pcm.ENCODINGS`.
    resume : str
        The stream to go on with; empty for a new one.
    after_s : float
        Time of the last event that arrived of it, in seconds.
    """

    rate: int = SAMPLE_RATE_HZ
    encoding: str = "pcm_s16le"
    resume: str = ""
    after_s: float = 0.0

    def sound(self) -> PcmStream:
        """Return what its bytes are decoded by.

        Raises
        ------
        StreamError
            ``bad_format`` for a rate or encoding that is not taken.
        """
        try:
            return PcmStream(self.rate, self.encoding)
        except AudioError as error:
            raise StreamError(error.code, f"{error.message:.200}") from error


_KINDS = {"rate": int, "encoding": str, "resume": str, "after_s": (int, float)}
_ALLOWED = 'the first may be {"rate", "encoding"} or {"resume", "after_s"}, the last {"end": true}'


def read_message(text: str) -> dict[str, Any]:
    """Read a text message.

    Parameters
    ----------
    text : str
        An object in JSON.

    Returns
    -------
    dict

    Raises
    ------
    StreamError
        ``bad_message`` if it is none, or long.
    """
    try:
        given = json.loads(text) if len(text) <= MAX_TEXT else None
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        said = f"{text[:40]!r}{'...' if len(text) > 40 else ''}"
        raise StreamError("bad_message", f"{said}: must be an object in JSON; {_ALLOWED}")
    return given


def is_end(message: dict[str, Any]) -> bool:
    """Return whether a message ends the stream."""
    return message.keys() == {"end"} and message["end"] is True


def read_start(message: dict[str, Any]) -> Start:
    """Return what the first message says.

    Parameters
    ----------
    message : dict
        As `read_message` returns it.

    Returns
    -------
    Start

    Raises
    ------
    StreamError
        ``bad_message`` for a field that is not known, or of another type.
    """
    for name, value in message.items():
        kind = _KINDS.get(name)
        sound = kind is not None and isinstance(value, kind) and not isinstance(value, bool)
        if not sound or (name == "after_s" and not 0 <= value < MAX_AFTER_S):
            raise StreamError(
                "bad_message", f"{name!r:.40}: {value!r:.40} is not taken; {_ALLOWED}"
            )
    return Start(**message)
