"""What happens to sound on its way: rooms, noise, filters, clipping, narrow bands and codecs.

`bonafide.training.channels` draws from these at random; `research.conditions` applies one at a
time, with fixed numbers. Every function takes a waveform, float (n_samples,), mono at 16 kHz with
full scale 1, and returns one of the same length; samples over full scale are left to the caller.
"""

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from bonafide.audio import decode
from bonafide.features.spec import SAMPLE_RATE_HZ

Sound = NDArray[np.floating[Any]]
Change = Callable[[Sound, np.random.Generator], Sound]
Resample = Callable[[Sound, int, int], Sound]  # (sound, from_hz, to_hz)

TELEPHONE_HZ = 8_000
PINK = 0.5  # power of frequency by which amplitude falls; 0 is white


def _by_soxr(sound: Sound, from_hz: int, to_hz: int) -> Sound:
    return np.asarray(soxr.resample(np.asarray(sound, np.float32), from_hz, to_hz))


def _by_ffmpeg(sound: Sound, from_hz: int, to_hz: int) -> Sound:
    frame = av.AudioFrame.from_ndarray(np.asarray(sound, np.float32)[None], "flt", "mono")
    frame.sample_rate, frame.pts = from_hz, 0
    resampler = av.AudioResampler(format="flt", layout="mono", rate=to_hz)
    pieces = (*resampler.resample(frame), *resampler.resample(None))
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces])


def _by_scipy(sound: Sound, from_hz: int, to_hz: int) -> Sound:
    from scipy.signal import resample_poly

    common = math.gcd(from_hz, to_hz)
    return np.asarray(resample_poly(sound, to_hz // common, from_hz // common))


# They differ in what they leave near half of the lower rate, which is easily learned: FFmpeg's and
# scipy's leave images there, and soxr, by which recordings are resampled here, next to nothing.
RESAMPLERS: Mapping[str, Resample] = {"soxr": _by_soxr, "ffmpeg": _by_ffmpeg, "scipy": _by_scipy}


def encoded(
    sound: Sound, *, codec: str, container: str, rate_hz: int, bit_rate: int | None = None
) -> bytes:
    """Encode with FFmpeg.

    Parameters
    ----------
    sound : ndarray of float, shape (n_samples,)
        At the codec's rate, full scale 1; what is over it is clipped.
    codec, container : str
        As FFmpeg names them, such as ``libopus`` and ``ogg``.
    rate_hz : int
        Sample rate that the codec works at.
    bit_rate : int or None
        In bits a second; None takes the codec's own.

    Returns
    -------
    bytes
        A file.
    """
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
    return file.getvalue()


def written(sound: Sound, *, codec: str, container: str, rate_hz: int) -> bytes:
    """Encode with libsndfile, as `encoded` does; codecs are such as ``GSM610``."""
    file = io.BytesIO()
    soundfile.write(file, sound.clip(-1, 1), rate_hz, format=container, subtype=codec)
    return file.getvalue()


LIBSNDFILE = ("GSM610", "VORBIS")  # codecs that it writes; FFmpeg writes all others


def through(
    waveform: Sound,
    *,
    codec: str,
    container: str,
    rate_hz: int = SAMPLE_RATE_HZ,
    bit_rate: int | None = None,
    down: str = "soxr",
    up: str | None = None,
) -> Sound:
    """Encode, and decode as a user's file is decoded; the result keeps the length.

    Parameters
    ----------
    waveform : ndarray of float, shape (n_samples,)
        At 16 kHz, full scale 1; what is over it is clipped.
    codec, container : str
        As FFmpeg names them, or libsndfile if the codec is one of `LIBSNDFILE`.
    rate_hz : int
        Sample rate that the codec works at.
    bit_rate : int or None
        In bits a second; None takes the codec's own.
    down : str
        One of `RESAMPLERS`, to the codec's rate.
    up : str or None
        What another program brought the file back to 16 kHz with, in 16 bits, before it came here;
        None if the encoded file itself comes here.

    Returns
    -------
    ndarray of float, shape (n_samples,)
    """
    sound = (
        waveform
        if rate_hz == SAMPLE_RATE_HZ
        else RESAMPLERS[down](waveform, SAMPLE_RATE_HZ, rate_hz)
    )
    how: dict[str, Any] = {"codec": codec, "container": container, "rate_hz": rate_hz}
    by_libsndfile = codec in LIBSNDFILE
    file = written(sound, **how) if by_libsndfile else encoded(sound, **how, bit_rate=bit_rate)
    if up is None:
        heard: Sound = decode(file)
    else:
        rate, native = _native(file)
        heard = as_16_bit(
            native if rate == SAMPLE_RATE_HZ else RESAMPLERS[up](native, rate, SAMPLE_RATE_HZ)
        )
    return np.pad(heard, (0, max(0, len(waveform) - len(heard))))[: len(waveform)]


def _native(file: bytes) -> tuple[int, Sound]:
    """Return the rate and the sound of a file as its codec has it."""
    with av.open(io.BytesIO(file), "r") as source:
        rate = source.streams.audio[0].rate
        alike = av.AudioResampler(format="flt", layout="mono", rate=rate)
        frames = [f for frame in source.decode(audio=0) for f in alike.resample(frame)]
    return rate, np.concatenate([f.to_ndarray()[0] for f in (*frames, *alike.resample(None))])


def as_16_bit(sound: Sound) -> Sound:
    """Round as a 16-bit file does; what does not fit between -1 and 1 is scaled down first."""
    sound = sound / max(1.0, float(np.abs(sound).max()))
    return np.asarray(np.round(sound * 32767) / 32767)


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
    from scipy.signal import fftconvolve

    t = np.arange(round(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay_s) * (t > 0.003)
    response = 10 ** (tail_db / 20) * tail / np.sqrt(np.sum(tail**2))
    response[0] = 1.0
    return np.asarray(fftconvolve(waveform, response))[: len(waveform)]


def clipped(waveform: Sound, *, share: float) -> Sound:
    """Clip the loudest `share` of the samples; it lies between 0 and 1."""
    limit = np.quantile(np.abs(waveform), 1 - share)
    return waveform.clip(-limit, limit)


def _filtered(waveform: Sound, taps: Sound) -> Sound:
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(waveform, taps, mode="same"))


def equalised(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Filter by a curve through eight points, with a standard deviation of 4 dB each."""
    from scipy.signal import firwin2

    hz = np.concatenate([[0], np.sort(rng.uniform(100, 7_900, 6)), [SAMPLE_RATE_HZ / 2]])
    gains = 10 ** (rng.normal(0, 4, len(hz)) / 20)
    return _filtered(waveform, firwin2(101, hz, gains, fs=SAMPLE_RATE_HZ))
