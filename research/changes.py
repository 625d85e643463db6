"""The channel conditions: what is done to sound, and the channel that a router should name."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.signal

from bonafide.audio import speech_frames
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.training.augmentation import (
    PINK,
    TELEPHONE_HZ,
    Change,
    Sound,
    clipped,
    noise,
    reverberant,
    through,
    with_noise,
)
from research.packets import with_lost_packets

PINKNESS = (0.0, PINK / 2, PINK)
DC = 0.05  # of full scale
PHONE_HZ = 100  # below it, a phone's microphone hears little


@dataclass(frozen=True)
class Condition:
    """A fixed change of sound.

    Parameters
    ----------
    change : callable
        ``(waveform, rng)`` -> the changed waveform, at 16 kHz.
    channel : str
        Name in `bonafide.training.channels.CHANNELS` that describes it best: ``clean`` for what
        leaves no trace of a channel, such as another level.
    """

    change: Change
    channel: str


def coded(**how: Any) -> Change:
    """Return a change that encodes and decodes, as `through` does."""
    return lambda waveform, _rng: through(waveform, **how)


def telephoned(**how: Any) -> Change:
    """Return a change that encodes and decodes at 8 kHz."""
    return coded(rate_hz=TELEPHONE_HZ, **how)


def noisy(
    waveform: Sound,
    rng: np.random.Generator,
    *,
    snr_db: float,
    slopes: tuple[float, ...] = PINKNESS,
) -> Sound:
    """Add noise of one of several slopes; as a rule white, pink or in between."""
    added = noise(len(waveform), rng, slope=float(rng.choice(slopes)))
    return with_noise(waveform, added, snr_db=snr_db)


def voice_note(waveform: Sound, _rng: np.random.Generator) -> Sound:
    """Record as phones do: with a high-pass, then Opus at 48 kHz and 16 kb/s in Ogg."""
    sections = scipy.signal.butter(2, PHONE_HZ, "high", fs=SAMPLE_RATE_HZ, output="sos")
    heard = np.asarray(scipy.signal.sosfilt(sections, waveform))
    return through(heard, codec="libopus", container="ogg", rate_hz=48_000, bit_rate=16_000)


def louder(waveform: Sound, _rng: np.random.Generator, *, db: float) -> Sound:
    """Change the level; what goes over full scale is clipped later."""
    return waveform * 10 ** (db / 20)


def offset(waveform: Sound, _rng: np.random.Generator) -> Sound:
    """Add a constant."""
    return waveform + DC


def faster(waveform: Sound, _rng: np.random.Generator, *, percent: int) -> Sound:
    """Play faster by `percent`, or slower where it is negative, pitch included."""
    return np.asarray(scipy.signal.resample_poly(waveform, 100, 100 + percent))


def trimmed(waveform: Sound, _rng: np.random.Generator) -> Sound:
    """Cut off what comes before and after the speech."""
    active = np.flatnonzero(speech_frames(waveform))
    if not len(active):
        return waveform
    frame = len(waveform) // len(speech_frames(waveform))
    return waveform[active[0] * frame : (active[-1] + 1) * frame]


def shortened(waveform: Sound, _rng: np.random.Generator, *, seconds: float) -> Sound:
    """Keep `seconds` of the middle."""
    n = round(seconds * SAMPLE_RATE_HZ)
    start = max(0, (len(waveform) - n) // 2)
    return waveform[start : start + n]


def matched(waveform: Sound, rng: np.random.Generator) -> Sound:
    """Bring every recording to one level and one length, with no silence at the ends."""
    spoken = shortened(trimmed(waveform, rng), rng, seconds=2.0)
    spoken = np.resize(spoken, 2 * SAMPLE_RATE_HZ)
    return 0.05 / max(float(np.std(spoken)), 1e-4) * spoken


def silenced(waveform: Sound, _rng: np.random.Generator) -> Sound:
    """Add digital silence, which no microphone records, to both ends."""
    return np.pad(waveform, round(0.1 * SAMPLE_RATE_HZ))


BY_CHANNEL: dict[str, dict[str, Change]] = {
    "clean": {
        "clean": lambda waveform, rng: waveform,
        "level -20 dB": partial(louder, db=-20.0),
        "level +10 dB": partial(louder, db=10.0),
        "DC of 5 %": offset,
        "speed -6 %": partial(faster, percent=-6),
        "speed -3 %": partial(faster, percent=-3),
        "speed +3 %": partial(faster, percent=3),
        "speed +6 %": partial(faster, percent=6),
        "trimmed silence": trimmed,
        "0.1 s of zeros at both ends": silenced,
        "4 s": partial(shortened, seconds=4.0),
        "2 s": partial(shortened, seconds=2.0),
        "1 s": partial(shortened, seconds=1.0),
        "matched level, length, silence": matched,
    },
    "telephone": {
        "G.711 mu-law": telephoned(codec="pcm_mulaw", container="wav"),
        "G.711 A-law": telephoned(codec="pcm_alaw", container="wav"),
        "GSM full rate": telephoned(codec="GSM610", container="WAV"),
        "AMR-NB 12.2 kb/s": telephoned(codec="libopencore_amrnb", container="amr", bit_rate=12_200),
        "AMR-NB 4.75 kb/s": telephoned(codec="libopencore_amrnb", container="amr", bit_rate=4_750),
        "MP3 16 kb/s, 8 kHz": telephoned(codec="libmp3lame", container="mp3", bit_rate=16_000),
        "8 kHz band limit": telephoned(codec="pcm_s16le", container="wav"),
    },
    "noise": {
        "noise 20 dB": partial(noisy, snr_db=20.0),
        "noise 10 dB": partial(noisy, snr_db=10.0),
        "noise 5 dB": partial(noisy, snr_db=5.0),
        "white noise 20 dB": partial(noisy, snr_db=20.0, slopes=(0.0,)),
        "pink noise 20 dB": partial(noisy, snr_db=20.0, slopes=(PINK,)),
        "reverberation 0.4 s": partial(reverberant, decay_s=0.4, tail_db=-3.0),
        "clipping 5 %": lambda waveform, _rng: clipped(waveform, share=0.05),
    },
    "low_rate": {
        "AAC 32 kb/s": coded(codec="aac", container="adts", bit_rate=32_000),
        "AAC 32 kb/s, 44.1 kHz": coded(
            codec="aac", container="adts", bit_rate=32_000, rate_hz=44_100
        ),
    },
    "opus": {
        "Opus 16 kb/s": coded(codec="libopus", container="ogg", bit_rate=16_000),
        "voice note": voice_note,
        "Opus 24 kb/s, 10 % lost": partial(with_lost_packets, lost=0.1, bit_rate=24_000),
    },
    "g722": {
        "G.722 64 kb/s": coded(codec="g722", container="wav"),
    },
    "codec": {
        "AAC 64 kb/s": coded(codec="aac", container="adts", bit_rate=64_000),
        "MP3 64 kb/s": coded(codec="libmp3lame", container="mp3", bit_rate=64_000),
        "MP3 64 kb/s, 44.1 kHz": coded(
            codec="libmp3lame", container="mp3", bit_rate=64_000, rate_hz=44_100
        ),
        "Vorbis": coded(codec="VORBIS", container="OGG"),
    },
}
CONDITIONS: dict[str, Condition] = {
    name: Condition(change, channel)
    for channel, changes in BY_CHANNEL.items()
    for name, change in changes.items()
}
