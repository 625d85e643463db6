"""The recordings that are joined in one file, and where each of them ends."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from bonafide.audio.boxes import (
    flac_blocks,
    flac_samples,
    walk_asf,
    walk_au,
    walk_avi,
    walk_boxes,
    walk_nist,
)
from bonafide.audio.chunks import walk
from bonafide.audio.extent import Extent
from bonafide.audio.frames import FRAMED, HEADER_BYTES, follow, walk_frames
from bonafide.audio.magic import EBML, HEAD_BYTES, container_of
from bonafide.audio.nested import walk_flv, walk_matroska
from bonafide.audio.ogg import is_plain_vorbis, walk_ogg
from bonafide.audio.tags import before_tags, skip_tags
from bonafide.audio.view import Piece, find, read_at

FRAMES_BYTES = 8_192  # three frames and more
WALKS: dict[str, Callable[[BinaryIO, int, int], Extent]] = {
    "chunks": walk,
    "avi": walk_avi,
    "boxes": walk_boxes,
    "au": walk_au,
    "asf": walk_asf,
    "matroska": walk_matroska,
    "flv": walk_flv,
    "nist": walk_nist,
    "ogg": walk_ogg,
}
WALKED = frozenset({*WALKS, *FRAMED, "vorbis"})
# What recordings begin with, long enough to be told from chance in what is behind another one.
SIGNATURES = (
    *(b"fLaC\0\0\0\x22", b"OggS\0\x02", b"WAVEfmt "),  # all that is looked for inside FLAC
    *(b"#!AMR", EBML, b"ID3\3\0", b"ID3\4\0", b"ftypM4A ", b"ftypisom", b"ftypmp42"),
)
MAX_CANDIDATES = 100
SYNC = re.compile(rb"\xff(?=[\xe0-\xfe])")  # of a frame of AAC or MP3
JUNK_BYTES = 1 << 18  # in which sound that has no header is looked for
LONGER_THAN_A_PACKET = 512  # of an MPEG transport stream, which may hold several frames
FLAC_SYNCS = (b"\xff\xf8", b"\xff\xf9")


@dataclass(frozen=True)
class Member:
    """One recording in a file, or what lies between two and is none.

    Parameters
    ----------
    kind : str
        Its container or coding; empty if it is not known.
    pieces : sequence of bytes or tuple of int
        What a decoder is to read.
    missing : str
        What is stated and not there; empty if nothing.
    samples : int
        How many its header promises; 0 if it is not known.
    unknown_bytes : int
        Bytes in front of it that are no recording, no tag and no padding.
    """

    kind: str
    pieces: Sequence[Piece]
    missing: str = ""
    samples: int = 0
    unknown_bytes: int = 0


def kind_of(file: BinaryIO, start: int) -> str:
    """Return the kind of the recording that begins at a place; empty if it is not known."""
    head = read_at(file, start, FRAMES_BYTES)
    if kind := container_of(head[:HEAD_BYTES]):
        return "vorbis" if kind == "ogg" and is_plain_vorbis(file, start) else kind
    framed = ("aac", "mp3")  # in this order: what is AAC may look like MPEG layer IV
    return next((kind for kind in framed if follow(head, FRAMED[kind][1])), "")


def members(file: BinaryIO, size: int) -> Iterator[Member]:
    """Yield the recordings in a file, in order, and last what of it is none, if it is anything."""
    size = before_tags(file, 0, size)
    start = skip_tags(file, 0, size) if read_at(file, 0, 3) == b"ID3" else 0
    kind = kind_of(file, start)
    if not kind and not _is_transport_stream(file):
        junk = start if start < size else 0
        start, kind = _behind_junk(file, junk, size)
        if start > junk:
            yield Member("", [], unknown_bytes=start - junk)
    if not kind:  # a format of a decoder's own
        yield Member("", [(0, size)])
        return
    while start < size:
        extent = _extent(file, start, size, kind)
        yield Member(extent.kind or kind, extent.pieces, extent.missing, extent.samples)
        reach = skip_tags(file, extent.end, size)
        kind, start = kind_of(file, reach) if reach < size else "", reach
        if reach < size and not kind:
            start, kind = _behind_junk(file, reach, size)
            known = _next_known(file, reach, start if kind else size, SIGNATURES)
            if not kind or known < start:
                start, kind = known, kind_of(file, known)
            yield Member("", [], unknown_bytes=start - reach)


def _is_transport_stream(file: BinaryIO) -> bool:
    """Return whether a file consists of packets of MPEG-TS, each of which begins with a G."""
    head = read_at(file, 0, 3 * 192)
    return any(head[at::step][:3] == b"GGG" for at, step in ((0, 188), (4, 192)))


def _behind_junk(file: BinaryIO, start: int, size: int) -> tuple[int, str]:
    """Return where frames of AAC or MP3 begin behind something else, and of what kind they are."""
    head = read_at(file, start, min(JUNK_BYTES, size - start))
    for found in SYNC.finditer(head, 0, max(0, len(head) - HEADER_BYTES)):
        at = found.start()
        for kind in ("aac", "mp3"):
            frame_bytes = FRAMED[kind][1]
            data = head[at : at + FRAMES_BYTES] if frame_bytes(head, at) else b""
            if data and follow(data, frame_bytes, 4, LONGER_THAN_A_PACKET):
                return start + at, kind
    return start, ""


def _extent(file: BinaryIO, start: int, size: int, kind: str) -> Extent:
    if kind in FRAMED:
        return walk_frames(file, start, size, kind)
    if kind == "flac":
        return _flac(file, start, size)
    if kind in WALKS or kind == "vorbis":
        return WALKS["ogg" if kind == "vorbis" else kind](file, start, size)
    return Extent([(start, size)], size)


def _flac(file: BinaryIO, start: int, size: int) -> Extent:
    """Return the stream information and the sound of a FLAC file; all if they cannot be told."""
    header, sound = flac_blocks(file, start, size)
    if read_at(file, sound, 2) not in FLAC_SYNCS:
        reach = _next_known(file, start + 4, size, SIGNATURES[:3])
        return Extent([(start, reach)], reach, samples=flac_samples(header))
    reach = _next_known(file, sound, size, SIGNATURES[:3])
    front = b"fLaC\x80" + len(header).to_bytes(3, "big") + header
    return Extent([front, (sound, reach)], reach, samples=flac_samples(header))


def _next_known(file: BinaryIO, start: int, end: int, signatures: Sequence[bytes]) -> int:
    """Return where behind something unknown a recording begins; the end if nowhere."""
    place = start
    for _ in range(MAX_CANDIDATES):
        place = find(file, place, end, signatures)
        if place == end:
            break
        for back in (0, 4, 8):
            candidate = skip_tags(file, place - back, end)
            if place - back >= start and candidate < end and kind_of(file, candidate):
                return candidate
        place += 1
    return end
