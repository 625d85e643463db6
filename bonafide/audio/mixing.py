"""From channels to mono, and whether they should be judged apart."""

import numpy as np

from bonafide.audio.types import Samples
from bonafide.errors import AudioError
from bonafide.types import Floats, Waveform

MAX_SAMPLE = 1e3  # full scale is 1; float files may exceed it, but not by 60 dB
FRAME_S = 0.05
CANCELLED = 0.05  # the mean holds less than this share of the loudest channel's energy
SILENT = 1e-9  # mean square of what is no sound: -90 dBFS
STRETCH_FRAMES = 80  # 4 s
FLOOR_DB, RANGE_DB = -60.0, 35.0  # frames below, or this far below the loudest, are not compared
APART_DB = 20.0
SPREAD_DB, UNLIKE = 6.0, 0.5
MIN_FRAMES = 10  # of 0.5 s in all


class Mixer:
    """Mixes blocks to mono and compares their channels.

    Channels differ if, in any stretch of 4 s with at least half a second of sound, their mean
    cancels for half a second, one is 20 dB below the other, or their levels go separate ways:
    levels of 50 ms frames differ by a deviation of over 6 dB, and the variance of the difference
    is over half of the sum of both variances (1 for independent sounds, 0 for one scene).

    Parameters
    ----------
    channel : int or None
        The channel to take, from 0; None for the mean of all. Where the mean cancels, the loudest
        channel stands for it.

    Attributes
    ----------
    differ : bool
        Whether the channels heard so far should be judged apart.
    """

    def __init__(self, channel: int | None) -> None:
        self._channel, self._differ = channel, False
        self._levels: list[Floats] = []

    def mix(self, block: Samples, rate_hz: int) -> Waveform:
        """Check the samples of a block and mix it: (n, channels) -> (n,)."""
        if not np.abs(block).max(initial=0.0) <= MAX_SAMPLE:  # false for NaN too
            raise AudioError(
                "not_finite",
                f"holds samples that are not numbers or beyond {MAX_SAMPLE:g} times full scale",
            )
        if block.shape[1] == 1:
            return block[:, 0]
        block = np.asfortranarray(block)  # a channel's samples side by side: several times faster
        centred = block - block.mean(axis=0, dtype=np.float32)  # an offset is no sound
        self._compare(centred, max(1, round(FRAME_S * rate_hz)))
        if self._channel is not None:
            return block[:, min(self._channel, block.shape[1] - 1)]
        mean: Waveform = block.mean(axis=1, dtype=np.float32)
        energies = np.einsum("nc,nc->c", centred, centred)
        kept = np.sum(np.square(mean - mean.mean())) + SILENT * len(block)
        if kept < CANCELLED / block.shape[1] ** 2 * energies.sum():
            return block[:, energies.argmax()]
        return mean

    @property
    def differ(self) -> bool:
        """Return whether the channels heard so far should be judged apart."""
        return self._differ or self._apart()

    def _compare(self, block: Samples, frame: int) -> None:
        """Note the levels of the block's frames: of each channel, and of the mean."""
        whole = len(block) // frame
        if self._differ or not whole:
            return
        frames = block[: whole * frame].reshape(whole, frame, -1)
        mean = frames.mean(axis=2, keepdims=True)
        power = np.concatenate(
            [np.mean(np.square(each), axis=1, dtype=np.float64) for each in (frames, mean)], axis=1
        )
        levels = 10 * np.log10(np.maximum(power, 1e-9))
        if self._levels and self._levels[0].shape[1] != levels.shape[1]:
            self._levels = []
        self._levels.append(levels)
        if sum(map(len, self._levels)) >= STRETCH_FRAMES:
            self._differ, self._levels = self._apart(), []

    def _apart(self) -> bool:
        """Judge the stretch that is held."""
        if not self._levels:
            return False
        levels = np.concatenate(self._levels)
        channels, mean = levels[:, :-1], levels[:, -1]
        loudest = channels.max(axis=1)
        active = loudest > max(FLOOR_DB, loudest.max() - RANGE_DB)
        if np.count_nonzero(active) < MIN_FRAMES:
            return False
        channels, mean, loudest = channels[active], mean[active], loudest[active]
        silenced = mean < loudest + 10 * np.log10(CANCELLED / channels.shape[1])
        if np.count_nonzero(silenced) >= MIN_FRAMES:
            return True
        first = channels[:, 0]
        return any(_unlike(first, other) for other in channels[:, 1:].T)


def _unlike(a: Floats, b: Floats) -> bool:
    """Return whether two channels' levels, in dB, are not those of one scene."""
    difference = a - b
    if abs(float(np.median(difference))) > APART_DB:
        return True
    spread = float(np.var(difference))
    return spread > SPREAD_DB**2 and spread > UNLIKE * float(np.var(a) + np.var(b))
