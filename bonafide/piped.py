"""Recordings that come through a pipe, kept while they are decoded: a decoder has to seek."""

import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from bonafide.audio import AudioStream
from bonafide.errors import AudioError

STANDARD_INPUT = ("-", "/dev/stdin")
MAX_BYTES = 2_000_000_000  # 3 h at 48 kHz in 16-bit stereo
IN_MEMORY_BYTES = 32_000_000
CHUNK_BYTES = 1 << 20
WRITER_S = 30.0


@dataclass
class PipedStream(AudioStream):
    """A recording that came through a pipe.

    Parameters
    ----------
    label : str
        What messages call it.
    """

    label: str = "standard input"

    @property
    def name(self) -> str:
        """Return its label."""
        return self.label


def is_piped(name: str) -> bool:
    """Return whether a name stands for standard input or a pipe, which can be read only once."""
    try:
        return name in STANDARD_INPUT or stat.S_ISFIFO(os.stat(name).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


@contextmanager
def opened(name: str) -> Iterator[Path | AudioStream]:
    """Return what to decode for a name on the command line.

    Parameters
    ----------
    name : str
        A file, a pipe, or ``-`` for standard input.

    Yields
    ------
    Path or AudioStream
        A file's path as it is; the content of a pipe as a stream.

    Raises
    ------
    AudioError
        ``unreadable`` for a socket, a device, a pipe that nobody writes to and a name that no file
        can have; ``too_large`` for more than `MAX_BYTES` through a pipe.
    """
    if not name:
        raise AudioError("unreadable", "'': no file has an empty name")
    try:
        mode = 0 if name in STANDARD_INPUT else os.stat(name).st_mode  # noqa: PTH116
    except OSError:  # what opens it says why
        mode = stat.S_IFREG
    except ValueError as error:
        raise AudioError("unreadable", f"{name!r}: no file has this name: {error}") from error
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        kind = "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise AudioError("unreadable", f"{name}: is {kind}; must be a file or a pipe")
    if mode and not stat.S_ISFIFO(mode):
        yield Path(name)
        return
    label = name if mode else PipedStream.label
    with SpooledTemporaryFile(IN_MEMORY_BYTES) as kept:
        try:
            with _open_pipe(name) if mode else _standard_input() as pipe:
                if mode:
                    _wait_for_writer(pipe, kept, label)
                _copy(pipe, kept, label)
        except OSError as error:
            reason = error.strerror or str(error)
            raise AudioError("unreadable", f"{label}: cannot be read: {reason}") from error
        yield PipedStream(cast(BinaryIO, kept), label=label)


def _copy(pipe: BinaryIO, kept: "SpooledTemporaryFile[bytes]", label: str) -> None:
    while chunk := pipe.read(CHUNK_BYTES):
        kept.write(chunk)
        if kept.tell() > MAX_BYTES:
            limit = f"the {MAX_BYTES / 1e6:g} MB limit of what comes through a pipe"
            raise AudioError("too_large", f"{label}: longer than {limit}")


def _standard_input() -> BinaryIO:
    """Return standard input, unless it is a terminal or a device that never ends."""
    if sys.stdin is None:
        raise AudioError("unreadable", "standard input: is closed; must be a file or a pipe")
    status = os.fstat(sys.stdin.fileno())
    if stat.S_ISCHR(status.st_mode) and not os.path.samestat(status, Path(os.devnull).stat()):
        kind = "a terminal" if sys.stdin.isatty() else "a device"
        raise AudioError("unreadable", f"standard input: is {kind}; must be a file or a pipe")
    return os.fdopen(os.dup(sys.stdin.fileno()), "rb")


def _open_pipe(name: str) -> BinaryIO:
    return os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb")


def _wait_for_writer(pipe: BinaryIO, kept: "SpooledTemporaryFile[bytes]", name: str) -> None:
    """Wait until something comes through a pipe, or fail if nobody writes to it in `WRITER_S`."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if not poll.poll(WRITER_S * 1_000):
        try:
            first = os.read(pipe.fileno(), 1)
        except BlockingIOError:  # a slow writer
            first = None
        if first == b"":
            message = f"{name}: nobody has written to this pipe within {WRITER_S:g} s"
            raise AudioError("unreadable", message)
        kept.write(first or b"")
    os.set_blocking(pipe.fileno(), True)
