"""How far Matroska and FLV files reach: elements and tags, each of which states its size."""

from typing import BinaryIO

from bonafide.audio.extent import Extent, lacking
from bonafide.audio.magic import EBML
from bonafide.audio.view import read_at

MAX_ELEMENTS = 1_000_000
SEGMENT, CLUSTER = b"\x18S\x80g", b"\x1fC\xb6u"
IN_SEGMENT = frozenset(
    bytes.fromhex(name)
    for name in (
        *("1a45dfa3", "18538067", "114d9b74", "1549a966", "1654ae6b", "1c53bb6b", "1254c367"),
        *("1043a770", "1941a469", "1f43b675", "ec", "bf", "e7", "a3", "a0", "a7", "ab", "af"),
    )
)
SOUND = (CLUSTER, b"\xa3", b"\xa0")  # clusters, and the blocks of one whose size is not known
FLV_SOUND = 8
FLV_TAGS = (FLV_SOUND, 9, 18)


def _width(first: int) -> int:
    """Return how many bytes a number of Matroska takes, by its first one; over 8 for none."""
    return 9 - first.bit_length()


def _element(head: bytes) -> tuple[bytes, int, int | None]:
    """Return an element's identifier, the width of its head, and its size: None if not known."""
    width = _width(head[0])
    size_width = _width(head[width]) if width < len(head) else 9
    end = width + size_width
    if width > 4 or size_width > 8 or end > len(head):
        return b"", 0, 0
    most = (1 << 7 * size_width) - 1
    size = int.from_bytes(head[width:end], "big") & most
    return head[:width], end, None if size == most else size


def walk_matroska(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the elements of a Matroska or WebM file, and into those that state no size."""
    place, missing = start, ""
    for _ in range(MAX_ELEMENTS):
        head = read_at(file, place, 12) if place < end else b""
        if not head or (head[:4] == EBML and place > start):
            break
        name, width, size = _element(head)
        if name not in IN_SEGMENT:
            break
        place += width
        if name != SEGMENT and size is not None:
            if place + size > end and name in SOUND:
                missing = lacking(size, end - place)
            place = min(end, place + size)
        elif name not in (SEGMENT, CLUSTER):
            break
    return Extent([(start, place)], place, missing)


def walk_flv(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the tags of an FLV file."""
    place, missing = start + 13, ""
    for _ in range(MAX_ELEMENTS):
        head = read_at(file, place, 11) if place < end else b""
        if len(head) < 11 or head[0] & 31 not in FLV_TAGS or head[8:11] != bytes(3):
            break
        size = int.from_bytes(head[1:4], "big") + 11
        if head[0] & 31 == FLV_SOUND:
            missing = lacking(size, end - place)
        place = min(end, place + size + 4)
    else:
        place = end
    return Extent([(start, place)], place, missing)
