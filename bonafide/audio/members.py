"""The recordings that are joined in one file, and where each of them ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from bonafide.audio.view import Piece, read_at


@dataclass(frozen=True)
class Member:
    """One recording in a file.

    Parameters
    ----------
    kind : str
        What `recognise` took it for.
    pieces : sequence of bytes or tuple of int
        What a decoder is to read.
    missing : str
        What its container promises and the file does not hold; empty if nothing.
    """

    kind: str
    pieces: Sequence[Piece]
    missing: str = ""


def recognise(head: bytes) -> str:
    """Return the kind of container that begins with these bytes; empty if it is not known."""
    if head[:4] == b"fLaC":
        return "flac"
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return "mp3"
    return ""


def members(file: BinaryIO, size: int) -> Iterator[Member]:
    """Yield the recordings in a file, in order."""
    yield Member(recognise(read_at(file, 0, 64)), [(0, size)])
