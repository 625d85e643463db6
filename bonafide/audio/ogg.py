"""Ogg: pages, which state their size, and the streams that follow each other in a file."""

from typing import BinaryIO

from bonafide.audio.extent import Extent
from bonafide.audio.magic import OGG
from bonafide.audio.view import find, read_at

HEADER_BYTES, MAX_SEGMENTS = 27, 255
BEGINS, ENDS = 2, 4  # flags of a page


def walk_ogg(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the pages from the beginning of a stream to the beginning of the next.

    Returns
    -------
    Extent
        Streams whose beginnings follow each other run side by side. A stream is cut if its last
        page is, if the last packet goes on behind it, or if pages between its sound are missing.
    """
    place, reach, beginning = start, start, True
    missing, open_packets, heard = "", set[bytes](), dict[bytes, int]()
    while place < end:
        head = read_at(file, place, HEADER_BYTES + MAX_SEGMENTS)
        if head[:4] != OGG:
            place = find(file, place, end, (OGG,))
            continue
        flags, lacing = head[5:6], head[HEADER_BYTES:][: head[26]] if len(head) > 26 else b""
        begins = bool(flags and flags[0] & BEGINS)
        if begins and not beginning:
            break
        size = HEADER_BYTES + len(lacing) + sum(lacing)
        if len(head) <= HEADER_BYTES or len(lacing) < head[26] or place + size > end:
            missing = f"its last page breaks off after {end - place} bytes"
            reach = end
            break
        beginning, serial = begins, head[14:18]
        number = int.from_bytes(head[18:22], "little")
        if (lost := number - heard.get(serial, number)) > 0:
            missing = missing or f"pages of its sound are missing ({lost})"
        if serial in heard or int.from_bytes(head[6:14], "little", signed=True) > 0:
            heard[serial] = number + 1  # in front of sound, recorders of a station leave pages out
        if lacing:
            (open_packets.add if lacing[-1] == MAX_SEGMENTS else open_packets.discard)(serial)
        place += size
        reach = place
    if open_packets and not missing:
        missing = "its last packet goes on behind the end of the file"
    return Extent([(start, reach)], reach, missing)


def is_plain_vorbis(file: BinaryIO, start: int) -> bool:
    """Return whether one Vorbis stream begins here, and no other beside it."""
    head = read_at(file, start, HEADER_BYTES + MAX_SEGMENTS + 7)
    if len(head) <= HEADER_BYTES:
        return False
    body = HEADER_BYTES + head[26]
    size = sum(head[HEADER_BYTES:body])
    following = read_at(file, start + body + size, 6)
    return head[body : body + 7] == b"\1vorbis" and not (following[5:] and following[5] & BEGINS)
