"""Augmentation: speed, rooms, noise, filters, clipping, telephones and codecs.

`degrade` draws some of these at random, for the augmented copies that base models train on beside
each recording; `research.conditions` applies one at a time, with fixed numbers. Every function
takes a waveform, float (n_samples,), mono at 16 kHz with full scale 1, and returns one of the same
length; samples over full scale are left to the caller.
"""

import io
from collections.abc import Callable, Mapping
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


def _telephone(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Limit the band in two of five cases; then encode in three of four, or resample to 8 kHz."""
    if rng.random() < 0.4:
        edges = rng.uniform((50, 3_300), (300, 3_900))
        sections = scipy.signal.butter(4, edges, "band", fs=SAMPLE_RATE_HZ, output="sos")
        waveform = np.asarray(scipy.signal.sosfilt(sections, waveform))
    kind = rng.choice(["pcm", "libopencore_amrnb", "libopus", "none"])
    if kind == "none":
        return narrow_band(waveform)
    if kind == "pcm":
        codec, container, bit_rate = rng.choice(["pcm_mulaw", "pcm_alaw"]), "wav", None
    elif kind == "libopus":
        codec, container, bit_rate = kind, "ogg", int(rng.integers(8, 20)) * 1_000
    else:
        rates = [4_750, 5_900, 7_400, 7_950, 10_200, 12_200]
        codec, container, bit_rate = kind, "amr", int(rng.choice(rates))
    return through(
        waveform, codec=codec, container=container, rate_hz=TELEPHONE_HZ, bit_rate=bit_rate
    )


CODECS: dict[str, tuple[str, tuple[int, ...]]] = {  # container, kb/s
    "libmp3lame": ("mp3", (24, 32, 40, 48, 64, 96, 128)),
    "libopus": ("ogg", (12, 16, 20, 24, 32, 40)),
    "aac": ("adts", (24, 32, 48, 64, 96)),
    "g722": ("wav", (64,)),
}


def _codec(waveform: Sound, rng: np.random.Generator) -> Sound:
    codec = str(rng.choice(list(CODECS)))
    container, rates = CODECS[codec]
    bit_rate = 1_000 * int(rng.choice(rates))
    return through(waveform, codec=codec, container=container, bit_rate=bit_rate)


def _noise(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Add noise between white and steeper than pink; in three of ten cases it comes and goes."""
    added = noise(len(waveform), rng, slope=rng.uniform(0.0, 1.4 * PINK))
    if rng.random() < 0.3:
        places = np.linspace(0, len(waveform), 12)
        added *= np.interp(np.arange(len(waveform)), places, rng.uniform(size=12))
    return with_noise(waveform, added, snr_db=rng.uniform(3, 35))


def _room(waveform: Sound, rng: np.random.Generator) -> Sound:
    return reverberant(
        waveform, rng, decay_s=rng.uniform(0.1, 0.8), tail_db=rng.uniform(-12.0, 3.0)
    )


def _clipping(waveform: Sound, rng: np.random.Generator) -> Sound:
    return clipped(waveform, share=10 ** rng.uniform(-2.5, -0.9))


def _band(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Remove what is above a frequency between 3 and 7.5 kHz."""
    n_taps = int(rng.integers(31, 201)) | 1
    return _filtered(
        waveform, scipy.signal.firwin(n_taps, rng.uniform(3_000, 7_500), fs=SAMPLE_RATE_HZ)
    )


def equalised(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Filter by a curve through eight points, with a standard deviation of 4 dB each."""
    hz = np.concatenate([[0], np.sort(rng.uniform(100, 7_900, 6)), [SAMPLE_RATE_HZ / 2]])
    gains = 10 ** (rng.normal(0, 4, len(hz)) / 20)
    return _filtered(waveform, scipy.signal.firwin2(101, hz, gains, fs=SAMPLE_RATE_HZ))


def _speed(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Play up to 8 % faster or slower, pitch included; repeat the start to fill the length."""
    n_samples = round(len(waveform) * rng.uniform(0.92, 1.08))
    return np.resize(np.asarray(scipy.signal.resample(waveform, n_samples)), len(waveform))


# In the order in which a sound goes through them.
CHANGES: dict[str, Change] = {
    "speed": _speed,
    "room": _room,
    "noise": _noise,
    "equaliser": equalised,
    "clipping": _clipping,
    "band": _band,
    "telephone": _telephone,
    "codec": _codec,
}


def draw_changes(
    rng: np.random.Generator, shares: Mapping[str, float], second_share: float
) -> list[str]:
    """Draw the changes of one augmented copy.

    Parameters
    ----------
    rng : numpy.random.Generator
        Makes the draws.
    shares : mapping of str to float
        How often each of `CHANGES` is drawn first; only ratios matter, not all may be 0.
    second_share : float
        How often a second change is added, in [0, 1]; all others are equally likely.

    Returns
    -------
    list of str
        One or two of `CHANGES`, in their order.
    """
    names = [name for name in CHANGES if shares[name] > 0]
    weight = np.array([shares[name] for name in names])
    drawn = [str(rng.choice(names, p=weight / weight.sum()))]
    others = [name for name in names if name != drawn[0]]
    if others and rng.random() < second_share:
        drawn.append(str(rng.choice(others)))
    return [name for name in CHANGES if name in drawn]


def degrade(
    waveform: NDArray[np.float32],
    rng: np.random.Generator,
    shares: Mapping[str, float],
    second_share: float,
) -> NDArray[np.float32]:
    """Make the changes that `draw_changes` draws, and round the result as a 16-bit file would.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        At 16 kHz, full scale 1.
    rng : numpy.random.Generator
        Draws the changes and their numbers.
    shares : mapping of str to float
        See `draw_changes`.
    second_share : float
        See `draw_changes`.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Scaled down where it is over full scale.
    """
    sound: Sound = waveform.astype(np.float64)
    for name in draw_changes(rng, shares, second_share):
        sound = CHANGES[name](sound, rng)
    sound = sound / max(1.0, float(np.abs(sound).max()))
    return (np.round(sound * 32767) / 32767).astype(np.float32)
