"""A band that ends well below what the sampling rate holds."""

from typing import NamedTuple

import numpy as np

from bonafide.provenance.codecs import is_lossless
from bonafide.provenance.finding import Finding, finding
from bonafide.types import Floats, Waveform

WINDOW_S, BAND_HZ = 0.02, 100  # each band is two bins of the spectrum
SOURCE_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000)
MOST_OF_RATE = 0.7  # a rate nearer to the file's own was hardly left behind
# Where resamplers and telephones end the band, as a share of half of a rate.
EDGE_FROM, EDGE_TO = 0.84, 1.16
STEEP_DB = 25.0  # from just below the edge to all that is above
GAP_BANDS, BELOW_BANDS, ABOVE_BANDS = 2, 4, 10
# Below the edge is sound, and not a few tones: so many bands hold so much more than all above.
FILLED_BANDS, FILLED_DB, FILLED_SHARE = 15, 15.0, 0.75
MIN_WINDOWS, MIN_DBFS = 50, -60.0
HELD_DB = 60.0  # so far below the loudest band there is no sound
# Lossy codecs that end the band by bit rate, but so low only at the very lowest. Others choose it
# from moment to moment: Opus is decoded at 48 kHz, whatever was put in.
LOSSY, LOSSY_SOURCE_HZ = ("mp3", "aac", "vorbis", "ogg"), 8_000


class Edge(NamedTuple):
    """Where a band ends, in Hz, and how far all above is below it, in dB."""

    hz: float
    drop_db: float


class Band:
    """Sums up the long-term spectrum: that of the first rate, where it changes on the way."""

    def __init__(self) -> None:
        self._rate_hz, self._n_windows = 0, 0
        self._power: Floats = np.zeros(0)

    def hear(self, rate_hz: int, mono: Waveform) -> None:
        """Process the next block."""
        size = round(WINDOW_S * rate_hz)
        if not self._rate_hz:
            self._rate_hz, self._power = rate_hz, np.zeros(size // 2 + 1)
        n_windows = len(mono) // size
        if rate_hz == self._rate_hz and n_windows:
            shape = np.hanning(size)
            windows = mono[: n_windows * size].reshape(n_windows, size)
            # An offset is no sound, and the window's shape would spread it into the lowest band.
            windows = (windows - windows.mean(axis=1, keepdims=True, dtype=np.float64)) * shape
            power = np.square(np.abs(np.fft.rfft(windows, axis=1))).sum(axis=0)
            self._power += 2 * power / (size * np.square(shape).sum())  # sums to the mean square
            self._n_windows += n_windows

    def findings(self, codec: str) -> list[Finding]:
        """Return the finding of an edge where sound of a lower rate would have it.

        Parameters
        ----------
        codec : str
            As `AudioStream` names it.

        Returns
        -------
        list of Finding
            One, or none.
        """
        edge = self._edge()
        source = _source(edge.hz, self._rate_hz) if edge else None
        if edge is None or source is None:
            return []
        if not (is_lossless(codec) or (codec in LOSSY and source <= LOSSY_SOURCE_HZ)):
            return []
        seen = (
            f"The band ends at {edge.hz / 1000:.1f} kHz: all above is {edge.drop_db:.0f} dB lower, "
            f"while a file of {self._rate_hz} Hz holds up to {self._rate_hz / 2000:g} kHz. Sound "
            f"that was once of {source} Hz ends there, and so does what a coder of a low bit rate "
            "leaves."
        )
        return [finding("band_cut", seen)]

    @property
    def band_hz(self) -> float | None:
        """Up to where there is sound, in Hz; None where there is too little of it."""
        levels = self._levels()
        if levels is None:
            return None
        if edge := self._edge():
            return edge.hz
        return float(BAND_HZ * (np.flatnonzero(levels > levels.max() - HELD_DB)[-1] + 1))

    def _levels(self) -> Floats | None:
        """Return the level of each band, in dB; None where there is too little sound."""
        if self._n_windows < MIN_WINDOWS:
            return None
        mean = self._power / self._n_windows
        n_bands = len(mean) // 2
        levels: Floats = 10 * np.log10(mean[: 2 * n_bands].reshape(-1, 2).sum(axis=1) + 1e-20)
        loud = 10 * np.log10(mean[1:].sum() + 1e-20) >= MIN_DBFS
        return levels if loud else None

    def _edge(self) -> Edge | None:
        """Return the steepest edge above which there is nothing; None where there is none."""
        levels = self._levels()
        if levels is None:
            return None
        above = np.maximum.accumulate(levels[::-1])[::-1]  # the loudest from each band on
        best = Edge(0.0, 0.0)
        for band in range(GAP_BANDS + BELOW_BANDS, len(levels) - GAP_BANDS - ABOVE_BANDS):
            beside = levels[band - GAP_BANDS - BELOW_BANDS : band - GAP_BANDS]
            below, rest = np.sort(beside)[-2], above[band + GAP_BANDS]
            drop_db = float(below - rest)
            if drop_db > best.drop_db and _is_filled(levels[:band], rest):
                near = levels[band - GAP_BANDS : band + GAP_BANDS]
                last = np.flatnonzero(near > below - drop_db / 2)
                place = band - GAP_BANDS + (int(last[-1]) + 1 if len(last) else 0)
                best = Edge(float(BAND_HZ * place), drop_db)
        return best if best.drop_db >= STEEP_DB else None


def _is_filled(below: Floats, rest: float) -> bool:
    """Return whether the bands below an edge hold sound throughout, not a few tones."""
    return bool(np.mean(below[-FILLED_BANDS:] > rest + FILLED_DB) >= FILLED_SHARE)


def _source(edge_hz: float, rate_hz: int) -> int | None:
    """Return the rate that an edge is near half of; None if it is none of the usual ones."""
    sources = [
        source
        for source in SOURCE_RATES_HZ
        if source <= MOST_OF_RATE * rate_hz and EDGE_FROM <= 2 * edge_hz / source <= EDGE_TO
    ]
    return min(sources, key=lambda source: abs(edge_hz - source / 2), default=None)
