"""Channels: what sound goes through before it is heard, in several versions each.

A channel makes augmented copies for training, and the router learns to tell channels apart by
them. `CHANNELS` holds the built-in ones; another package adds its own by an entry point in the
group ``bonafide.channels`` whose value is a `Channel`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.channel import CLEAN
from bonafide.errors import ConfigError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.plugins import Registry
from bonafide.training.augmentation import (
    PINK,
    RESAMPLERS,
    TELEPHONE_HZ,
    Change,
    Sound,
    as_16_bit,
    clipped,
    equalised,
    noise,
    reverberant,
    through,
    with_noise,
)

CROP_S = 3.0  # of a copy: other crops of a recording have other statistics
KBPS = 1_000


@dataclass(frozen=True)
class Channel:
    """A kind of channel.

    Parameters
    ----------
    name : str
        As configurations and results call it.
    label : str
        What people read, after "sounds like".
    change : callable
        ``(waveform, rng)`` -> a version of it that went through the channel, of the same length.
    """

    name: str
    label: str
    change: Change


def drawn(rng: np.random.Generator, *values: int) -> int:
    """Draw one of several whole numbers, all equally likely.

    Parameters
    ----------
    rng : Generator
        Draws.
    *values : float
        What may be drawn.

    Returns
    -------
    int
        One of them.
    """
    return int(rng.choice(values))


def filed(waveform: Sound, rng: np.random.Generator, **how: Any) -> Sound:
    """Write a file and hear it, as it is or as another program converted it, in two of five.

    Parameters
    ----------
    waveform : ndarray of float, shape (n_samples,)
        At 16 kHz.
    rng : Generator
        Draws the resamplers, and whether the file was converted.
    **how
        As `through` takes it: codec, container, rate and bit rate.

    Returns
    -------
    ndarray of float, shape (n_samples,)
    """
    names = list(RESAMPLERS)
    down, up = (str(rng.choice(names)) for _ in range(2))
    return through(waveform, **how, down=down, up=up if rng.random() < 0.4 else None)


def cropped(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Keep `CROP_S` from a random place, repeated to fill the length."""
    kept = min(len(waveform), round(CROP_S * SAMPLE_RATE_HZ))
    start = int(rng.integers(0, len(waveform) - kept + 1))
    return np.resize(waveform[start : start + kept], len(waveform))


def at_other_speed(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Play up to 8 % faster or slower, pitch included; repeat the start to fill the length."""
    from scipy.signal import resample

    n_samples = round(len(waveform) * rng.uniform(0.92, 1.08))
    return np.resize(np.asarray(resample(waveform, n_samples)), len(waveform))


def at_other_level(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Change the level by -24 to 10 dB; what is then over full scale is cut off."""
    return np.asarray(waveform * 10 ** (rng.uniform(-24, 10) / 20)).clip(-1, 1)


def added_noise(waveform: Sound, rng: np.random.Generator, low_db: float, high_db: float) -> Sound:
    """Add noise between white and steeper than pink; in three of ten cases it comes and goes."""
    added = noise(len(waveform), rng, slope=rng.uniform(0.0, 1.4 * PINK))
    if rng.random() < 0.3:
        places = np.linspace(0, len(waveform), 12)
        added *= np.interp(np.arange(len(waveform)), places, rng.uniform(size=12))
    return with_noise(waveform, added, snr_db=rng.uniform(low_db, high_db))


def room(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Add the reverberation of a room."""
    decay_s, tail_db = rng.uniform(0.1, 0.8), rng.uniform(-12.0, 3.0)
    return reverberant(waveform, rng, decay_s=decay_s, tail_db=tail_db)


def _before(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Add what often comes before a codec: some noise, a room or a filter, in three of ten."""
    draw = rng.random()
    if draw < 0.12:
        return added_noise(waveform, rng, 15, 40)
    if draw < 0.21:
        return room(waveform, rng)
    return equalised(waveform, rng) if draw < 0.3 else waveform


def _clean(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Crop; and change the speed or the level, in two of three."""
    draw = rng.random()
    if draw < 1 / 3:
        waveform = at_other_speed(waveform, rng)
    elif draw < 2 / 3:
        waveform = at_other_level(waveform, rng)
    return as_16_bit(waveform)


def _telephone(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Limit the band in two of five cases; then go through a codec at 8 kHz."""
    from scipy.signal import butter, sosfilt

    waveform = _before(waveform, rng)
    if rng.random() < 0.4:
        edges = rng.uniform((50, 3_300), (300, 3_900))
        sections = butter(4, edges, "band", fs=SAMPLE_RATE_HZ, output="sos")
        waveform = np.asarray(sosfilt(sections, waveform))
    codec, container, rates = _TELEPHONES[rng.integers(len(_TELEPHONES))]
    rate = drawn(rng, *rates) if rates else None
    how = {"codec": codec, "container": container, "bit_rate": rate}
    return filed(waveform, rng, rate_hz=TELEPHONE_HZ, **how)


# Codec, container and bit rates. AMR, of many rates, is drawn twice as often as others.
_TELEPHONES: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("pcm_s16le", "wav", ()),
    ("pcm_mulaw", "wav", ()),
    ("pcm_alaw", "wav", ()),
    ("GSM610", "WAV", ()),
    *(2 * (("libopencore_amrnb", "amr", (4_750, 5_900, 7_400, 7_950, 10_200, 12_200)),)),
    ("libopus", "ogg", tuple(range(7_000, 20_000, 1_000))),
    ("libmp3lame", "mp3", (8_000, 16_000, 24_000)),
)


def _noise(waveform: Sound, rng: np.random.Generator) -> Sound:
    draw = rng.random()
    if draw < 0.15:
        waveform = clipped(room(waveform, rng), share=10 ** rng.uniform(-2.5, -0.9))
    elif draw < 0.3:
        waveform = room(added_noise(waveform, rng, 10, 35), rng)
    else:
        waveform = added_noise(waveform, rng, 3, 30)
    return as_16_bit(waveform)


def _aac(waveform: Sound, rng: np.random.Generator, *kbps: int) -> Sound:
    """Go through AAC at rates that recorders and players use, or at 16 kHz."""
    how = {"codec": "aac", "container": "adts", "bit_rate": KBPS * drawn(rng, *kbps)}
    return filed(
        waveform, rng, rate_hz=drawn(rng, 16_000, 16_000, 22_050, 44_100, 44_100, 48_000), **how
    )


def _mp3(waveform: Sound, rng: np.random.Generator, *kbps: int) -> Sound:
    """Go through MP3, which knows under 32 kb/s at low sample rates alone."""
    rate = drawn(rng, *kbps)
    low, all_of = (16_000, 16_000, 22_050, 24_000), (16_000, 16_000, 22_050, 44_100, 44_100, 48_000)
    how = {"codec": "libmp3lame", "container": "mp3", "bit_rate": KBPS * rate}
    return filed(waveform, rng, rate_hz=drawn(rng, *(low if rate < 32 else all_of)), **how)


def _low_rate(waveform: Sound, rng: np.random.Generator) -> Sound:
    waveform = _before(waveform, rng)
    if rng.random() < 0.6:
        return _aac(waveform, rng, 16, 24, 32, 32, 40, 48)
    return _mp3(waveform, rng, 16, 24, 32, 40, 48)


def _opus(waveform: Sound, rng: np.random.Generator) -> Sound:
    rate = KBPS * drawn(rng, 10, 12, 14, 16, 16, 18, 20, 24, 28, 32)
    how = {"codec": "libopus", "container": "ogg", "bit_rate": rate}
    return filed(
        _before(waveform, rng), rng, rate_hz=drawn(rng, 16_000, 24_000, 48_000, 48_000), **how
    )


def _g722(waveform: Sound, rng: np.random.Generator) -> Sound:
    return filed(_before(waveform, rng), rng, codec="g722", container="wav")


def _codec(waveform: Sound, rng: np.random.Generator) -> Sound:
    waveform, kind = _before(waveform, rng), rng.random()
    if kind < 0.25:
        rate = drawn(rng, 16_000, 44_100, 48_000)
        return filed(waveform, rng, codec="VORBIS", container="OGG", rate_hz=rate)
    if kind < 0.5:
        return _aac(waveform, rng, 56, 64, 80, 96)
    return _mp3(waveform, rng, 56, 64, 64, 80, 96, 128)


CHANNELS = Registry(
    "bonafide.channels",
    Channel,
    (
        Channel(CLEAN, "no channel that leaves a trace", _clean),
        Channel("telephone", "a telephone", _telephone),
        Channel("noise", "noise or a room", _noise),
        Channel("low_rate", "AAC or MP3 at up to 48 kb/s", _low_rate),
        Channel("opus", "Opus, as voice notes have", _opus),
        Channel("g722", "G.722, as wideband telephones have", _g722),
        Channel("codec", "a codec at a higher rate", _codec),
    ),
)


def channel_of(name: str) -> Channel:
    """Return a channel by name.

    Parameters
    ----------
    name : str
        As configurations have it.

    Returns
    -------
    Channel
        A built-in one, or another package's.

    Raises
    ------
    ConfigError
        ``unknown_channel`` if no installed package has it.
    """
    found = CHANNELS.find(name)
    if found is None:
        known = ", ".join(CHANNELS.names())
        raise ConfigError("unknown_channel", f"channel {name!r}: must be one of {known}")
    return found


def heard_through(
    waveform: NDArray[np.float32], channel: Channel, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Crop a recording, and send it through a channel.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        At 16 kHz.
    channel : Channel
        What it goes through.
    rng : Generator
        Decides the place of the crop and all that the channel draws.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Scaled down where it would not fit between -1 and 1.
    """
    sound: Sound = cropped(waveform.astype(np.float64), rng)
    sound = channel.change(sound, rng)
    return (sound / max(1.0, float(np.abs(sound).max()))).astype(np.float32)
