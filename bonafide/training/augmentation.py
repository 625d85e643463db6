"""What happens to sound on its way: rooms, noise, filters, clipping, narrow bands and codecs.

`bonafide.training.channels` draws from these at random; `research.conditions` applies one at a
time, with fixed numbers. Every function takes a waveform, float (n_samples,), mono at 16 kHz with
full scale 1, and returns one of the same length; samples over full scale are left to the caller.
"""

import io
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import scipy.signal
from numpy.typing import NDArray

from bonafide.features.spec import SAMPLE_RATE_HZ

Sound = NDArray[np.floating[Any]]
Change = Callable[[Sound, np.random.Generator], Sound]

TELEPHONE_HZ = 8_000
PINK = 0.5  # power of frequency by which amplitude falls; 0 is white


def through(
    waveform: Sound,
    *,
    codec: str,
    container: str,
    rate_hz: int = SAMPLE_RATE_HZ,
    bit_rate: int | None = None,
) -> Sound:
    """Encode and decode with FFmpeg; the result is cut or padded to the same length.

    Parameters
    ----------
    waveform : ndarray of float, shape (n_samples,)
        At 16 kHz, full scale 1; what is over it is clipped.
    codec, container : str
        As FFmpeg names them, such as ``libopus`` and ``ogg``.
    rate_hz : int
        Sample rate that the codec works at.
    bit_rate : int or None
        In bits a second; None takes the codec's own.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
    """
    sound = scipy.signal.resample_poly(waveform, rate_hz, SAMPLE_RATE_HZ)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout="mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        stream.codec_context.open()
        whole = np.round(sound.clip(-1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        pieces = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=rate_hz,
            frame_size=stream.codec_context.frame_size or 0,
        )
        for piece in (*pieces.resample(frame), *pieces.resample(None), None):
            output.mux(stream.encode(piece))
    file.seek(0)
    back = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    with av.open(file, "r") as source:
        frames = [f for frame in source.decode(audio=0) for f in back.resample(frame)]
    heard = np.concatenate([f.to_ndarray()[0] for f in (*frames, *back.resample(None))])
    return np.pad(heard, (0, max(0, len(waveform) - len(heard))))[: len(waveform)]


def narrow_band(waveform: Sound) -> Sound:
    """Resample to 8 kHz and back, so that nothing above 4 kHz is left."""
    down = scipy.signal.resample_poly(waveform, 1, 2)
    return np.asarray(scipy.signal.resample_poly(down, 2, 1))[: len(waveform)]


def noise(n_samples: int, rng: np.random.Generator, *, slope: float) -> Sound:
    """Return noise whose amplitude falls with the power `slope` of frequency.

    Parameters
    ----------
    n_samples : int
        Length, at 16 kHz.
    rng : numpy.random.Generator
        Draws the noise.
    slope : float
        0 for white noise, `PINK` for pink noise.

    Returns
    -------
    ndarray of float64, shape (n_samples,)
        At no level in particular; `with_noise` scales it.
    """
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    falling = np.maximum(np.arange(len(spectrum)), 20) ** -slope
    return np.asarray(np.fft.irfft(spectrum * falling, n_samples))


def with_noise(waveform: Sound, added: Sound, *, snr_db: float) -> Sound:
    """Add noise at a signal-to-noise ratio of `snr_db`, both measured by their mean power."""
    power = float(np.mean(np.square(waveform))) / max(float(np.mean(np.square(added))), 1e-20)
    return waveform + np.sqrt(power) * 10 ** (-snr_db / 20) * added


def reverberant(
    waveform: Sound, rng: np.random.Generator, *, decay_s: float, tail_db: float
) -> Sound:
    """Add reverberation: exponentially decaying noise as the response of a room.

    Parameters
    ----------
    waveform : ndarray of float, shape (n_samples,)
        At 16 kHz.
    rng : numpy.random.Generator
        Draws the response of the room.
    decay_s : float
        Time in which the tail falls by 60 dB (RT60); above 0.
    tail_db : float
        Energy of the tail over that of the direct sound, in dB.

    Returns
    -------
    ndarray of float64, shape (n_samples,)
        The tail is cut off at the end of the recording.
    """
    t = np.arange(round(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay_s) * (t > 0.003)
    response = 10 ** (tail_db / 20) * tail / np.sqrt(np.sum(tail**2))
    response[0] = 1.0
    return np.asarray(scipy.signal.fftconvolve(waveform, response))[: len(waveform)]


def clipped(waveform: Sound, *, share: float) -> Sound:
    """Clip the loudest `share` of the samples; it lies between 0 and 1."""
    limit = np.quantile(np.abs(waveform), 1 - share)
    return waveform.clip(-limit, limit)


def _filtered(waveform: Sound, taps: Sound) -> Sound:
    return np.asarray(scipy.signal.fftconvolve(waveform, taps, mode="same"))


def equalised(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Filter by a curve through eight points, with a standard deviation of 4 dB each."""
    hz = np.concatenate([[0], np.sort(rng.uniform(100, 7_900, 6)), [SAMPLE_RATE_HZ / 2]])
    gains = 10 ** (rng.normal(0, 4, len(hz)) / 20)
    return _filtered(waveform, scipy.signal.firwin2(101, hz, gains, fs=SAMPLE_RATE_HZ))
