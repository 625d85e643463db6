"""How far files reach whose size stands at one place: AU, AVI, MP4, Matroska, FLAC."""

import struct
from typing import BinaryIO

from bonafide.audio.extent import Extent, is_placeholder, lacking
from bonafide.audio.magic import BOXES, EBML, FLAC
from bonafide.audio.view import find, read_at

MAX_BOXES = 100_000
SEGMENT = b"\x18S\x80g"


def walk_au(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the header of an AU file: the offset of its sound and the size."""
    magic, offset, size = struct.unpack(">4sII", read_at(file, start, 12).ljust(12, b"\0"))
    place = start + offset
    if is_placeholder(size, 32):
        unknown = b"\xff" * 4
        return Extent([(start, start + 8), unknown, (start + 12, end)], end)
    if place + size > end:
        return Extent([(start, end)], end, lacking(size, end - place))
    return Extent([(start, place + size)], place + size)


def walk_avi(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the RIFF chunks of an AVI file, of which there is one for each gigabyte."""
    reach = start
    while reach < end:
        head = read_at(file, reach, 12)
        if reach > start and (head[:4], head[8:]) != (b"RIFF", b"AVIX"):
            return Extent([(start, reach)], reach)
        size = int.from_bytes(head[4:8], "little")
        reach = end if is_placeholder(size, 32) else reach + 8 + size + size % 2
    return Extent([(start, end)], end)


def walk_boxes(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the boxes of an MP4 or QuickTime file; each states its size."""
    place, missing = start, ""
    for _ in range(MAX_BOXES):
        head = read_at(file, place, 16)
        name, size = head[4:8], int.from_bytes(head[:4], "big")
        if name not in BOXES or (name == b"ftyp" and place > start):
            break
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0 or place + size > end:
            if size and name == b"mdat":
                missing = lacking(size, end - place)
            place = end
        else:
            place += max(size, 8)
    return Extent([(start, place)], place, missing)


def _number(data: bytes) -> tuple[int, int]:
    """Return a Matroska size and its width in bytes; 0 for a size that is not known."""
    width = 9 - max(1, data[0]).bit_length() if data else 1
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (0 if value == (1 << 7 * width) - 1 else value), width


def walk_matroska(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the header and the segment of a Matroska or WebM file."""
    size, width = _number(read_at(file, start + 4, 8))
    place = start + 4 + width + size
    if read_at(file, place, 4) == SEGMENT:
        size, width = _number(read_at(file, place + 4, 8))
        if size:
            reach = min(end, place + 4 + width + size)
            return Extent([(start, reach)], reach)
    reach = find(file, start + 4, end, (EBML,))
    return Extent([(start, reach)], reach)


def walk_flac(file: BinaryIO, start: int, end: int) -> Extent:
    """Read how many samples a FLAC file promises, and look for the next one behind it."""
    total = int.from_bytes(read_at(file, start + 21, 5), "big") & ((1 << 36) - 1)
    reach = find(file, start + 4, end, (FLAC + b"\0\0\0\x22", FLAC + b"\x80\0\0\x22"))
    return Extent([(start, reach)], reach, "", 0 if is_placeholder(total, 36) else total)
