"""Containers made of chunks that state their size: how far each one reaches, and what it lacks."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bonafide.audio.extent import Extent, is_placeholder, lacking
from bonafide.audio.magic import HEAD_BYTES, container_of
from bonafide.audio.tags import ends_there
from bonafide.audio.view import Piece, read_at

MAX_CHUNKS = 100_000
EXTENSIBLE, MPEG_TAGS = 0xFFFE, (0x50, 0x55)
COMMON = (b"data", b"fmt ", b"fact", b"LIST", b"id3 ", b"COMM", b"SSND", b"ID3 ")
W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


@dataclass(frozen=True)
class Layout:
    """How a container writes its chunks.

    Parameters
    ----------
    head : int
        Bytes before the first chunk.
    fields : struct.Struct
        Of a chunk: identifier and size, or size and identifier.
    data : tuple of bytes
        Identifiers of the chunks that hold the sound.
    align : int
        Chunks begin at multiples of this many bytes.
    inclusive : bool
        Whether a size counts the fields.
    """

    head: int
    fields: struct.Struct
    data: tuple[bytes, ...]
    align: int = 1
    inclusive: bool = False


LAYOUTS = {
    b"RIFF": Layout(12, struct.Struct("<4sI"), (b"data",), 2),
    b"RF64": Layout(12, struct.Struct("<4sI"), (b"data",), 2),
    b"BW64": Layout(12, struct.Struct("<4sI"), (b"data",), 2),
    b"RIFX": Layout(12, struct.Struct(">4sI"), (b"data",), 2),
    b"FORM": Layout(12, struct.Struct(">4sI"), (b"SSND", b"BODY"), 2),
    b"caff": Layout(8, struct.Struct(">4sQ"), (b"data",)),
    W64_RIFF[:4]: Layout(40, struct.Struct("<16sQ"), (W64_DATA,), 8, inclusive=True),
}


@dataclass(frozen=True)
class Chunk:
    """One chunk: its identifier, where its fields and its content begin, and its stated size."""

    name: bytes
    start: int
    content: int
    size: int


def _is_name(name: bytes) -> bool:
    return _printable(name) and name[4:] in (b"", W64_DATA[4:], W64_RIFF[4:])


def _printable(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name[:4])


def chunks(file: BinaryIO, start: int, end: int, layout: Layout) -> Iterator[Chunk]:
    """Yield the chunks from a place on, until what follows is none."""
    width = layout.fields.size
    for _ in range(MAX_CHUNKS):
        fields = read_at(file, start, width)
        if len(fields) < width or start + width > end:
            return
        name, size = layout.fields.unpack(fields)
        if size:  # 0 is one that was never filled in
            size -= width * layout.inclusive
        if size < 0 or not _is_name(name) or ends_there(file, start, end):
            return
        yield Chunk(name, start, start + width, size)
        if start + width + size > end:
            return
        start = _padded(file, start + width, size, layout)


def _padded(file: BinaryIO, content: int, size: int, layout: Layout) -> int:
    """Return where the next chunk begins: some programs leave out the padding byte."""
    end, padding = content + size, -size % layout.align
    if not padding:
        return end
    head = read_at(file, end, HEAD_BYTES)
    shifted = head[:1] != b"\0" and _printable(head[:4])
    shifted = shifted and (head[:4] in COMMON or not _printable(head[1:5]))
    return end if container_of(head) or (layout.align == 2 and shifted) else end + padding


def walk(file: BinaryIO, start: int, end: int) -> Extent:
    """Follow the chunks of a container from its start, up to the end of the file.

    Returns
    -------
    Extent
        Where its sound is in several chunks or of no stated size, the pieces make it one chunk.
    """
    magic = read_at(file, start, 4)
    layout = LAYOUTS[magic]
    first, sound, missing, kind = None, list[Piece](), "", ""
    reach, whole = start + layout.head, True
    heads = [(start + 4, reach)]  # of the container, and the chunks in front of the sound
    for chunk in chunks(file, reach, end, layout):
        there = min(chunk.size, end - chunk.content)  # no file can be sought to all that is stated
        reach = min(end, _padded(file, chunk.content, there, layout))
        if chunk.name == b"fmt " and _format_tag(file, chunk) in MPEG_TAGS:
            kind = "mp3"
        if chunk.name not in layout.data:
            if first is None:
                heads.append((chunk.start, min(end, chunk.content + chunk.size)))
                whole = whole and (reach - chunk.content) % layout.align == 0
            continue
        whole = whole and first is None
        first = first or chunk
        size, bits = _stated(file, start, magic, chunk)
        place = chunk.content
        if is_placeholder(size, bits) and (size or not _are_chunks(file, place, end, layout)):
            size, reach, whole = end - place, end, False
        elif place + size > end:
            missing = lacking(size, end - place)
            size = end - place
        if size > 0:
            sound.append((place, place + size))
        if place + size >= end:
            break
        reach = _padded(file, place, size, layout)
    if first is None or whole:
        return Extent([(start, reach)], reach, missing, kind=kind)
    return Extent(_as_one(magic, heads, first, sound, layout), reach, missing, kind=kind)


def _format_tag(file: BinaryIO, chunk: Chunk) -> int:
    """Return the number of a WAV file's coding."""
    fields = read_at(file, chunk.content, 26)
    tag = int.from_bytes(fields[:2], "little")
    return int.from_bytes(fields[24:26], "little") if tag == EXTENSIBLE else tag


def _stated(file: BinaryIO, start: int, magic: bytes, chunk: Chunk) -> tuple[int, int]:
    """Return the size that is stated of a chunk of sound, and the bits of its field."""
    if magic in (b"RF64", b"BW64") and chunk.size == 0xFFFFFFFF:
        fields = read_at(file, start + 12, 24)  # of the chunk ds64
        if fields[:4] == b"ds64" and len(fields) == 24:
            return int.from_bytes(fields[16:24], "little"), 64
    return chunk.size, 32 if chunk.content - chunk.start == 8 else 64


def _are_chunks(file: BinaryIO, start: int, end: int, layout: Layout) -> bool:
    """Return whether all that follows is chunks, or nothing."""
    reach = start
    for chunk in chunks(file, start, end, layout):
        reach = chunk.content + chunk.size
    return end <= reach <= end + 1


def _as_one(
    magic: bytes, heads: list[tuple[int, int]], first: Chunk, sound: list[Piece], layout: Layout
) -> list[Piece]:
    """Return the container up to its first chunk of sound, padded, and all sound in one chunk."""
    width = layout.fields.size
    total = sum(piece[1] - piece[0] for piece in sound if not isinstance(piece, bytes))
    total += width * layout.inclusive
    if width == 8:
        total = min(total, 0xFFFFFFFF)
    front: list[Piece] = [b"RIFF" if magic in (b"RF64", b"BW64") else magic, heads[0]]
    for head in heads[1:]:
        padding = bytes(-(head[1] - head[0]) % layout.align)
        front += [head, padding] if padding else [head]
    return [*front, layout.fields.pack(first.name, total), *sound]
