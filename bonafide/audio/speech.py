"""Where in a waveform there is sound like speech, and whether there is enough of it."""

import math

import numpy as np

from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import Mask, Waveform

FRAME_SAMPLES = 320  # 20 ms
SPEECH_BAND_HZ = (200.0, 4_000.0)
SPEECH_FLOOR_DBFS = -70.0
SPEECH_SHARE = 3e-3  # of a frame's energy: hum and offsets leak less than this into the band
_WINDOW = np.hanning(FRAME_SAMPLES).astype(np.float32)
_BAND = slice(  # of the bins, each a pair of numbers
    2 * math.ceil(SPEECH_BAND_HZ[0] * FRAME_SAMPLES / SAMPLE_RATE_HZ),
    2 * math.floor(SPEECH_BAND_HZ[1] * FRAME_SAMPLES / SAMPLE_RATE_HZ) + 2,
)
# Recordings with less get no verdict and are not trained on.
MIN_SOUND_S = 1.0
MIN_SPEECH_S = 0.3


def tile(waveform: Waveform, n_samples: int) -> Waveform:
    """Repeat a shorter waveform up to a length, or cut a longer one there.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n,)
        Not empty.
    n_samples : int
        Length to return.

    Returns
    -------
    ndarray of float32, shape (n_samples,)

    Examples
    --------
    >>> tile(np.array([1, 2, 3], dtype=np.float32), 7)
    array([1., 2., 3., 1., 2., 3., 1.], dtype=float32)
    """
    return np.resize(waveform, n_samples)


def speech_frames(waveform: Waveform) -> Mask:
    """Return which 20 ms frames have energy in the speech band, 200 to 4000 Hz.

    This is a gate against silence and hum, not a voice activity detector: a frame passes whose
    level in that band is above -70 dBFS and more than 0.3 % of its energy. An offset of the whole
    waveform does not count.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        Mono at 16 kHz.

    Returns
    -------
    ndarray of bool, shape (n_samples // 320,)

    Examples
    --------
    >>> speech_frames(np.zeros(16_000, dtype=np.float32)).sum()
    np.int64(0)
    """
    n_frames = len(waveform) // FRAME_SAMPLES
    frames = waveform[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
    frames = frames - frames.mean() if n_frames else frames
    spectrum = np.fft.rfft(frames * _WINDOW, axis=1).view(np.float32)  # (n_frames, 161 pairs)
    in_band = _energy(spectrum[:, _BAND])
    # Parseval: twice the one-sided power over window energy and length is the mean square.
    mean_square = 2 * in_band / (FRAME_SAMPLES * np.sum(_WINDOW**2))
    loud = mean_square > 10 ** (SPEECH_FLOOR_DBFS / 10)
    return np.asarray(loud & (in_band > SPEECH_SHARE * _energy(spectrum)), dtype=np.bool_)


def _energy(rows: Waveform) -> Waveform:
    """Return the sum of squares of each row: (n, m) -> (n,)."""
    return np.asarray(np.einsum("nm,nm->n", rows, rows))


def speech_seconds(frames: Mask) -> float:
    """Return the total duration of the frames that `speech_frames` marks.

    Parameters
    ----------
    frames : ndarray of bool, shape (n_frames,)
        Frames of 20 ms.

    Returns
    -------
    float
        Seconds, at least 0.

    Examples
    --------
    >>> speech_seconds(np.array([True, False, True]))
    0.04
    """
    return float(np.count_nonzero(frames)) * FRAME_SAMPLES / SAMPLE_RATE_HZ


def too_short(n_samples: int) -> bool:
    """Return whether a recording is shorter than `MIN_SOUND_S`, rounded to hundredths.

    Parameters
    ----------
    n_samples : int
        Length at 16 kHz.

    Returns
    -------
    bool

    Examples
    --------
    >>> too_short(16_000), too_short(15_999), too_short(15_900)
    (False, False, True)
    """
    return round(n_samples / SAMPLE_RATE_HZ, 2) < MIN_SOUND_S


def has_speech(waveform: Waveform) -> bool:
    """Return whether a waveform holds `MIN_SPEECH_S` of sound like speech.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        Mono at 16 kHz.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_speech(np.zeros(16_000, dtype=np.float32))
    False
    """
    return speech_seconds(speech_frames(waveform)) >= MIN_SPEECH_S
