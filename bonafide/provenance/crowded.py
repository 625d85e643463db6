"""How many fields the tags of a file hold: readers compare each with all before it."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from bonafide.audio.magic import FLAC, HEAD_BYTES, OGG, container_of
from bonafide.audio.tags import before_tags, skip_tags
from bonafide.audio.view import WINDOW_BYTES, find, read_at, size_of
from bonafide.errors import AudioError

MOST = 2_000  # marks of fields, one or two each; FFmpeg reads as many in a tenth of a second
MOST_DECODED, DECODED_WITH_TAGS = 10_000, ("boxes", "matroska", "ogg", "asf", "flv")
CHANCE_BYTES = 1 << 12  # two bytes that are looked for within sound come once in 64 kB by chance
# What no field goes without: the upper half of its size, an atom, the name in a Matroska tag.
SIZE, SIZE_ID3_2, END = rb"\0\0+", rb"[A-Z][A-Z0-9]{2}\0|T[^\0]{2}\0", rb"\0"
ATOM, SIMPLE_TAG, AMF_KEY = rb"data", rb"\x45\xa3", rb"\0[^\0][^\0-\2]+[\0-\2]"
ID3, INFO, CAF_INFO = (b"ID3\2", b"ID3\3", b"ID3\4"), b"INFO", b"info\0\0\0\0"
# A string of MP4's own; those of iTunes have four atoms each, and the last of them is counted.
USER_TEXT = rb"\0\0(?:\0+[^\0]|[^\0].)(?!mean|data|----)[^\0]{4}"
USER_DATA, SUMMARY = b"udta", bytes.fromhex("BC945F92 5A52 D211 86DC 00C04F8EDB8A")  # MP4, W64
FLAC_COMMENT, FLV_SCRIPT, MAX_BLOCKS = 4, 18, 10_000
OGG_HEAD_BYTES, FLV_HEAD_BYTES = 27, 11

Region = tuple[int, int, bytes]
"""Start, end, and the mark that is counted there."""


def is_crowded(file: BinaryIO) -> bool:
    """Return whether tags hold so many fields that readers would take long over them.

    Parameters
    ----------
    file : binary file
        Left open.

    Returns
    -------
    bool

    Raises
    ------
    AudioError
        ``bad_format`` for far more, in a container that is not even decoded without them.
    """
    size = size_of(file)
    kind = container_of(read_at(file, skip_tags(file, 0, size), HEAD_BYTES))
    fields = 0
    for region in chain(_marked(file, size), _regions(file, kind)):
        fields += 1 + _count(file, *region)
        if fields > (MOST_DECODED if kind in DECODED_WITH_TAGS else MOST):
            break
    mark = {"boxes": ATOM, "matroska": SIMPLE_TAG}.get(kind)
    fields += _count(file, 0, size, mark) if mark else _in_pages(file, size) if kind == "ogg" else 0
    if kind in DECODED_WITH_TAGS and fields > MOST_DECODED + size // CHANCE_BYTES:
        raise AudioError(
            "bad_format", f"its tags hold over {MOST_DECODED} fields; must be at most that"
        )
    return fields > MOST + size // CHANCE_BYTES


def _count(file: BinaryIO, start: int, end: int, mark: bytes) -> int:
    """Count a mark; one that two windows share may be missed."""
    places = range(start, end, WINDOW_BYTES)
    parts = (read_at(file, at, min(WINDOW_BYTES, end - at)) for at in places)
    return sum(len(re.findall(mark, part)) for part in parts)


def _marked(file: BinaryIO, size: int) -> Iterator[Region]:
    """Yield the tags that may lie anywhere: ID3v2, and lists of INFO in RIFF."""
    place = 0
    while (place := find(file, place, size, (*ID3, INFO))) < size:
        head = read_at(file, max(0, place - 8), 18)
        here = min(8, place)
        if head[here : here + 4] == INFO:
            listed = here == 8 and head[:4] == b"LIST"
            length, mark = int.from_bytes(head[4:8], "little") if listed else 4, SIZE
        else:
            sizes = head[here + 6 : here + 10]
            length = 10 + sum((byte & 127) << 7 * n for n, byte in enumerate(reversed(sizes)))
            mark = SIZE_ID3_2 if head[here + 3] == 2 else SIZE
        end = min(size, place + max(length, 4))
        yield place, end, mark
        place = end


def _regions(file: BinaryIO, kind: str) -> Iterator[Region]:
    """Yield where the tags of containers are that have them in one place."""
    size = size_of(file)
    start = skip_tags(file, 0, size)
    if kind == "flac":
        yield from _flac_comments(file, start + len(FLAC))
    elif kind == "boxes":
        yield from _user_data(file, start)
    elif kind == "flv":
        yield from _flv_scripts(file, start)
    elif kind == "asf":
        length = int.from_bytes(read_at(file, start + 16, 8), "little")
        yield start, min(size, start + length), SIZE
    elif kind in ("wavpack", "ape", "tta", "tak"):
        yield before_tags(file, start, size), size, SIZE
    elif read_at(file, start, 4) == b"riff":
        place = find(file, start, size, (SUMMARY,))
        length = int.from_bytes(read_at(file, place + len(SUMMARY), 8), "little")
        yield place, min(size, place + length), SIZE
    elif read_at(file, start, 4) == b"caff":
        place = find(file, start, size, (CAF_INFO,))
        length = int.from_bytes(read_at(file, place + 4, 8), "big")
        yield place, min(size, place + 12 + length), END


def _flac_comments(file: BinaryIO, place: int) -> Iterator[Region]:
    for _ in range(MAX_BLOCKS):
        head = read_at(file, place, 4)
        end = place + 4 + int.from_bytes(head[1:], "big")
        if head[:1] and head[0] & 127 == FLAC_COMMENT:
            yield place + 4, min(size_of(file), end), SIZE
        if len(head) < 4 or head[0] >> 7:
            return
        place = end
    yield place, size_of(file), SIZE


def _user_data(file: BinaryIO, place: int) -> Iterator[Region]:
    size = size_of(file)
    while (place := find(file, place, size, (USER_DATA,))) < size:
        length = int.from_bytes(read_at(file, max(0, place - 4), 4), "big")
        end = min(size, place + max(4, length - 4))
        yield place, end, USER_TEXT
        place = end


def _flv_scripts(file: BinaryIO, place: int) -> Iterator[Region]:
    place += 4 + int.from_bytes(read_at(file, place + 5, 4), "big")
    while len(head := read_at(file, place, FLV_HEAD_BYTES)) == FLV_HEAD_BYTES:
        start, length = place + FLV_HEAD_BYTES, int.from_bytes(head[1:4], "big")
        if head[0] & 31 == FLV_SCRIPT:
            yield start, min(size_of(file), start + length), AMF_KEY
        place = start + length + 4


def _in_pages(file: BinaryIO, size: int) -> int:
    """Count marks of sizes in the content of Ogg's pages, whose heads are full of zeros."""
    place, count = 0, 0
    while place < size:
        head = read_at(file, place, OGG_HEAD_BYTES + 255)
        if head[:4] != OGG:
            place = find(file, place, size, (OGG,))
            continue
        n_segments = head[26] if len(head) >= OGG_HEAD_BYTES else 0
        start = place + OGG_HEAD_BYTES + n_segments
        end = start + sum(head[OGG_HEAD_BYTES : OGG_HEAD_BYTES + n_segments])
        count += _count(file, start, min(size, end), SIZE)
        place = max(end, place + 4)
    return count
