"""Sound without a container: frames that state their size, one behind the other."""

from collections.abc import Callable
from functools import cache
from typing import BinaryIO

from bonafide.audio.extent import Extent, is_placeholder
from bonafide.audio.magic import AMR_NB, AMR_WB
from bonafide.audio.tags import ends_there
from bonafide.audio.view import WINDOW_BYTES, read_at

HEADER_BYTES = 7
RESYNC_BYTES = 1 << 16
# Bit rates in kb/s by index, for versions 1 and 2 of MPEG audio, layers I, II and III.
BIT_RATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = (44_100, 48_000, 32_000)
AMR_NB_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1)
AMR_WB_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1)
# A frame of MP3 that holds counts in place of sound; where in it they stand.
COUNTS = {b"Xing": (36, 21, 13), b"Info": (36, 21, 13), b"VBRI": (36,)}

MAX_FRAMES = 2_000_000  # more are not counted
MAX_FRAMES_BYTES = 3 * 8_192

FrameBytes = Callable[[bytes, int], int]


@cache
def _mpeg_bytes(version_layer: int, rates: int) -> int:
    version, layer = version_layer >> 3 & 3, 4 - (version_layer >> 1 & 3)
    rate_index, bit_rate_index = rates >> 2 & 3, rates >> 4
    if version == 1 or layer == 4 or rate_index == 3 or not 0 < bit_rate_index < 15:
        return 0
    bit_rate = 1_000 * BIT_RATES[1 if version == 3 else 2, layer][bit_rate_index - 1]
    rate_hz = RATES_HZ[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    padding = rates >> 1 & 1
    if layer == 1:
        return (12 * bit_rate // rate_hz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bit_rate // rate_hz + padding


def mpeg_bytes(data: bytes, at: int) -> int:
    """Return the size of the frame of MP3, MP2 or MP1 whose header is there; 0 if none is."""
    if data[at] != 0xFF or data[at + 1] < 0xE0:
        return 0
    return _mpeg_bytes(data[at + 1], data[at + 2])


def adts_bytes(data: bytes, at: int) -> int:
    """Return the size of the frame of AAC whose header is there; 0 if none is."""
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or data[at + 2] >> 2 & 15 > 12:
        return 0
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return size if size >= HEADER_BYTES else 0


def amr_nb_bytes(data: bytes, at: int) -> int:
    """Return the size of the frame of narrow-band AMR that begins there; 0 if none does."""
    return 0 if data[at] & 0x83 or not data[at] else AMR_NB_BYTES[data[at] >> 3]


def amr_wb_bytes(data: bytes, at: int) -> int:
    """Return the size of the frame of wide-band AMR that begins there; 0 if none does."""
    return 0 if data[at] & 0x83 or not data[at] else AMR_WB_BYTES[data[at] >> 3]


# Kind -> what a file of it begins with, and the size of a frame.
FRAMED: dict[str, tuple[bytes, FrameBytes]] = {
    "mp3": (b"", mpeg_bytes),
    "aac": (b"", adts_bytes),
    "amr": (AMR_NB, amr_nb_bytes),
    "amr-wb": (AMR_WB, amr_wb_bytes),
}


def follow(data: bytes, frame_bytes: FrameBytes, count: int = 2, n_bytes: int = 0) -> bool:
    """Return whether data begins with so many frames, of so many bytes; or with fewer and ends."""
    at = number = 0
    while number < count or at < n_bytes:
        if at + HEADER_BYTES > len(data):
            return number > 0 and at == len(data) and at >= n_bytes
        size = frame_bytes(data, at)
        if not size:
            return False
        at, number = at + size, number + 1
    return True


class _Walker:
    """Looks at frame after frame, through a window of the file."""

    def __init__(self, file: BinaryIO, end: int, frame_bytes: FrameBytes) -> None:
        self._file, self._end, self._frame_bytes = file, end, frame_bytes
        self._window, self._base, self._stop = b"", 0, 0
        self.counts: set[int] = set()  # where frames of counts may begin

    def size_at(self, place: int) -> int:
        """Return the size of the frame at a place; 0 if none is there."""
        if not self._base <= place <= self._stop - (HEADER_BYTES if self._stop < self._end else 1):
            self._read(place)
        return self._frame_bytes(self._window, place - self._base)

    def _read(self, place: int) -> None:
        self._window = read_at(self._file, place, min(WINDOW_BYTES, self._end - place))
        self._base, self._stop = place, place + len(self._window)
        for name, offsets in COUNTS.items():
            at = self._window.find(name)
            while at >= 0:
                self.counts.update(place + at - offset for offset in offsets)
                at = self._window.find(name, at + 1)
        self._window += bytes(HEADER_BYTES)  # so that a header at the very end can be looked at

    def is_cut_header(self, place: int) -> bool:
        """Return whether the file ends in the middle of a frame's header."""
        return self._end - place < HEADER_BYTES and self._window[place - self._base] == 0xFF

    def resume(self, place: int) -> int:
        """Return where frames go on behind something else; the end if nowhere near."""
        if self._frame_bytes in (amr_nb_bytes, amr_wb_bytes):  # almost anything looks like one
            return self._end
        data = read_at(self._file, place, min(RESYNC_BYTES, self._end - place))
        for at in range(1, len(data) - HEADER_BYTES):
            if self._frame_bytes(data, at) and follow(
                data[at:][:MAX_FRAMES_BYTES], self._frame_bytes
            ):
                return place + at
        return self._end


def _promised(file: BinaryIO, start: int) -> int:
    """Return how many frames an MP3 promises in the one of counts that it begins with, or 0."""
    data = read_at(file, start, 64)
    for name, offsets in COUNTS.items():
        for offset in offsets:
            if data[offset : offset + 4] == name:
                known = name == b"VBRI" or data[offset + 7] & 1
                place = offset + (14 if name == b"VBRI" else 8)
                count = int.from_bytes(data[place : place + 4], "big")
                return 0 if not known or is_placeholder(count, 32) else count
    return 0


def walk_frames(file: BinaryIO, start: int, end: int, kind: str) -> Extent:
    """Follow the frames from a place on, past short stretches of something else.

    Returns
    -------
    Extent
        An MP3 ends where a tag, a container or another frame of counts begins.
    """
    magic, frame_bytes = FRAMED[kind]
    walker, place, n_frames = _Walker(file, end, frame_bytes), start + len(magic), 0
    broken = False
    while place < end and n_frames < MAX_FRAMES:
        size = walker.size_at(place)
        if not size:
            resumed = end if ends_there(file, place, end) else walker.resume(place)
            if resumed == end:
                broken = walker.is_cut_header(place)
                break
            place = resumed
            continue
        if n_frames and place in walker.counts:
            break
        if broken := place + size > end:
            break
        place, n_frames = place + size, n_frames + 1
    reach = end if broken or n_frames == MAX_FRAMES else place
    missing = "its last frame breaks off" if broken else ""
    if promised := _promised(file, start):
        # Some programs count the frame of counts itself.
        if n_frames < promised:
            missing = f"{promised} frames are stated and {n_frames - 1} are there"
        elif n_frames > promised:
            missing = ""
    return Extent([(start, end if n_frames == MAX_FRAMES else place)], reach, missing)
