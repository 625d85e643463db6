"""Traces of an MP3 inside an MP3: where the frames of the first one began.

An encoder codes many coefficients of its filter bank as zero. Decoded sound, put through the same
filter bank, gives these zeros back where the frames begin and nowhere else (R. Yang, Z. Qu and
J. Huang, Detecting digital audio forgeries by checking frame offsets, ACM MM&Sec 2008). Sound that
was an MP3 before shows a second such place, unless the new frames begin at the very same samples
or are coded more coarsely than the old ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from bonafide.audio import ffmpeg
from bonafide.audio.frames import COUNTS
from bonafide.audio.members import members
from bonafide.audio.types import Findings
from bonafide.audio.view import View, read_at, size_of
from bonafide.provenance.finding import Finding, finding
from bonafide.provenance.mdct import LINES, SUBBANDS, log_energies, samples_for
from bonafide.types import Floats, Waveform

LOOKED_AT_S = 30.0
GRANULES = 60
# Below are rumble and offsets, above what encoders leave out at most bit rates.
CODED = slice(4, 400)
NEAR = 20  # samples: the place of a frame shows beside it, too
MIN_DEPTH, MIN_DEVIATIONS = 0.1, 12.0
OWN_DEVIATIONS = 4.0
ALONE = 0.6  # the next place holds less than this share of it: damage makes many places stand out
SKIPPED = {b"LAME", b"Lavf", b"Lavc"}  # whose delays FFmpeg takes off
DECODER_DELAY, FIRST_GRANULE = 529, 1


@dataclass(frozen=True)
class FirstFrames:
    """Where frames of an earlier MP3 began.

    Parameters
    ----------
    shift : int
        Samples by which they lie behind those of the file itself, from 1 to 575.
    deviations : float
        How far the trace stands out from those at all other places, in standard deviations.
    """

    shift: int
    deviations: float


def recompression(file: BinaryIO) -> list[Finding] | None:
    """Look for an MP3 that an MP3 was before.

    Parameters
    ----------
    file : binary file
        An MP3 that decodes; left open.

    Returns
    -------
    list of Finding or None
        One, or none; None where there is too little sound to tell, or the file's own frames do not
        show in it either.
    """
    dips = _trace(file)
    if dips is None:
        return None
    frames = _other(dips)
    if frames is None:
        return []
    seen = (
        f"Frames of an earlier MP3 begin {frames.shift} samples behind those of this one: the "
        f"coefficients that were coded as zero come back there, {frames.deviations:.0f} standard "
        "deviations from all other places."
    )
    return [finding("mp3_recompressed", seen)]


def _trace(file: BinaryIO) -> Floats | None:
    """Return how few coefficients there are at each place, the file's own frames' first.

    Returns
    -------
    ndarray of float64 or None
        Of the loudest second or two of the beginning; None where nothing can be told from it.
    """
    member = next((each for each in members(file, size_of(file)) if each.kind == "mp3"), None)
    if member is None:
        return None
    view = View(file, member.pieces)
    own = FIRST_GRANULE - _skipped_samples(view)
    waveform = _beginning(view)
    start = _loudest(waveform)
    if start is None:
        return None
    stretch = waveform[start : start + samples_for(GRANULES)]
    dips = np.roll(_dips(log_energies(stretch, GRANULES, CODED)), start - own)
    return dips if dips[0] >= OWN_DEVIATIONS * _spread(dips) else None


def _spread(dips: Floats) -> float:
    return 1.4826 * float(np.median(np.abs(dips - np.median(dips)))) + 1e-9


def _skipped_samples(view: View) -> int:
    """Return how many samples FFmpeg leaves out at the beginning: those that encoders add."""
    head = read_at(view, 0, 256)
    for offset in COUNTS[b"Info"]:
        if head[offset : offset + 4] in (b"Info", b"Xing"):
            flags = head[offset + 7]
            place = offset + 8 + sum((4, 4, 100, 4)[bit] for bit in range(4) if flags >> bit & 1)
            delays = head[place + 21 : place + 24]
            if head[place : place + 4] in SKIPPED:
                return (int.from_bytes(delays, "big") >> 12) + DECODER_DELAY
    return 0


def _beginning(view: View) -> Waveform:
    """Return the beginning of an MP3 at its own rate, mono."""

    def blocks() -> Iterator[Waveform]:
        seconds = 0.0
        first_hz = 0
        for rate_hz, block in ffmpeg.blocks(view, Findings()):
            first_hz = first_hz or rate_hz
            if rate_hz != first_hz or seconds > LOOKED_AT_S:
                return
            seconds += len(block) / rate_hz
            yield block.mean(axis=1, dtype=np.float32)

    return np.concatenate([*blocks(), np.zeros(0, np.float32)])


def _loudest(waveform: Waveform) -> int | None:
    """Return where the loudest stretch of enough samples begins; None if all are shorter."""
    size = samples_for(GRANULES)
    starts = range(0, len(waveform) - size + 1, LINES)
    if not starts:
        return None
    energies = np.concatenate([[0.0], np.cumsum(np.square(waveform), dtype=np.float64)])
    return max(starts, key=lambda start: float(energies[start + size] - energies[start]))


def _dips(energies: Floats) -> Floats:
    """Return by how much the coefficients hold less at each place than at those like it."""
    # What is common to places that lie alike to the subbands, or to their slots, is taken off.
    places = energies.reshape(-1, SUBBANDS)
    for _ in range(2):
        places = places - np.median(places, axis=0, keepdims=True)
        places = places - np.median(places, axis=1, keepdims=True)
    return -places.ravel()


def _other(dips: Floats) -> FirstFrames | None:
    """Return the place that stands out, besides the file's own, which is the first."""
    near = np.arange(-NEAR, NEAR + 1)
    others = dips.copy()
    others[near] = 0.0
    shift = int(others.argmax())
    depth = float(others[shift])
    others[(near + shift) % LINES] = 0.0
    deviations = depth / _spread(dips)
    shows = deviations >= MIN_DEVIATIONS and depth >= MIN_DEPTH and others.max() < ALONE * depth
    return FirstFrames(shift, deviations) if shows else None
