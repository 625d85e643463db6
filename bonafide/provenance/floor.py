"""A background that changes its level at once, between two steady stretches of noise."""

from typing import NamedTuple

import numpy as np

from bonafide.provenance.finding import Finding, finding
from bonafide.provenance.places import DIGITS, NAMED
from bonafide.types import Floats, Waveform
from bonafide.words import clock

FRAME_S, STEADY_FRAMES = 0.02, 30  # 0.6 s on either side
BAND_HZ = (300.0, 3_400.0)
STEADY_DB = 1.5  # deviation of the level within a stretch
STEP_DB = 10.0
# Mean over geometric mean of the power of a frame's bins, in dB: noise has 2.5 and voices over 10.
NOISE_DB = 7.0
QUIETEST_DBFS, AUDIBLE_DBFS = -100.0, -80.0
MAX_STEPS = 10_000


class Step(NamedTuple):
    """A step of the background: where, in seconds, and by how much, in dB."""

    at_s: float
    by_db: float


class Floor:
    """Follows the level of the background while a recording is decoded."""

    def __init__(self) -> None:
        self._rate_hz, self._start_s = 0, 0.0
        self._rest = np.zeros(0, np.float32)  # samples that made no frame yet
        self._frames: Floats = np.zeros((0, 2))  # of the last stretches: level, tonality
        self._n_gone = 0  # frames before these
        self._steps: list[Step] = []
        self.looked = False
        """Whether there was sound, and enough of it for two stretches."""

    def hear(self, rate_hz: int, mono: Waveform) -> None:
        """Process the next block."""
        if rate_hz != self._rate_hz:
            self._start_s += FRAME_S * (self._n_gone + len(self._frames))
            self._rate_hz, self._n_gone = rate_hz, 0
            self._rest, self._frames = np.zeros(0, np.float32), np.zeros((0, 2))
        size = round(FRAME_S * rate_hz)
        held = np.concatenate([self._rest, mono])
        n_frames = len(held) // size
        self._rest = held[n_frames * size :]
        new = _levels(held[: n_frames * size].reshape(n_frames, size), rate_hz)
        frames = np.concatenate([self._frames, new])
        self._look(frames)
        kept = max(0, len(frames) - 2 * STEADY_FRAMES)
        self._frames, self._n_gone = frames[kept:], self._n_gone + kept

    def _look(self, frames: Floats) -> None:
        """Note the steps among frames; between two stretches is a frame for the edge itself."""
        n_places = len(frames) - 2 * STEADY_FRAMES
        if n_places < 1:
            return
        means, spreads = _moving(frames)
        later = STEADY_FRAMES + 1
        before, after = means[:n_places], means[later : later + n_places]
        steady = (spreads[:n_places] < STEADY_DB) & (spreads[later : later + n_places] < STEADY_DB)
        noisy = (before[:, 1] < NOISE_DB) & (after[:, 1] < NOISE_DB)
        levels = np.stack([before[:, 0], after[:, 0]])
        self.looked |= bool(np.any(levels > AUDIBLE_DBFS))
        heard = (levels.min(axis=0) > QUIETEST_DBFS) & (levels.max(axis=0) > AUDIBLE_DBFS)
        by_db = np.where(steady & noisy & heard, levels[1] - levels[0], 0.0)
        for place in np.flatnonzero(np.abs(by_db) >= STEP_DB):
            at_s = self._start_s + FRAME_S * (self._n_gone + int(place) + STEADY_FRAMES + 0.5)
            again = self._steps and at_s - self._steps[-1].at_s < FRAME_S * STEADY_FRAMES
            if not again and len(self._steps) < MAX_STEPS:
                self._steps.append(Step(at_s, float(by_db[place])))

    def findings(self) -> list[Finding]:
        """Return what was found."""
        if not self._steps:
            return []
        said = [
            f"{clock(step.at_s, DIGITS)} by {step.by_db:+.0f} dB" for step in self._steps[:NAMED]
        ]
        more = len(self._steps) - NAMED
        if more > 0:
            said.append(f"and {more} more")
        seen = f"The noise in the background steps within {1000 * FRAME_S:g} ms: {', '.join(said)}."
        return [finding("noise_floor_change", seen)]


def _levels(frames: Waveform, rate_hz: int) -> Floats:
    """Return the level of frames between 300 and 3400 Hz, in dB, and how tonal they are."""
    size = frames.shape[1]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1))) + 1e-14
    power *= 2 / (size * np.square(np.hanning(size)).sum())
    low, high = (round(hz * size / rate_hz) for hz in BAND_HZ)
    band = power[:, low : high + 1]
    levels = 10 * np.log10(band.sum(axis=1))
    tonality = 10 * (np.log10(band.mean(axis=1)) - np.log10(band).mean(axis=1))
    return np.stack([levels, tonality], axis=1)


def _moving(frames: Floats) -> tuple[Floats, Floats]:
    """Return the means of each stretch of frames, and the deviation of its level."""
    stretches = np.lib.stride_tricks.sliding_window_view(frames, STEADY_FRAMES, axis=0)
    return stretches.mean(axis=2), stretches[:, 0].std(axis=1)
