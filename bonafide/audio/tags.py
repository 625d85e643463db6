"""Tags in front of, between and behind recordings, and padding: bytes that are no sound."""

from typing import BinaryIO

from bonafide.audio.magic import HEAD_BYTES, container_of
from bonafide.audio.view import WINDOW_BYTES, read_at

ID3V1_BYTES, ID3V2 = 128, (b"\2", b"\3", b"\4")


def _syncsafe(data: bytes) -> int:
    return sum((byte & 127) << 7 * power for power, byte in enumerate(reversed(data)))


def _tag_bytes(file: BinaryIO, place: int, end: int) -> int:
    """Return the size of the tag or the run of zeros at a place; 0 if there is none."""
    head = read_at(file, place, 64)
    if head[:3] == b"ID3" and head[3:4] in ID3V2 and len(head) >= 10 and max(head[6:10]) < 128:
        return 10 + _syncsafe(head[6:10]) + 10 * (head[5] >> 4 & 1)
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        has_header, is_header = head[23] >> 7, head[23] >> 5 & 1
        size = int.from_bytes(head[12:16], "little")
        return 32 + (size if is_header or not has_header else 0)
    if head[:3] == b"TAG":
        return 227 if head[3:4] == b"+" else ID3V1_BYTES
    if head[:11] == b"LYRICSBEGIN":
        content = read_at(file, place, min(WINDOW_BYTES, end - place))
        found = [content.find(mark) for mark in (b"LYRICS200", b"LYRICSEND")]
        return max(found) + 9 if max(found) >= 0 else 0
    if head[:1] == b"\0":
        return _zeros(file, place, end)
    return 0


def _zeros(file: BinaryIO, place: int, end: int) -> int:
    """Return how many zeros are at a place, less those that a container begins with."""
    content = read_at(file, place, min(WINDOW_BYTES, end - place))
    count = len(content) - len(content.lstrip(b"\0"))
    heads = ((n, read_at(file, place + n, HEAD_BYTES)) for n in range(max(0, count - 3), count))
    return next((n for n, head in heads if container_of(head)), count)


def skip_tags(file: BinaryIO, place: int, end: int) -> int:
    """Return the first place from `place` on that is in no tag and no run of zeros."""
    while place < end and (size := _tag_bytes(file, place, end)):
        place += size
    return min(place, end)


def ends_there(file: BinaryIO, place: int, end: int) -> bool:
    """Return whether a recording ends at a place, for a tag or another recording begins there."""
    head = read_at(file, place, HEAD_BYTES)
    return bool(container_of(head)) or skip_tags(file, place, end) > place


def before_tags(file: BinaryIO, start: int, end: int) -> int:
    """Return where the tags at the end of a file begin; its end if there are none."""
    while True:
        tail = read_at(file, max(start, end - 160), min(160, end - start))
        apart = tail[-32:]
        if tail[-ID3V1_BYTES:][:3] == b"TAG" and len(tail) >= ID3V1_BYTES:
            size = ID3V1_BYTES
        elif apart[:8] == b"APETAGEX":
            size = int.from_bytes(apart[12:16], "little") + 32 * (apart[23] >> 7)
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            size = int(tail[-15:-9]) + 15
        else:
            return end
        if not 0 < size <= end - start:
            return end
        end -= size
