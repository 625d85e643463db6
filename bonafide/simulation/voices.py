"""Speech-like sound from nothing: a voice that babbles syllables, and the room around it.

Voices follow the source-filter model: glottal pulses and noise drive formants that glide between
vowel targets. Controls change every 5 ms; sound is float, 16 kHz, shape (n_samples,).

References
----------
Rosenberg, "Effect of glottal pulse shape on the quality of natural vowels", 1971 (shape C).
Peterson & Barney, "Control methods used in a study of the vowels", 1952 (vowel targets).
Klatt, "Software for a cascade/parallel formant synthesizer", 1980 (cascade, noise sources).
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import AnyFloats, Spectrum

Control = tuple[float, ...]

STEP_SAMPLES = 80
_STEP_MS = 5.0
_FFT_STEPS = 12  # a block of two steps, and 50 ms for its formants to ring
_FFT_SAMPLES = _FFT_STEPS * STEP_SAMPLES

# First three formants in Hz, mean of men: heed hid head had hod hawed hood who'd hud heard.
_VOWELS_HZ = (
    *((270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410)),
    *((730, 1090, 2440), (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240)),
    *((640, 1190, 2390), (490, 1350, 1690)),
)
_NASAL_HZ = (250, 1300, 2200)
_NEUTRAL_HZ = (500, 1500, 2500)
# Steps of a consonant: ms; amplitudes of voicing, aspiration and frication; frication in Hz.
_CONSONANTS: dict[str, tuple[Control, ...]] = {
    "s": ((95, 0.0, 0.02, 0.30, 6300),),
    "sh": ((100, 0.0, 0.02, 0.35, 3400),),
    "f": ((85, 0.0, 0.02, 0.10, 7000),),
    "z": ((75, 0.40, 0.02, 0.18, 6000),),
    "h": ((65, 0.05, 0.30, 0.0, 3000),),
    "n": ((70, 0.45, 0.01, 0.0, 3000),),
    "t": ((55, 0.0, 0.0, 0.0, 4500), (12, 0.0, 0.1, 0.6, 4500), (30, 0.1, 0.25, 0.05, 4500)),
    "k": ((60, 0.0, 0.0, 0.0, 2000), (15, 0.0, 0.1, 0.5, 2000), (40, 0.1, 0.25, 0.05, 2000)),
    "b": ((55, 0.15, 0.0, 0.0, 900), (8, 0.3, 0.1, 0.3, 900)),
}
_SILENT: Control = (0.0, 0.0, 0.0, 3000.0)


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Parameters
    ----------
    tract : float
        Scale of all formants; 1 for the average man, more for a shorter vocal tract.
    pitch_hz : float
        Middle of the pitch range.
    liveliness, jitter, shimmer : float
        Relative spread of pitch between syllables, and of pitch and loudness between periods.
    opening, closing : float
        The parts of a glottal period in which the glottis opens and closes.
    breath, pace : float
        Level of noise relative to voiced sound; speed, 1 for the durations in the tables.
    """

    tract: float
    pitch_hz: float
    liveliness: float
    jitter: float
    shimmer: float
    opening: float
    closing: float
    breath: float
    pace: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Voice":
        """Draw a speaker; short vocal tracts mostly come with high pitch.

        Parameters
        ----------
        rng : Generator
            Of every random number.

        Returns
        -------
        Voice
        """
        smallness = rng.uniform()
        return cls(
            tract=0.95 + 0.25 * smallness,
            pitch_hz=95.0 * 2.2**smallness * rng.uniform(0.88, 1.14),
            liveliness=rng.uniform(0.07, 0.16),
            jitter=rng.uniform(0.004, 0.015),
            shimmer=rng.uniform(0.02, 0.08),
            opening=rng.uniform(0.32, 0.50),
            closing=rng.uniform(0.10, 0.20),
            breath=rng.uniform(0.01, 0.04),
            pace=rng.uniform(0.85, 1.2),
        )


def _consonant(rng: np.random.Generator, chance: float, vowel: Control) -> list[Control]:
    """Draw a consonant, or none: rows of ms, F1 to F3, and four columns of `_CONSONANTS`."""
    if rng.uniform() > chance:
        return []
    name = list(_CONSONANTS)[rng.integers(len(_CONSONANTS))]
    place = _NASAL_HZ if name == "n" else vowel
    return [(step[0], *place, *step[1:]) for step in _CONSONANTS[name]]


def _syllable(rng: np.random.Generator, pitch: float) -> list[Control]:
    """Draw consonant, vowel or diphthong, consonant: rows of ms and the columns of `_sentence`."""
    first, second = (_VOWELS_HZ[i] for i in rng.integers(len(_VOWELS_HZ), size=2))
    last = second if rng.uniform() < 0.3 else first
    half_ms, loud = rng.uniform(45.0, 110.0), rng.uniform(0.7, 1.0)
    vowel = [(half_ms, *place, loud, 0.0, 0.0, 3000.0) for place in (first, last)]
    rows = _consonant(rng, 0.8, first) + vowel + _consonant(rng, 0.3, last)
    return [(*row, pitch) for row in rows]


def _sentence(rng: np.random.Generator, pace: float, n_steps: int) -> AnyFloats:
    """Draw the controls of one clip.

    Phrases of 2 to 6 syllables, on falling pitch, with pauses of 0.1 to 0.35 s; 0.05 to 0.4 s of
    silence before and after.

    Parameters
    ----------
    rng : Generator
        Of every random number.
    pace : float
        As in `Voice`.
    n_steps : int
        Steps of 5 ms.

    Returns
    -------
    ndarray of float64, shape (n_steps, 8)
        F1, F2, F3 in Hz of the average man; amplitudes of voicing, aspiration and frication, 0 to
        1; centre of the frication in Hz; pitch in units of `Voice.liveliness`.
    """
    before_ms, after_ms = rng.uniform(50.0, 400.0, size=2)
    rows: list[Control] = [(before_ms * pace, *_NEUTRAL_HZ, *_SILENT, 0.0)]
    while sum(row[0] for row in rows) / pace < n_steps * _STEP_MS:
        for fall in np.linspace(0.7, -1.0, rng.integers(2, 7)):
            rows += _syllable(rng, fall + 0.7 * rng.normal())
        rows.append((rng.uniform(100.0, 350.0), *_NEUTRAL_HZ, *_SILENT, 0.0))
    table = np.array(rows)
    ends = np.cumsum(table[:, 0]) / pace / _STEP_MS
    controls = table[np.searchsorted(ends, np.arange(n_steps), side="right"), 1:]
    controls[n_steps - round(after_ms / _STEP_MS) :, 3:6] = 0.0
    return controls


def _smooth(controls: AnyFloats, width: int) -> AnyFloats:
    """Average controls (n_steps, n_columns) under a bell of `width` steps, an odd number."""
    bell = np.hanning(width + 2)[1:-1]
    padded = np.pad(controls, ((width // 2, width // 2), (0, 0)), mode="edge")
    smoothed: AnyFloats = sliding_window_view(padded, width, axis=0) @ (bell / bell.sum())
    return smoothed


def _glottis(
    rng: np.random.Generator, voice: Voice, pitch_hz: AnyFloats
) -> tuple[AnyFloats, AnyFloats]:
    """Return the flow through the glottis, 0 to about 1, and its slope per period, (n,) each."""
    plain = np.cumsum(pitch_hz / SAMPLE_RATE_HZ)
    wobble = 1.0 + voice.jitter * rng.standard_normal(int(plain[-1]) + 2)
    phase = np.cumsum(pitch_hz * wobble[plain.astype(int)] / SAMPLE_RATE_HZ)
    cycle = phase.astype(int)
    part = phase - cycle
    size = 1.0 + voice.shimmer * rng.standard_normal(cycle[-1] + 1)
    rise = 0.5 - 0.5 * np.cos(np.pi * part / voice.opening)
    fall = np.cos(0.5 * np.pi * np.clip((part - voice.opening) / voice.closing, 0.0, 1.0))
    flow = np.where(part < voice.opening, rise, fall) * size[cycle]
    # a difference between samples aliases less than the derivative
    return flow, np.diff(flow, prepend=0.0) * (SAMPLE_RATE_HZ / pitch_hz)


def _delays() -> Spectrum:
    """Return a delay of one sample at the frequencies of a block, shape (n_bins,)."""
    delays: Spectrum = np.exp(-2j * np.pi * np.fft.rfftfreq(_FFT_SAMPLES)).astype(np.complex64)
    return delays


def _resonance(hz: AnyFloats, width_hz: AnyFloats) -> tuple[AnyFloats, AnyFloats]:
    """Return a pole pair's coefficients of z^-1 and z^-2, each (n_steps, 1)."""
    radius = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
    first = -2.0 * radius * np.cos(2.0 * np.pi * hz / SAMPLE_RATE_HZ)
    return first.astype(np.float32)[:, None], (radius**2).astype(np.float32)[:, None]


def _tract(formants_hz: AnyFloats, scale: float) -> Spectrum:
    """Cascade five moving formants and some fixed ones: (n_steps, 3) -> (n_steps, n_bins)."""
    z = _delays()
    drift_hz = formants_hz[:, 2] - _NEUTRAL_HZ[2]
    still = np.zeros_like(drift_hz)
    # Just below the Nyquist frequency, a pole pair and its mirror image would whistle.
    fixed = [still + hz for hz in (5400, 6400, 7400) if hz * scale < 7_720]
    moving = (*formants_hz.T, 3400 + 0.3 * drift_hz, 4400 + 0.2 * drift_hz)
    response = np.ones((len(formants_hz), len(z)), dtype=np.complex64)
    for i, hz in enumerate((*moving, *fixed)):
        first, second = _resonance(hz * scale, still + 60.0 + 45.0 * i)
        response *= (1.0 + first + second) / (1.0 + first * z + second * z**2)
    return response


def _narrows(hz: AnyFloats) -> Spectrum:
    """Return the band-pass of frication, peak about 1: (n_steps,) -> (n_steps, n_bins)."""
    z = _delays()
    first, second = _resonance(hz, 500.0 + 0.2 * hz)
    return 0.5 * (1.0 - second) * (1.0 - z**2) / (1.0 + first * z + second * z**2)


def _filtered(sound: AnyFloats, response: Spectrum) -> Spectrum:
    """Cut sound into crossfaded blocks and filter each: (n,), (n_blocks, n_bins) -> same."""
    blocks = sliding_window_view(np.pad(sound, STEP_SAMPLES), 2 * STEP_SAMPLES)[::STEP_SAMPLES]
    fade = np.hanning(2 * STEP_SAMPLES + 1)[:-1]
    return np.fft.rfft((blocks * fade).astype(np.float32), _FFT_SAMPLES) * response


def speak(rng: np.random.Generator, voice: Voice, n_samples: int) -> AnyFloats:
    """Babble one sentence.

    Parameters
    ----------
    rng : Generator
        Of the syllables and the noise.
    voice : Voice
        Who speaks.
    n_samples : int
        Length at 16 kHz, a multiple of `STEP_SAMPLES`, one second or more.

    Returns
    -------
    ndarray of float64, shape (n_samples,)
        Sound of no particular level, with a faint noise floor.
    """
    n_steps = n_samples // STEP_SAMPLES + 1
    controls = _sentence(rng, voice.pace, n_steps)
    formants_hz = _smooth(controls[:, :3], 15) * (1.0 + 0.01 * rng.standard_normal((n_steps, 3)))
    flutter = _smooth(rng.standard_normal((n_steps, 2)), 31)
    pitch = _smooth(controls[:, 7:], 31)[:, 0] + flutter[:, 0]
    controls[:, 3:6] *= np.exp(flutter[:, 1:])
    time, sample = np.arange(n_steps) * STEP_SAMPLES, np.arange(n_samples)
    loud = _smooth(controls[:, 3:6], 7).T
    voicing, aspiration, frication = (np.interp(sample, time, amplitude) for amplitude in loud)
    pitch_hz = np.interp(sample, time, voice.pitch_hz * np.exp(voice.liveliness * pitch))
    flow, slope = _glottis(rng, voice, pitch_hz)
    breath = (aspiration + voice.breath * voicing * flow) * rng.standard_normal(n_samples)
    hiss = 1.5 * frication * rng.standard_normal(n_samples)
    blocks = _filtered(0.2 * voicing * slope + 0.3 * breath, _tract(formants_hz, voice.tract))
    blocks += _filtered(hiss, _narrows(controls[:, 6]))
    rows = np.fft.irfft(blocks, _FFT_SAMPLES).reshape(n_steps, _FFT_STEPS, STEP_SAMPLES)
    out = np.zeros((n_steps + _FFT_STEPS, STEP_SAMPLES))
    for part in range(_FFT_STEPS):
        out[part : part + n_steps] += rows[:, part]
    made = out.reshape(-1)[STEP_SAMPLES : STEP_SAMPLES + n_samples]
    return made + 1e-4 * rng.standard_normal(n_samples)


@dataclass(frozen=True)
class Room:
    """One place of recording.

    Parameters
    ----------
    echo : ndarray of float64, shape (n_echo,)
        Impulse response that starts with a direct sound of 1.
    tilt_db, noise_tilt_db : float
        Slopes of the channel and of the noise in dB per octave, 0 dB at 1 kHz.
    snr_db, level_db : float
        Middle of the signal-to-noise ratio in dB, and of the RMS level in dB of full scale.
    """

    echo: AnyFloats
    tilt_db: float
    noise_tilt_db: float
    snr_db: float
    level_db: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Room":
        """Draw a room that reverberates for 0.15 to 0.4 s, 20 to 30 dB below the direct sound.

        Parameters
        ----------
        rng : Generator
            Of every random number.

        Returns
        -------
        Room
        """
        n_echo = round(rng.uniform(0.15, 0.4) * SAMPLE_RATE_HZ)
        echo = rng.standard_normal(n_echo) * 10.0 ** (-3.0 * np.arange(n_echo) / n_echo)
        echo *= 10.0 ** (-rng.uniform(20.0, 30.0) / 20.0) / np.linalg.norm(echo)
        echo[0] = 1.0
        return cls(
            echo=echo,
            tilt_db=rng.uniform(-0.5, 0.5),
            noise_tilt_db=rng.uniform(-4.0, -2.0),
            snr_db=rng.uniform(42.0, 52.0),
            level_db=rng.uniform(-36.0, -28.0),
        )

    def record(self, sound: AnyFloats, rng: np.random.Generator) -> AnyFloats:
        """Record a sound in this room: add echo, channel and noise, and set the level.

        Parameters
        ----------
        sound : ndarray, shape (n_samples,)
            At 16 kHz, of any level but silence.
        rng : Generator
            Of the noise, and of how far its ratio and the level lie from the room's middle.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
            Full scale is 1; nothing is clipped.
        """
        n = len(sound)
        n_fft = 1 << (n + len(self.echo)).bit_length()  # other lengths can take ten times longer
        hz = np.fft.rfftfreq(n_fft, 1.0 / SAMPLE_RATE_HZ)
        octaves = np.log2(np.maximum(hz, 50.0) / 1000.0)
        low_cut = np.minimum(hz / 50.0, 1.0) ** 2  # as in microphones, so that DC reveals nothing
        tilt, noise_tilt = 10.0 ** (np.array([[self.tilt_db], [self.noise_tilt_db]]) * octaves / 20)
        spoken = np.fft.rfft(sound, n_fft) * np.fft.rfft(self.echo, n_fft)
        speech = np.fft.irfft(spoken * low_cut * tilt, n_fft)[:n]
        noise = np.fft.rfft(rng.standard_normal(n_fft))
        floor = np.fft.irfft(noise * low_cut * noise_tilt, n_fft)[:n]
        snr_db = self.snr_db + rng.uniform(-4.0, 4.0)
        mixed = speech / np.std(speech) + floor / np.std(floor) * 10.0 ** (-snr_db / 20.0)
        level_db = self.level_db + rng.uniform(-3.0, 3.0)
        recorded: AnyFloats = mixed / np.std(mixed) * 10.0 ** (level_db / 20.0)
        return recorded
