"""Decoding through libsndfile: WAV and its relatives, Ogg Vorbis, and formats that are rare."""

from typing import BinaryIO

import soundfile

from bonafide.audio.types import BLOCK_S, Blocks, Findings
from bonafide.errors import AudioError

# Where libsndfile's count of samples is what the file says, and not a guess.
COUNTED = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS")
MOST_FRAMES = 1 << 40  # more is a placeholder


def open_sound(file: BinaryIO) -> soundfile.SoundFile | None:
    """Open a file, or return None if libsndfile does not know it."""
    file.seek(0)
    try:
        return soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        return None


def blocks(sound: soundfile.SoundFile, found: Findings) -> Blocks:
    """Decode a file from start to end.

    Parameters
    ----------
    sound : SoundFile
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
        try:
            # Damaged Ogg can seek past its end, where soundfile asks for a negative count.
            while (not sound.seekable() or sound.tell() <= promised) and len(
                block := sound.read(int(BLOCK_S * rate_hz), dtype="float32", always_2d=True)
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
