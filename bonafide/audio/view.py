"""Parts of a file as a file of their own."""

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO, TypeAlias

Piece: TypeAlias = bytes | tuple[int, int]
"""Bytes, or where in the file to take them from: start and end."""


WINDOW_BYTES = 1 << 16


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return file.seek(0, os.SEEK_END)


def read_at(file: "BinaryIO | View", start: int, size: int) -> bytes:
    """Return up to `size` bytes from a place in a file."""
    file.seek(start)
    return file.read(size)


def find(file: BinaryIO, start: int, end: int, needles: Sequence[bytes]) -> int:
    """Return the first place from `start` on where one of the needles is; `end` if nowhere."""
    overlap = max(map(len, needles)) - 1
    for place in range(start, end, WINDOW_BYTES):
        content = read_at(file, place, min(WINDOW_BYTES + overlap, end - place))
        found = [at for needle in needles if (at := content.find(needle)) >= 0]
        if found:
            return place + min(found)
    return end


class View(io.RawIOBase):
    """Pieces of a file, one behind the other, as a file to read.

    It has no name, from which decoders would guess a format, and reads are never short, which
    libsndfile takes for the end.

    Parameters
    ----------
    file : binary file
        Open and seekable; left open.
    pieces : sequence of bytes or tuple of int
        In order; none of them empty.

    Attributes
    ----------
    size : int
        In bytes.
    reached : int
        How far it has been read.
    """

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece]) -> None:
        sizes = [len(p) if isinstance(p, bytes) else p[1] - p[0] for p in pieces]
        self._file, self._pieces = file, pieces
        self._ends = list(accumulate(sizes))
        self.size = self._ends[-1] if pieces else 0
        self._place, self.reached = 0, 0

    def as_it_is(self) -> "BinaryIO | View":
        """Return the file itself if all of it is one piece in memory: that is faster to read."""
        plain = isinstance(self._file, io.BytesIO) and list(self._pieces) == [(0, self.size)]
        return self._file if plain and self.size == size_of(self._file) else self

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the present place."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place, which may lie behind the end; return it."""
        # A place before the start is taken for the start: soundfile would print an error.
        self._place = max(0, (0, self._place, self.size)[whence] + offset)
        return self._place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as there is something to read; return how far."""
        target, done = memoryview(buffer).cast("B"), 0
        index = bisect_right(self._ends, self._place)
        while done < len(target) and index < len(self._pieces):
            piece, left = self._pieces[index], self._ends[index] - self._place
            end = min(done + left, len(target))
            if isinstance(piece, bytes):
                target[done:end] = piece[len(piece) - left :][: end - done]
            else:
                self._file.seek(piece[1] - left)
                end = done + self._file.readinto(target[done:end])  # type: ignore[attr-defined]
            if end == done:  # the file has become shorter
                break
            self._place += end - done
            done = end
            self.reached = max(self.reached, self._place)
            index += self._place >= self._ends[index]
        return done
