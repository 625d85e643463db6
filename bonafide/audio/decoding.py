"""The sound of a file: each recording in it by the decoder whose answers are the truer."""

from typing import BinaryIO

from bonafide.audio import ffmpeg, libsndfile
from bonafide.audio.headerless import HEADERLESS_SUFFIXES, RAW, open_raw
from bonafide.audio.members import Member, members, recognise
from bonafide.audio.types import Blocks, Findings
from bonafide.audio.view import read_at, size_of, view
from bonafide.errors import AudioError

MAX_MEMBERS = 1_000
# Bytes behind the last recording that may be padding, or a tag that is not known.
IGNORED_BYTES = 4_096


class Joined:
    """The recordings in a file, one behind the other.

    Iterating yields the rate in Hz and samples of shape (n, channels).

    Parameters
    ----------
    file : binary file
        Open and seekable; left open.
    track : int or None
        The audio track, from 0; None for the first that decodes.
    suffix : str
        Of the file's name, in lower case: what a file without a header is known by.

    Attributes
    ----------
    codec, n_tracks, damage
        As in `Findings`, of all recordings so far.
    omitted : str
        What of the file was not decoded, though sound may be in it; empty if nothing.
    """

    def __init__(self, file: BinaryIO, track: int | None, suffix: str) -> None:
        self._file, self._track, self._suffix = file, track, suffix
        self.codec, self.n_tracks, self.damage, self.omitted = "", 0, "", ""
        self._seconds = 0.0

    def __iter__(self) -> Blocks:
        """Decode the recordings in order."""
        size = size_of(self._file)
        if self._suffix in HEADERLESS_SUFFIXES and not recognise(read_at(self._file, 0, 64)):
            yield from self._headerless(view(self._file, [(0, size)]))
            return
        for number, member in enumerate(members(self._file, size)):
            if number >= MAX_MEMBERS:
                raise AudioError(
                    "bad_format", f"over {MAX_MEMBERS} recordings in one file; must be at most that"
                )
            try:
                yield from self._member(member)
            except AudioError as error:
                if not self._seconds or error.code == "bad_format":
                    raise
                self._omit("a recording that cannot be decoded")

    def _headerless(self, file: BinaryIO) -> Blocks:
        found = Findings()
        if self._suffix in RAW:
            yield from self._counted(libsndfile.blocks(open_raw(file, self._suffix), found), found)
        else:
            yield from self._counted(ffmpeg.blocks(file, found, format_name="g722"), found)

    def _member(self, member: Member) -> Blocks:
        file, found = view(self._file, member.pieces), Findings()
        sound = None if member.kind in FFMPEG_KINDS else libsndfile.open_sound(file)
        if sound is not None:
            yield from self._counted(libsndfile.blocks(sound, found), found)
        else:
            yield from self._counted(ffmpeg.blocks(file, found, self._track), found)
        self.damage = self.damage or member.missing or found.damage

    def _counted(self, blocks: Blocks, found: Findings) -> Blocks:
        for rate_hz, block in blocks:
            self.codec = self.codec or found.codec
            self.n_tracks = max(self.n_tracks, found.n_tracks)
            self._seconds += len(block) / rate_hz
            yield rate_hz, block

    def _omit(self, what: str) -> None:
        if not self.omitted:
            self.omitted = f"behind {self._seconds:.1f} s of sound, which were judged, is {what}"


FFMPEG_KINDS = ("mp3", "flac")
