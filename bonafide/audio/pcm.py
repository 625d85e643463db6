"""Sound without a header, as microphones and telephone exchanges send it: to mono at 16 kHz."""

from typing import Any, Literal, get_args

import numpy as np
import soxr
from numpy.typing import NDArray

from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import Waveform

Encoding = Literal["pcm_s16le", "mulaw", "alaw"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 192_000


def _full_scale(samples: NDArray[Any]) -> Waveform:
    """Return 16-bit samples as floats."""
    return samples.astype(np.float32) / np.float32(32_768)


def _mulaw() -> Waveform:
    """Return the value of each byte, full scale 1 (ITU-T G.711, table 2a)."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return _full_scale(np.where(code & 128, -magnitude, magnitude))


def _alaw() -> Waveform:
    """Return the value of each byte, full scale 1 (ITU-T G.711, table 1a)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent, (linear + 256) << np.maximum(exponent, 1) - 1, linear)
    return _full_scale(np.where(code & 128, magnitude, -magnitude))


_TABLES = {"mulaw": _mulaw(), "alaw": _alaw()}


class PcmStream:
    r"""Mono sound as bytes, taken piece by piece.

    Parameters
    ----------
    rate_hz : int
        From `MIN_RATE_HZ` to `MAX_RATE_HZ`.
    encoding : {"pcm_s16le", "mulaw", "alaw"}
        16-bit little-endian samples, or the bytes of G.711.

    Raises
    ------
    AudioError
        ``bad_format`` for another rate or encoding.

    Examples
    --------
    >>> stream = PcmStream(16_000)
    >>> stream.feed(b"\x00\x40\x00").tolist()  # the half sample waits for its other byte
    [0.5]
    >>> stream.feed(b"\xc0").tolist()
    [-0.5]
    """

    def __init__(self, rate_hz: int = SAMPLE_RATE_HZ, encoding: str = "pcm_s16le") -> None:
        if encoding not in ENCODINGS:
            message = f"encoding {encoding!r}: must be one of {', '.join(ENCODINGS)}"
            raise AudioError("bad_format", message)
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            message = f"{rate_hz} Hz: must be {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
            raise AudioError("bad_format", message)
        self.rate_hz, self.encoding = rate_hz, encoding
        self.width = 2 if encoding == "pcm_s16le" else 1  # bytes of a sample
        self._half, self._skip = b"", 0
        self._resampler = None
        if rate_hz != SAMPLE_RATE_HZ:
            self._resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")

    def feed(self, piece: bytes) -> Waveform:
        """Take the next bytes; pieces may end anywhere.

        Parameters
        ----------
        piece : bytes
            Of any length.

        Returns
        -------
        ndarray of float32, shape (n,)
            Mono, 16 kHz, full scale 1; less than came, while the resampler waits for more.
        """
        samples = self._samples(piece)
        if self._resampler is None:
            return samples
        resampled = self._resampler.resample_chunk(samples)
        skipped = min(self._skip, len(resampled))
        self._skip -= skipped
        return resampled[skipped:]

    def follow(self, before: bytes) -> None:
        """Go on from sound that was heard elsewhere: without it, a resampler begins with a step.

        Parameters
        ----------
        before : bytes
            The samples before the next one.
        """
        if self._resampler is not None:
            self._skip = round(len(before) // self.width * SAMPLE_RATE_HZ / self.rate_hz)
            self.feed(before)

    def rest(self) -> Waveform:
        """Return what the resampler still holds, at the end."""
        nothing = np.zeros(0, np.float32)
        if self._resampler is None:
            return nothing
        return self._resampler.resample_chunk(nothing, last=True)[self._skip :]

    def _samples(self, piece: bytes) -> Waveform:
        if self.encoding != "pcm_s16le":
            return np.asarray(_TABLES[self.encoding][np.frombuffer(piece, np.uint8)])
        whole = self._half + piece
        even = len(whole) // 2 * 2
        self._half = whole[even:]
        return _full_scale(np.frombuffer(whole[:even], "<i2"))
