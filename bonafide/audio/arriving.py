"""Sound that is judged while it arrives: of a microphone, through a pipe, or a file as it plays."""

import io
import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from bonafide.audio.ffmpeg import Arriving, blocks_as_they_come, open_container
from bonafide.audio.pcm import PcmStream
from bonafide.audio.stream import AudioStream
from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import Waveform

PIECE_S, GATHERED_S, LOOK_S = 0.1, 0.05, 0.1
ALSA = "/usr/share/alsa/alsa.conf"  # PyAV brings the library without it
DEVICES = "alsa"  # FFmpeg's reader of microphones, the only one that PyAV brings
# What is looked at before the first sound: bytes, and microseconds.
PROBED = {"probesize": "65536", "analyzeduration": "500000"}


class Pipe:
    """A pipe, read in order: what is there at once, until its end or until one stops.

    Parameters
    ----------
    file : raw binary file
        Unbuffered.
    stopped : callable
        Whether to read no more: asked while nothing comes. An exception would be lost in a decoder.
    """

    def __init__(self, file: io.RawIOBase, stopped: Callable[[], bool] = lambda: False) -> None:
        self._file, self._stopped = file, stopped

    def read(self, size: int = -1, /) -> bytes | None:
        """Return what is there, at most so many bytes; none at the end."""
        while not self._stopped():
            if select.select([self._file], [], [], LOOK_S)[0]:
                return self._file.read(size)
        return b""


def from_raw(file: Arriving, sound: PcmStream) -> Iterator[Waveform]:
    """Read samples without a header, as they come.

    Parameters
    ----------
    file : Arriving
        Such as a `Pipe`.
    sound : PcmStream
        What they are.

    Yields
    ------
    ndarray of float32, shape (n,)
        Mono, 16 kHz.
    """
    while piece := file.read(1 << 16):
        yield sound.feed(piece)
    yield sound.rest()


def from_pipe(file: Arriving, name: str = "standard input") -> Iterator[Waveform]:
    """Decode what comes through a pipe, frame by frame, in a format that needs no look ahead.

    Parameters
    ----------
    file : Arriving
        Such as a `Pipe`; WAV, Ogg, WebM, MP3, FLAC, ADTS and MPEG-TS can be decoded so.
    name : str
        What messages call it.

    Yields
    ------
    ndarray of float32, shape (n,)
        Mono, 16 kHz.

    Raises
    ------
    AudioError
        ``not_audio``, ``no_sound``, ``bad_format``, ``not_finite`` or ``damaged``.
    """
    yield from _decoded(lambda: open_container(file, **PROBED), name)


def from_device(device: str) -> Iterator[Waveform]:
    """Record from a microphone.

    Parameters
    ----------
    device : str
        ALSA's name of it, such as ``default`` or ``hw:1``.

    Yields
    ------
    ndarray of float32, shape (n,)
        Mono, 16 kHz.

    Raises
    ------
    AudioError
        ``no_device`` if it cannot be opened.
    """

    def opened() -> av.container.InputContainer:
        os.environ.setdefault("ALSA_CONFIG_PATH", ALSA)
        try:
            return av.open(device, "r", format=DEVICES)
        except (av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"this microphone cannot be opened ({reason})"
            raise AudioError("no_device", message) from error

    yield from _decoded(opened, device)


def as_played(
    path: Path,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Waveform]:
    """Yield the sound of a file no sooner than one would hear it.

    Parameters
    ----------
    path : Path
        In any codec.
    clock, sleep : callable
        Tell and pass seconds.

    Yields
    ------
    ndarray of float32, shape (n,)
        Mono, 16 kHz, of `PIECE_S` at most.

    Raises
    ------
    AudioError
        As in `AudioStream`.
    """
    start, heard = clock(), 0
    size = round(PIECE_S * SAMPLE_RATE_HZ)
    for block in AudioStream(path):
        for first in range(0, len(block), size):
            piece = block[first : first + size]
            heard += len(piece)
            if (early_s := heard / SAMPLE_RATE_HZ - (clock() - start)) > 0:
                sleep(early_s)
            yield piece


def _decoded(open_: Callable[[], av.container.InputContainer], name: str) -> Iterator[Waveform]:
    try:
        with open_() as container:
            yield from AudioStream(b"").converted(blocks_as_they_come(container, GATHERED_S))
    except AudioError as error:
        raise AudioError(error.code, f"{name}: {error.message}") from error
