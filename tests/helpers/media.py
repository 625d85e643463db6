"""Sound files of kinds that libsndfile does not write."""

import fractions
from pathlib import Path

import av
import numpy as np

RATE_HZ = 16_000


def write_with_pyav(path: Path, waveform: np.ndarray, codec: str, rate_hz: int) -> None:
    """Encode a sound; an .mp4 also gets a picture track."""
    with av.open(str(path), "w") as container:
        video = None
        if path.suffix == ".mp4":
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        audio = container.add_stream(codec, rate=rate_hz, layout="mono")
        if video is not None:
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            for packet in [*(p for _ in range(40) for p in video.encode(picture)), *video.encode()]:
                container.mux(packet)
        samples = np.round(waveform * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        frame.time_base = fractions.Fraction(1, RATE_HZ)
        resampler = av.AudioResampler(audio.codec_context.format, "mono", rate_hz)
        frames = [*resampler.resample(frame), *resampler.resample(None), None]
        for encoded in frames:
            for packet in audio.encode(encoded):
                container.mux(packet)
