"""Bands: what each adds to the score of a window, by making it or the others neutral."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bonafide.explanation.types import Band, Score
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.manifest import N_BANDS
from bonafide.types import AnyFloats, Floats, Ints, Mask, Waveform

Spectrum = NDArray[np.complex128]
EDGES_HZ = tuple(np.linspace(0.0, SAMPLE_RATE_HZ / 2, N_BANDS + 1).tolist())
ENVELOPE = SAMPLE_RATE_HZ // 25  # samples over which a rhythm is averaged
SEEDS = (1, 2)  # of noise; by the first, bands are neutral


class Bands:
    """The bands of a window, and what may stand in for each.

    A neutral one is noise with the band's own spectrum, over the window, and the rhythm of what
    lies outside of it: neither silence, which no recording has there, nor what the band says. What
    else may stand in: other such noise, and what its neighbours hold, moved there, as loud.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        At 16 kHz.
    """

    def __init__(self, window: Waveform) -> None:
        spectrum = np.fft.rfft(window.astype(np.float64))
        hz = np.fft.rfftfreq(len(window), 1 / SAMPLE_RATE_HZ)
        number = np.clip(np.searchsorted(EDGES_HZ, hz, side="right") - 1, 0, N_BANDS - 1)
        inside = number == np.arange(N_BANDS)[:, None]
        parts = np.where(inside, spectrum, 0)
        sounds = np.fft.irfft(parts, len(window))
        rhythms = _rhythms(window - sounds)
        noises = [_noises(np.where(inside, _noise(spectrum, n), 0), rhythms) for n in SEEDS]
        places = np.searchsorted(number, range(N_BANDS))  # where each begins in the spectrum
        moved = [_neighbours(parts, noises[0], places, step) for step in (-1, 1)]
        self._window, self._changes = window, np.array([*noises, *moved]) - sounds

    def __len__(self) -> int:
        """Return how many bands there are."""
        return self._changes.shape[1]

    def neutral(self, chosen: Mask) -> Waveform:
        """Return the window with some bands made neutral.

        Parameters
        ----------
        chosen : ndarray of bool, shape (n_bands,)
            Which of them.

        Returns
        -------
        ndarray of float32, shape (window_samples,)
        """
        return self._changed(self._changes[0, chosen].sum(axis=0))

    def others(self) -> Waveform:
        """Return the window with one band replaced by what else may stand in for it.

        Returns
        -------
        ndarray of float32, shape (n_stand_ins, n_bands, window_samples)
        """
        return self._changed(self._changes[1:])

    def _changed(self, change: Floats) -> Waveform:
        return np.asarray(self._window + change, dtype=np.float32).clip(-1, 1)


def _rhythms(sounds: Floats) -> Floats:
    """Return how loud sounds are over time."""
    ends = np.pad(np.square(sounds), ((0, 0), (ENVELOPE // 2, ENVELOPE - ENVELOPE // 2)))
    sums = ends.cumsum(axis=1)
    power = (sums[:, ENVELOPE:] - sums[:, :-ENVELOPE]) / ENVELOPE
    return np.sqrt(np.maximum(power, 0))


def _noise(spectrum: Spectrum, seed: int) -> Spectrum:
    """Return a spectrum with other phases."""
    turns = np.random.default_rng(seed).random(len(spectrum))
    return np.abs(spectrum) * np.exp(2j * np.pi * turns)


def _noises(parts: Spectrum, rhythms: Floats) -> Floats:
    """Return noise of each spectrum with the rhythm of what lies outside of its band, as loud."""
    noises = np.fft.irfft(parts, rhythms.shape[1])
    return _as_loud(noises * rhythms, noises)


def _neighbours(parts: Spectrum, noises: Floats, places: Ints, step: int) -> Floats:
    """Return for each band what the one a step away holds, as loud; noise where that is silent."""
    moved = np.empty_like(parts)
    for band in range(len(parts)):
        other = band + step if 0 <= band + step < len(parts) else band - step
        moved[band] = np.roll(parts[other], places[band] - places[other])
    return _as_loud(np.fft.irfft(moved, noises.shape[1]), noises)


def _as_loud(sounds: Floats, others: Floats) -> Floats:
    """Return sounds as loud as others, and these where a sound is silence."""
    own, theirs = (np.square(each).sum(axis=1, keepdims=True) for each in (sounds, others))
    return np.where(own > 0, sounds * np.sqrt(theirs / np.where(own > 0, own, 1)), others)


def band_gains(window: Waveform, score: Score) -> Floats:
    """Return what each band of a window adds to its score.

    Over noise, it is the mean of what it adds beside all other bands, and alone: by it the score
    falls fastest as more and more of them go. A band that stands out is found better by what it
    adds beside all others over whatever stands in for it, for against noise alone its neighbours
    stand out too.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        As it is scored.
    score : callable
        Returns the llr of windows, (n,) of (n, window_samples).

    Returns
    -------
    ndarray of float64, shape (2, n_bands)
        Nats, from the lowest band to the highest: over noise, and over all that stands in.
    """
    bands = Bands(window)
    one = np.eye(len(bands), dtype=bool)
    every = np.ones((1, len(bands)), dtype=bool)
    gone = [bands.neutral(each) for each in np.concatenate([~every, every, one, ~one])]
    others = bands.others()
    scores = score(np.concatenate([gone, others.reshape(-1, others.shape[-1])]))
    whole, nothing, *rest = scores
    without, alone, *replaced = np.reshape(rest, (-1, len(bands)))
    over_all = whole - np.mean([without, *replaced], axis=0)
    return np.array([(whole - without + alone - nothing) / 2, over_all])


def as_bands(gains: AnyFloats, typical: AnyFloats | None) -> tuple[Band, ...]:
    """Return gains, as `band_gains` does, less what is typical of them, with the ends of bands."""
    added, over = gains
    known = [None] * len(added) if typical is None else typical[0].tolist()
    apart = over if typical is None else over - typical[1]
    rows = zip(EDGES_HZ, EDGES_HZ[1:], added.tolist(), known, apart.tolist(), strict=False)
    return tuple(Band(*row) for row in rows)


def mean_bands(each: Sequence[Sequence[Band]]) -> tuple[Band, ...]:
    """Return the average of the bands of several windows."""
    return tuple(
        replace(
            same[0],
            llr=float(np.mean([band.llr for band in same])),
            unusual=float(np.mean([band.unusual for band in same])),
        )
        for same in zip(*each, strict=True)
    )
