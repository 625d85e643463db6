"""Speech-like sound as files of the usual formats, made here from a seed."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from bonafide.corpora.speechlike import STEP_SAMPLES, Voice, speak
from bonafide.spec import SAMPLE_RATE_HZ

# Format -> container and codec, as libsndfile or FFmpeg name them.
SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}
FFMPEG = {"m4a": ("ipod", "aac"), "webm": ("webm", "libopus"), "mp4": ("mp4", "aac")}
FORMATS = (*SOUNDFILE, *FFMPEG)

Samples = NDArray[np.float32]


def speech(seconds: float, seed: int = 0) -> Samples:
    """Make speech-like sound at 16 kHz, shape (n_samples,)."""
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * SAMPLE_RATE_HZ / STEP_SAMPLES) * STEP_SAMPLES
    sound = speak(rng, Voice.draw(rng), n_samples)
    return np.asarray((0.1 * sound / np.std(sound)).clip(-0.9, 0.9), dtype=np.float32)


def encode(samples: Samples, name: str, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """Write a file: samples of shape (n,) or, where libsndfile writes it, (n, channels)."""
    file = io.BytesIO()
    if name in SOUNDFILE:
        container, codec = SOUNDFILE[name]
        soundfile.write(file, samples, rate_hz, format=container, subtype=codec)
        return file.getvalue()
    container, codec = FFMPEG[name]
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()
