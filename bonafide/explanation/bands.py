"""Bands: what each adds to the score of a window, by making it or the others neutral."""

import numpy as np

from bonafide.explanation.types import Band, Score
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import AnyFloats, Floats, Mask, Waveform

EDGES_HZ = tuple(np.linspace(0.0, SAMPLE_RATE_HZ / 2, 9).tolist())  # of the bands
ENVELOPE = SAMPLE_RATE_HZ // 25  # samples over which a rhythm is averaged
ALONE = 0.1  # weight of what a band adds to neutral ones, beside what it adds to the others
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
        own, change = [], []
        for band in range(last + 1):
            inside = number == band
            sound = np.fft.irfft(np.where(inside, spectrum, 0), len(window))
            noise = np.fft.irfft(np.where(inside, np.abs(spectrum) * phase, 0), len(window))
            change.append(_with_rhythm(noise, window - sound) - sound)
            own.append(sound)
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
    kernel = np.ones(ENVELOPE) / ENVELOPE
    power = np.convolve(np.asarray(other, np.float64) ** 2, kernel, mode="same")
    shaped = noise * np.sqrt(np.maximum(power, 0))
    loudness = np.sqrt((shaped**2).mean())
    return shaped * (np.sqrt((noise**2).mean()) / loudness) if loudness > 0 else noise


def band_gains(window: Waveform, score: Score) -> tuple[Band, ...]:
    """Return what each band of a window adds to its score.

    That is what the score loses with the band made neutral, and a little of what it gains by the
    band where all others are: the former tells where something was put in, the latter lets the
    order of the bands hold as more and more of them go.

    Parameters
    ----------
    window : ndarray of float32, shape (window_samples,)
        As it is scored.
    score : callable
        Returns the llr of windows, (n,) of (n, window_samples).

    Returns
    -------
    tuple of Band
        From the lowest to the highest.
    """
    bands = Bands(window)
    one = np.eye(len(bands), dtype=bool)
    none, every = np.zeros((1, len(bands)), bool), np.ones((1, len(bands)), bool)
    changed = np.concatenate([none, every, one, ~one])
    worth = score(np.stack([bands.neutral(each) for each in changed]))
    without, alone = np.split(worth[2:], 2)
    gains = worth[0] - without + ALONE * (alone - worth[1])
    return tuple(
        Band(low, high, float(llr))
        for low, high, llr in zip(EDGES_HZ, EDGES_HZ[1:], gains, strict=False)
    )
