"""How far AU, AVI, MP4, FLAC and NIST SPHERE files reach, by what they state of their size."""

import math
import struct
from typing import BinaryIO

from bonafide.audio.chunks import LAYOUTS, chunks
from bonafide.audio.extent import Extent, is_placeholder, lacking
from bonafide.audio.magic import BOXES, container_of
from bonafide.audio.view import read_at

MAX_BOXES = 100_000
UNREADABLE_CUT = (b"moof", b"sidx", b"mfra")
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def walk_au(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the header of an AU file: the offset of its sound and the size."""
    _, offset, size = struct.unpack(">4sII", read_at(file, start, 12).ljust(12, b"\0"))
    place = start + offset
    if is_placeholder(size, 32):
        unknown = b"\xff" * 4
        return Extent([(start, start + 8), unknown, (start + 12, end)], end)
    if place + size > end:
        return Extent([(start, end)], end, lacking(size, end - place))
    return Extent([(start, place + size)], place + size)


def walk_avi(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the RIFF chunks of an AVI file, of which there is one for each gigabyte."""
    reach, missing = start, ""
    while reach < end:
        head = read_at(file, reach, 12)
        if reach > start and (head[:4], head[8:]) != (b"RIFF", b"AVIX"):
            break
        for chunk in chunks(file, reach + 12, end, LAYOUTS[b"RIFF"]):
            is_sound = chunk.name == b"LIST" and read_at(file, chunk.content, 4) == b"movi"
            if is_sound and not is_placeholder(chunk.size, 32):
                missing = missing or lacking(chunk.size, end - chunk.content)
        size = int.from_bytes(head[4:8], "little")
        reach = end if is_placeholder(size, 32) else min(end, reach + 8 + size + size % 2)
    return Extent([(start, reach)], reach, missing)


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
        if name in UNREADABLE_CUT and place + size > end:  # FFmpeg would give up the whole file
            return Extent([(start, place)], end, f"its last {name.decode()} box breaks off")
        if size == 0 or place + size > end:
            if size and name == b"mdat":
                missing = lacking(size, end - place)
            place = end
        else:
            place += max(size, 8)
    return Extent([(start, place)], place, missing)


def walk_asf(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the objects of an ASF file: its header, its sound and pictures, and indices."""
    place, missing = start, ""
    for _ in range(MAX_BOXES):
        head = read_at(file, place, 24)
        size = int.from_bytes(head[16:], "little")
        if len(head) < 24 or size < 24 or (place > start and container_of(head)):
            break
        if head[:16] == ASF_DATA:
            missing = lacking(size, end - place)
        elif place + size > end:
            break
        place = min(end, place + size)
    return Extent([(start, place)], place, missing)


def flac_samples(header: bytes) -> int:
    """Return how many samples a FLAC file's stream information states; 0 if it does not."""
    total = int.from_bytes(header[13:18], "big") & ((1 << 36) - 1)
    return 0 if is_placeholder(total, 36) else total


def flac_blocks(file: BinaryIO, start: int, end: int) -> tuple[bytes, int]:
    """Follow the blocks in front of the sound of a FLAC file.

    Pictures, which may hold anything, and damaged tags are of no interest.

    Returns
    -------
    tuple of bytes and int
        The stream information, and where the sound begins.
    """
    header, place = b"", start + 4
    for _ in range(MAX_BOXES):
        head = read_at(file, place, 4)
        if len(head) < 4 or place >= end:
            break
        size = int.from_bytes(head[1:], "big")
        if head[0] & 127 == 0:
            header = header or read_at(file, place + 4, size)
        place += 4 + size
        if head[0] >> 7:
            break
    return header, min(place, end)


def walk_nist(file: BinaryIO, start: int, end: int) -> Extent:
    """Read how many samples a NIST SPHERE file promises, and where their bytes end."""
    header = read_at(file, start, 1_024)
    fields = {line.split()[0]: line.split()[-1] for line in header.split(b"\n") if line.strip()}
    numbers = [
        int(value) if (value := fields.get(name, b"")).isdigit() else 0
        for name in (b"sample_count", b"sample_n_bytes", b"channel_count")
    ]
    content = start + (int(header[8:16]) if header[8:16].strip().isdigit() else 1_024)
    stated = math.prod(numbers)
    if b"pcm" not in fields.get(b"sample_coding", b"pcm").split(b","):
        stated = 0 if b"," in fields[b"sample_coding"] else stated  # shorten and its like
    reach = min(end, content + stated) if stated else end
    return Extent([(start, reach)], reach, lacking(stated, end - content))
