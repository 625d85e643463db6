"""The sound of a file: each recording in it by the decoder whose answers are the truer."""

from typing import BinaryIO

from bonafide.audio import ffmpeg, libsndfile
from bonafide.audio.headerless import HEADERLESS_SUFFIXES, RAW, open_raw
from bonafide.audio.magic import HEAD_BYTES, container_of
from bonafide.audio.members import WALKED, Member, members
from bonafide.audio.types import Blocks, Findings
from bonafide.audio.view import WINDOW_BYTES, View, read_at, size_of
from bonafide.errors import AudioError
from bonafide.process.interrupt import heed

MAX_MEMBERS = 1_000
# Bytes behind the last recording that may be padding, or a tag that is not known.
IGNORED_BYTES = 4_096
LIBSNDFILE_KINDS = ("chunks", "au", "vorbis", "nist")


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
        self._seconds, self._rate_hz = 0.0, 0

    def __iter__(self) -> Blocks:
        """Decode the recordings in order."""
        size = size_of(self._file)
        if self._suffix in HEADERLESS_SUFFIXES and not self._has_header():
            yield from self._headerless(View(self._file, [(0, size)]))
            return
        for number, member in enumerate(members(self._file, size)):
            if number >= MAX_MEMBERS:
                raise AudioError(
                    "bad_format", f"over {MAX_MEMBERS} recordings in one file; must be at most that"
                )
            if member.unknown_bytes:
                self._omit_unknown(member.unknown_bytes)
                continue
            try:
                yield from self._member(member)
            except AudioError as error:
                if self._seconds and error.code != "bad_format":
                    self._omit("a recording that cannot be decoded")
                elif error.code == "not_audio" and (why := _promised(member)):
                    message = f"nothing of it can be decoded: {why}"
                    raise AudioError("damaged", message) from error
                else:
                    raise

        if self.damage and not self._seconds:
            raise AudioError("damaged", f"nothing of it can be decoded: {self.damage}")

    def _headerless(self, file: View) -> Blocks:
        found = Findings()
        if self._suffix in RAW:
            yield from self._counted(libsndfile.blocks(open_raw(file, self._suffix), found), found)
        else:
            yield from self._counted(ffmpeg.blocks(file, found, format_name="g722"), found)

    def _has_header(self) -> bool:
        head = read_at(self._file, 0, HEAD_BYTES)
        return head[:3] == b"ID3" or bool(container_of(head))

    def _member(self, member: Member) -> Blocks:
        file, found = View(self._file, member.pieces), Findings()
        before_s = self._seconds
        sound = None
        if self._is_libsndfile_s(member.kind):
            # How far it was read is asked of those alone that are not walked.
            sound = libsndfile.open_sound(file.as_it_is() if member.kind in WALKED else file)
        if sound is not None:
            yield from self._counted(libsndfile.blocks(sound, found), found)
            found.reached_bytes = file.reached
        else:
            yield from self._counted(ffmpeg.blocks(file, found, self._track), found)
        heard = round((self._seconds - before_s) * self._rate_hz)
        if heard < member.samples and not found.damage:
            found.damage = f"{member.samples} samples were promised and {heard} could be decoded"
        self.damage = self.damage or member.missing or found.damage
        if found.reached_bytes and member.kind not in WALKED:
            rest = read_at(file, found.reached_bytes, WINDOW_BYTES).strip(b"\0")
            self._omit_unknown(len(rest))

    def _is_libsndfile_s(self, kind: str) -> bool:
        """Return whether to ask libsndfile first; never for what it may take for an MP3."""
        # Its decoder of MP3 prints remarks to the terminal, and guesses lengths.
        if kind:
            return kind in LIBSNDFILE_KINDS
        head = read_at(self._file, 0, 3)
        return head != b"ID3" and not (head[:1] == b"\xff" and head[1:2] >= b"\xe0")

    def _counted(self, blocks: Blocks, found: Findings) -> Blocks:
        try:
            for rate_hz, block in blocks:
                heed()
                self.codec = self.codec or found.codec
                self._rate_hz = rate_hz
                self._seconds += len(block) / rate_hz
                self.n_tracks = max(self.n_tracks, found.n_tracks)
                yield rate_hz, block
        finally:  # of a track that does not decode, too
            self.n_tracks = max(self.n_tracks, found.n_tracks)

    def _omit_unknown(self, n_bytes: int) -> None:
        if n_bytes > IGNORED_BYTES:
            self._omit(f"{n_bytes} bytes that are not known to be sound")

    def _omit(self, what: str) -> None:
        if not self.omitted:
            self.omitted = f"behind {self._seconds:.1f} s of sound, which were judged, is {what}"


def _promised(member: Member) -> str:
    """Return what a recording is known to hold, where that is not there; empty if nothing."""
    return member.missing or (f"{member.samples} samples were promised" if member.samples else "")
