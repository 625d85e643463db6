"""Speech-like sound as files of the usual formats, made from a seed."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.simulation.voices import STEP_SAMPLES, Voice, speak

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
    """Return samples as a file: of shape (n,) or, where libsndfile writes it, (n, channels)."""
    file = io.BytesIO()
    if name in SOUNDFILE:
        container, codec = SOUNDFILE[name]
        soundfile.write(file, samples, rate_hz, format=container, subtype=codec)
        return file.getvalue()
    container, codec = FFMPEG[name]
    return mux(container, codec, samples[:, None], rate_hz)


def mux(
    container_format: str,
    codec: str,
    samples: Samples | None,
    rate_hz: int,
    *,
    video: bool = False,
    title: str = "",
) -> bytes:
    """Return a file that FFmpeg wrote: samples of shape (n, 1 or 2), a picture track, or both."""
    file = io.BytesIO()
    with av.open(file, "w", format=container_format) as container:
        container.metadata["title"] = title
        if video:
            pictures: Any = container.add_stream("mpeg4", rate=10)
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
        if samples is not None:
            layout = "mono" if samples.shape[1] == 1 else "stereo"
            sound: Any = container.add_stream(codec, rate=rate_hz, layout=layout)
            sound.bit_rate = 96_000
            planes = np.ascontiguousarray(samples.T)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate = rate_hz
            frame.pts, frame.time_base = 0, Fraction(1, rate_hz)
            container.mux([*sound.encode(frame), *sound.encode(None)])
        if video:
            for pts in range(30):
                container.mux(pictures.encode(_picture(pts)))
            container.mux(pictures.encode(None))
    return file.getvalue()


def packets(container_format: str, samples: Samples, packet_samples: int) -> bytes:
    """Return 16-bit PCM at 16 kHz in packets of so many samples; samples of shape (n,)."""
    file, pcm = io.BytesIO(), (32767 * samples).astype(np.int16)[None]
    with av.open(file, "w", format=container_format) as container:
        sound: Any = container.add_stream("pcm_s16le", rate=SAMPLE_RATE_HZ, layout="mono")
        for start in range(0, len(samples), packet_samples):
            part = np.ascontiguousarray(pcm[:, start : start + packet_samples])
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
            frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return file.getvalue()


def _picture(pts: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 40 * pts % 255, np.uint8), "rgb24")
    frame.pts, frame.time_base = pts, Fraction(1, 10)
    return frame
