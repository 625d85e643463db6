"""Bands: what each adds to the score of a window, by making it or the others neutral."""

import numpy as np

from bonafide.explanation.shapley import coalitions, semivalues
from bonafide.explanation.types import Band, Score
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import AnyFloats, Floats, Mask, Waveform

EDGES_HZ = tuple(np.linspace(0.0, SAMPLE_RATE_HZ / 2, 9).tolist())  # of the bands
ENVELOPE = SAMPLE_RATE_HZ // 25  # samples over which a rhythm is averaged
# How much what a band adds counts, by how many of the others are neutral.
WEIGHTS = {0: 5 / 11, 1: 5 / 11, len(EDGES_HZ) - 2: 1 / 11}
SEED = 1


class Bands:
    """The bands of a window, and what may stand in for each.

    A stand-in is noise with the band's own spectrum, over the window, and the rhythm of what lies
    outside of it: neither silence, which no recording has there, nor what the band says.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        At 16 kHz.
    """

    def __init__(self, window: Waveform) -> None:
        spectrum = np.fft.rfft(window.astype(np.float64))
        hz = np.fft.rfftfreq(len(window), 1 / SAMPLE_RATE_HZ)
        phase = np.exp(2j * np.pi * np.random.default_rng(SEED).random(len(hz)))
        last = len(EDGES_HZ) - 2
        number = np.clip(np.searchsorted(EDGES_HZ, hz, side="right") - 1, 0, last)
        change = []
        for band in range(last + 1):
            inside = number == band
            sound = np.fft.irfft(np.where(inside, spectrum, 0), len(window))
            noise = np.fft.irfft(np.where(inside, np.abs(spectrum) * phase, 0), len(window))
            change.append(_with_rhythm(noise, window - sound) - sound)
        self._window, self._change = window, np.array(change)

    def __len__(self) -> int:
        """Return how many bands there are."""
        return len(self._change)

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
        changed = self._window + self._change[chosen].sum(axis=0)
        return np.asarray(changed, dtype=np.float32).clip(-1, 1)


def _with_rhythm(noise: Floats, other: AnyFloats) -> Floats:
    """Return noise that is loud where other sound is, as loud as it was over the whole."""
    ends = np.pad(np.square(other, dtype=np.float64), (ENVELOPE // 2, ENVELOPE - ENVELOPE // 2))
    sums = ends.cumsum()
    power = (sums[ENVELOPE:] - sums[:-ENVELOPE]) / ENVELOPE
    shaped = noise * np.sqrt(np.maximum(power, 0))
    loudness = np.sqrt((shaped**2).mean())
    return shaped * (np.sqrt((noise**2).mean()) / loudness) if loudness > 0 else noise


def band_gains(window: Waveform, score: Score) -> Floats:
    """Return what each band of a window adds to its score.

    A weighted mean of what it adds beside all others, beside all but one, and alone, where what is
    missing is neutral: the first two tell where something was put in, the last lets the order of
    the bands hold as more and more of them go.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        As it is scored.
    score : callable
        Returns the llr of windows, (n,) of (n, window_samples).

    Returns
    -------
    ndarray of float64, shape (n_bands,)
        Nats, from the lowest to the highest.

    References
    ----------
    .. [1] P. Dubey, A. Neyman and R. J. Weber, "Value theory without efficiency", Mathematics of
       Operations Research 6, 1981: of such values.
    """
    bands = Bands(window)
    gone = coalitions(len(bands))
    wanted = np.isin(gone.sum(axis=1), [size + joined for size in WEIGHTS for joined in (0, 1)])
    worth = np.full(len(gone), np.nan)
    worth[wanted] = score(np.stack([bands.neutral(each) for each in gone[wanted]]))
    return semivalues(-worth, WEIGHTS)


def as_bands(gains: AnyFloats, typical: AnyFloats) -> tuple[Band, ...]:
    """Return gains and what is typical, (n_bands,) each, with the ends of their bands."""
    values = zip(EDGES_HZ, EDGES_HZ[1:], gains.tolist(), typical.tolist(), strict=False)
    return tuple(Band(*each) for each in values)
