"""Decoding through libsndfile: WAV and its relatives, Ogg Vorbis, and formats that are rare."""

from typing import BinaryIO

import soundfile

from bonafide.audio.types import BLOCK_S, Blocks, Findings
from bonafide.audio.view import View
from bonafide.errors import AudioError

# Codecs in which soundfile may seek without fail.
SEEKABLE = ("PCM_", "FLOAT", "DOUBLE", "VORBIS")
# Where libsndfile's count of samples is what the file says, and not a guess.
COUNTED = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS")
MOST_FRAMES = 1 << 40  # more is a placeholder
PCM_SAMPLES = 64_000  # of all channels, in one read: the read itself takes longer than they do


class Forward(soundfile.SoundFile):
    """A sound that is read from start to end, and sought in by no codec that may not."""

    _may_seek: bool | None = None  # soundfile asks several times a read, and it takes long

    def seekable(self) -> bool:
        """Return whether soundfile may ask for the place, and seek there, around every read."""
        if self._may_seek is None:
            self._may_seek = bool(super().seekable()) and self.subtype.startswith(SEEKABLE)
        return self._may_seek


def open_sound(file: BinaryIO | View) -> Forward | None:
    """Open a file, or return None if libsndfile does not know it."""
    file.seek(0)
    try:
        return Forward(file)
    except soundfile.LibsndfileError:
        return None


def blocks(sound: Forward, found: Findings) -> Blocks:
    """Decode a file from start to end.

    Parameters
    ----------
    sound : Forward
        Open; closed at the end.
    found : Findings
        Filled on the way.

    Yields
    ------
    tuple of int and ndarray of float32, shape (n, channels)
        Rate in Hz, and samples.

    Raises
    ------
    AudioError
        ``damaged`` if nothing of it can be decoded.
    """
    with sound:
        found.codec = sound.format.lower()
        rate_hz, promised, seen = sound.samplerate, sound.frames, 0
        frames = int(BLOCK_S * rate_hz)
        if sound.subtype.startswith("PCM_"):
            frames = max(frames, PCM_SAMPLES // sound.channels)
        try:
            # Damaged Ogg can seek past its end, where soundfile asks for a negative count.
            while (not sound.seekable() or sound.tell() <= promised) and len(
                block := sound.read(frames, dtype="float32", always_2d=True)
            ):
                seen += len(block)
                yield rate_hz, block
        except soundfile.LibsndfileError as error:
            found.damage = f"decoding broke off after {seen / rate_hz:.2f} s: {error}"
            if not seen:
                raise AudioError("damaged", found.damage) from error
        else:
            if seen < promised < MOST_FRAMES and sound.subtype.startswith(COUNTED):
                found.damage = f"{promised} samples were promised and {seen} could be decoded"
