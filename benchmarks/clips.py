"""The clips that speed is measured on: simulated speech, in the codecs that people send."""

import io

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from bonafide.corpora.speechlike import Voice, speak
from bonafide.spec import SAMPLE_RATE_HZ

# codec -> libsndfile's format and subtype, or PyAV's container, encoder and its rate
SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}
FFMPEG = {"m4a": ("mp4", "aac", 44_100), "webm": ("webm", "libopus", 48_000)}
CODECS = (*SOUNDFILE, *FFMPEG)


def clip(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Give simulated speech, mono at 16 kHz: shape (seconds * 16000,), peak 0.5."""
    rng = np.random.default_rng(seed)
    sound = speak(rng, Voice.draw(rng), round(seconds * SAMPLE_RATE_HZ))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def encode(waveform: NDArray[np.float32], codec: str) -> bytes:
    """Encode a 16 kHz waveform; gives the file's content."""
    file = io.BytesIO()
    if codec in SOUNDFILE:
        kind, subtype = SOUNDFILE[codec]
        soundfile.write(file, waveform, SAMPLE_RATE_HZ, subtype=subtype, format=kind)
        return file.getvalue()
    container_name, encoder, rate_hz = FFMPEG[codec]
    with av.open(file, "w", format=container_name) as container:
        stream = container.add_stream(encoder, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", rate_hz, stream.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()
