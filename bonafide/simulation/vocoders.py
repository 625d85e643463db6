"""Copy synthesis: recordings analysed and resynthesised by classic vocoders.

Each generator turns genuine speech into its vocoded twin: the same words, length and level, but
another voice production. They make spoofs from any recording, for training and for the simulated
corpus. All work on overlapping frames of 32 ms (Allen & Rabiner, "A unified approach to short-time
Fourier analysis and synthesis", 1977), whole arrays at a time. Needs librosa (extra ``train``),
imported when a vocoder runs.

Every generator raises `AudioError`: ``not_mono``, ``too_short`` (under 0.1 s) or ``not_finite``.
"""

import functools
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import AnyFloats, Spectrum, Waveform

Generator = Callable[[Waveform, np.random.Generator], Waveform]

MIN_SAMPLES = SAMPLE_RATE_HZ // 10
FRAME_SAMPLES = 512
HOP_SAMPLES = 128
LOWEST_PITCH_HZ, HIGHEST_PITCH_HZ = 60.0, 400.0
_SILENT_RMS = 1e-10


def _generator(method: Generator) -> Generator:
    """Wrap a vocoder so that its input is checked, its level kept and silence left silent.

    Parameters
    ----------
    method : callable
        Maps a waveform (n_samples,) of unit RMS, so that its floors are relative, to another.

    Returns
    -------
    callable
        ``(waveform, rng) -> waveform``: float32, shape (n_samples,), 16 kHz, full scale 1, on
        both sides. The RMS stays; the peak may not, and can exceed full scale.

    Raises
    ------
    AudioError
        From the callable: ``not_mono``, ``too_short`` (under 0.1 s) or ``not_finite``.
    """

    @functools.wraps(method)
    def checked(waveform: Waveform, rng: np.random.Generator) -> Waveform:
        x = np.asarray(waveform, dtype=np.float32)
        if x.ndim != 1:
            raise AudioError("not_mono", f"shape={x.shape}: must have one axis, (n_samples,)")
        if len(x) < MIN_SAMPLES:
            raise AudioError("too_short", f"n_samples={len(x)}: must be at least {MIN_SAMPLES}")
        if not np.isfinite(x).all():
            bad = np.count_nonzero(~np.isfinite(x))
            raise AudioError("not_finite", f"{bad} samples are NaN or infinite; all must be finite")
        rms = _rms(x)
        if rms < _SILENT_RMS:
            return np.zeros_like(x)
        made = method((x / rms).astype(np.float32), rng)
        return (made * (rms / max(_rms(made), _SILENT_RMS))).astype(np.float32)

    return checked


def _rms(x: AnyFloats) -> float:
    """Return the root mean square of a waveform, summed in float64."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def _stft(x: AnyFloats) -> Spectrum:
    """Return the short-time spectrum of centred frames: (n,) -> (n_frames, 257)."""
    from librosa import stft

    spectrum = stft(x, n_fft=FRAME_SAMPLES, hop_length=HOP_SAMPLES, pad_mode="constant")
    return np.asarray(spectrum.T)


def _istft(spectrum: Spectrum, n: int, hop: int = HOP_SAMPLES) -> Waveform:
    """Invert `_stft` by least squares: (n_frames, 257) -> (n,)."""
    from librosa import istft

    return np.asarray(istft(spectrum.T, hop_length=hop, length=n), dtype=np.float32)


@functools.cache
def _mel_bands(n_bands: int) -> Waveform:
    """Return triangular bands of peak 1 at equal mel steps (O'Shaughnessy 1987): (n_bands, 257)."""
    from librosa.filters import mel

    bands = mel(sr=SAMPLE_RATE_HZ, n_fft=FRAME_SAMPLES, n_mels=n_bands, htk=True, norm=None)
    return np.asarray(bands, dtype=np.float32)


@functools.cache
def _through_mel(n_bands: int) -> AnyFloats:
    """Return the least-squares projection through the mel bands, shape (257, 257)."""
    return _mel_bands(n_bands).T @ np.linalg.pinv(_mel_bands(n_bands)).T


def _pitch(x: AnyFloats) -> tuple[AnyFloats, AnyFloats]:
    """Estimate pitch by normalised autocorrelation (Boersma 1993).

    Parameters
    ----------
    x : ndarray of float32, shape (n_samples,)
        Of unit RMS.

    Returns
    -------
    f0 : ndarray of float32, shape (n_frames,)
        Fundamental in Hz, 60 to 400, as medians of five frames of `_stft`.
    strength : ndarray of float32, shape (n_frames,)
        0 (noise, silence) to 1 (periodic).
    """
    from librosa import autocorrelate
    from librosa.util import frame

    size = 2 * FRAME_SAMPLES
    shortest, longest = (round(SAMPLE_RATE_HZ / hz) for hz in (HIGHEST_PITCH_HZ, LOWEST_PITCH_HZ))
    window = np.hanning(size).astype(np.float32)
    frames = frame(np.pad(x, FRAME_SAMPLES), frame_length=size, hop_length=HOP_SAMPLES).T
    # The window's own decay is divided out; a longer lag must be clearly better (octave cost).
    correlation, own = (autocorrelate(y, max_size=longest + 1) for y in (frames * window, window))
    energy = np.maximum(correlation[:, :1] / own[0], 1e-6)
    correlation = (correlation / own / energy)[:, shortest:]  # (n_frames, n_lags)
    lags = np.arange(shortest, longest + 1)
    best = np.argmax(correlation - 0.03 * np.log2(lags / shortest), axis=1)
    strength = np.clip(np.take_along_axis(correlation, best[:, None], 1)[:, 0], 0.0, 1.0)
    around = sliding_window_view(np.pad(lags[best], 2, mode="edge"), 5)
    f0 = SAMPLE_RATE_HZ / np.median(around, axis=1)
    return f0.astype(np.float32), strength.astype(np.float32)


def _pulses(f0: AnyFloats, voiced: NDArray[np.bool_], n: int) -> AnyFloats:
    """Return pulses of unit power, free of DC, that follow f0 in Hz: (n_frames,) -> (n,)."""
    if not voiced.any():
        return np.zeros(n, dtype=np.float32)
    centres = np.arange(len(f0)) * HOP_SAMPLES
    hz = np.interp(np.arange(n), centres[voiced], f0[voiced])
    cycle = np.floor(np.cumsum(hz / SAMPLE_RATE_HZ))
    height = (np.diff(cycle, prepend=-1.0) > 0.0) * np.sqrt(SAMPLE_RATE_HZ / hz)
    return (height - np.sqrt(hz / SAMPLE_RATE_HZ)).astype(np.float32)


def _buzz_or_hiss(x: AnyFloats, rng: np.random.Generator) -> Spectrum:
    """Return a flat source's spectrum: pulses where x is periodic, else noise, (n_frames, 257)."""
    f0, strength = _pitch(x)
    voiced = strength > 0.45
    hiss = rng.standard_normal(len(x), dtype=np.float32)
    return np.where(voiced[:, None], _stft(_pulses(f0, voiced, len(x))), _stft(hiss))


@_generator
def griffin_lim(x: Waveform, rng: np.random.Generator) -> Waveform:
    """Rebuild phase from 40 mel bands alone, by 16 accelerated iterations from random phase.

    Parameters
    ----------
    x : ndarray of float32, shape (n_samples,)
        Mono, 16 kHz, at least 0.1 s.
    rng : Generator
        Of the first phases.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        With the RMS of `x`.

    References
    ----------
    Griffin & Lim, "Signal estimation from modified short-time Fourier transform", 1984.
    Perraudin, Balazs & Sondergaard, "A fast Griffin-Lim algorithm", 2013 (the momentum).
    """
    from librosa import griffinlim

    magnitude = np.maximum(np.abs(_stft(x)) @ _through_mel(40), 1e-6)
    made = griffinlim(
        magnitude.T,
        n_iter=16,
        hop_length=HOP_SAMPLES,
        pad_mode="constant",
        length=len(x),
        random_state=rng,
    )
    return np.asarray(made, dtype=np.float32)


def _levinson(r: AnyFloats, order: int) -> tuple[AnyFloats, AnyFloats]:
    """Solve for linear prediction, all frames at once (Levinson 1947, Durbin 1960).

    Parameters
    ----------
    r : ndarray of float64, shape (n_frames, order + 1)
        Autocorrelations, positive at lag 0.
    order : int
        Number of poles.

    Returns
    -------
    a : ndarray of float64, shape (n_frames, order + 1)
        Inverse filters whose first coefficient is 1.
    error : ndarray of float64, shape (n_frames,)
        Power of the prediction error.
    """
    # librosa.lpc takes 17 times as long and 2 s to compile, and does not return the error.
    a = np.eye(1, order + 1).repeat(len(r), axis=0)
    error = r[:, 0].copy()
    for i in range(1, order + 1):
        reflection = -np.sum(a[:, :i] * r[:, i:0:-1], axis=1) / error
        a[:, : i + 1] += reflection[:, None] * a[:, i::-1].copy()
        error *= np.maximum(1.0 - reflection**2, 1e-9)
    return a, error


@_generator
def lpc_vocoder(x: Waveform, rng: np.random.Generator) -> Waveform:
    """Drive 18 poles of linear prediction with pulses or noise.

    Parameters
    ----------
    x : ndarray of float32, shape (n_samples,)
        Mono, 16 kHz, at least 0.1 s.
    rng : Generator
        Of the noise.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        With the RMS of `x`.

    References
    ----------
    Atal & Hanauer, "Speech analysis and synthesis by linear prediction", 1971.
    """
    order = 18  # a pole pair for each kHz and one to spare
    power = np.abs(_stft(x)).astype(np.float64) ** 2
    r: AnyFloats = np.fft.irfft(power, FRAME_SAMPLES)[:, : order + 1]
    r[:, 0] = r[:, 0] * 1.0001 + 1e-8  # a little white noise keeps tones and silence solvable
    a, error = _levinson(r, order)
    tract = np.sqrt(error)[:, None] / np.fft.rfft(a, FRAME_SAMPLES)
    return _istft(_buzz_or_hiss(x, rng) * tract, len(x))


@_generator
def channel_vocoder(x: Waveform, rng: np.random.Generator) -> Waveform:
    """Carry the slow envelopes of 20 mel bands on pulses or noise.

    Parameters
    ----------
    x : ndarray of float32, shape (n_samples,)
        Mono, 16 kHz, at least 0.1 s.
    rng : Generator
        Of the noise.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        With the RMS of `x`.

    References
    ----------
    Dudley, "Remaking speech", 1939.
    """
    bands = _mel_bands(20)
    energy = np.abs(_stft(x)) ** 2 @ (bands / bands.sum(axis=1, keepdims=True)).T
    # Five frames (40 ms) stand in for Dudley's 25 Hz low-pass of each channel.
    slow = sliding_window_view(np.pad(energy, ((2, 2), (0, 0)), mode="edge"), 5, axis=0)
    return _istft(_buzz_or_hiss(x, rng) * (np.sqrt(slow.mean(axis=-1)) @ bands), len(x))


@_generator
def cepstral_vocoder(x: Waveform, rng: np.random.Generator) -> Waveform:
    """Drive a minimum-phase cepstral envelope with pulses below a moving border, noise above.

    Parameters
    ----------
    x : ndarray of float32, shape (n_samples,)
        Mono, 16 kHz, at least 0.1 s.
    rng : Generator
        Of the noise.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        With the RMS of `x`.

    References
    ----------
    Oppenheim, "Speech analysis-synthesis system based on homomorphic filtering", 1969.
    Makhoul, Viswanathan, Schwartz & Huggins, "A mixed-source model", 1978 (the border).
    """
    cepstrum = np.fft.irfft(np.log(np.maximum(np.abs(_stft(x)), 1e-4)), FRAME_SAMPLES)
    lifter = np.zeros(FRAME_SAMPLES, dtype=np.float32)
    lifter[0], lifter[1:32] = 1.0, 2.0  # the doubled causal half is the minimum-phase envelope
    tract = np.exp(np.fft.rfft(cepstrum * lifter))
    f0, strength = _pitch(x)
    # The border rises with periodicity, to 6 kHz in clearly voiced frames.
    border_hz = 6_000.0 * np.clip((strength - 0.4) / 0.5, 0.0, 1.0)[:, None]
    hz = np.arange(FRAME_SAMPLES // 2 + 1, dtype=np.float32) * (SAMPLE_RATE_HZ / FRAME_SAMPLES)
    buzz = np.clip(0.5 + (border_hz - hz) / 1_000.0, 0.0, 1.0) * (strength > 0.4)[:, None]
    hiss = _stft(rng.standard_normal(len(x), dtype=np.float32))
    source = _stft(_pulses(f0, strength > 0.4, len(x))) * np.sqrt(buzz)
    return _istft(tract * (source + hiss * np.sqrt(1.0 - buzz)), len(x))


@_generator
def sinusoidal(x: Waveform, rng: np.random.Generator) -> Waveform:
    """Rebuild each frame from its 24 highest spectral peaks, their phases loosened.

    Parameters
    ----------
    x : ndarray of float32, shape (n_samples,)
        Mono, 16 kHz, at least 0.1 s.
    rng : Generator
        Of what is added to the phases.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        With the RMS of `x`.

    References
    ----------
    McAulay & Quatieri, "Speech analysis/synthesis based on a sinusoidal representation", 1986.
    """
    from librosa.filters import get_window

    hop = FRAME_SAMPLES // 2
    spectrum = _stft(x)[:: hop // HOP_SAMPLES]  # (n_frames, 257)
    size = np.abs(spectrum)
    middle = size[:, 1:-1]
    is_peak = (middle > size[:, :-2]) & (middle >= size[:, 2:])
    at = 1 + np.argsort(np.where(is_peak, -middle, 0.0), axis=1)[:, :24]  # (n_frames, 24)
    low, top, high = (np.take_along_axis(size, at + step, 1) + 1e-9 for step in (-1, 0, 1))
    below, above = np.log(top / low), np.log(top / high)  # a parabola through three log values
    shift = np.clip(0.5 * (below - above) / np.maximum(below + above, 1e-6), -0.5, 0.5)
    peaked = np.take_along_axis(is_peak, at - 1, 1)
    amplitude = peaked * top * np.exp(0.25 * (below - above) * shift)
    radians = (at + shift) * (2.0 * np.pi / FRAME_SAMPLES)
    # Seen from the frame's middle, a peak's phase does not depend on the fraction of a bin.
    phase = np.angle(np.take_along_axis(spectrum, at, 1)) + np.pi * at
    loose = 1.0 - 0.7 * _pitch(x)[1][:: hop // HOP_SAMPLES, None]  # more where aperiodic
    phase += loose * rng.uniform(-np.pi, np.pi, at.shape)
    time = np.arange(-hop, hop, dtype=np.float32)
    frames = np.zeros((len(at), FRAME_SAMPLES), dtype=np.float32)
    for peak in np.stack([amplitude, radians, phase % (2.0 * np.pi)]).astype(np.float32).T:
        level, step, start = peak.T[:, :, None]  # each (n_frames, 1)
        frames += level * np.cos(step * time + start)
    return _istft(np.fft.rfft(frames * get_window("hann", FRAME_SAMPLES)), len(x), hop)


GENERATORS: dict[str, Generator] = {
    "griffin_lim": griffin_lim,
    "lpc_vocoder": lpc_vocoder,
    "channel_vocoder": channel_vocoder,
    "cepstral_vocoder": cepstral_vocoder,
    "sinusoidal": sinusoidal,
}
GENERATOR_NAMES = tuple(GENERATORS)
