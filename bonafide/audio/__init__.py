"""Sound files: any codec to mono float32 at 16 kHz, and where in it there is speech."""

from bonafide.audio.headerless import HEADERLESS_SUFFIXES
from bonafide.audio.mixing import MAX_SAMPLE
from bonafide.audio.speech import (
    FRAME_SAMPLES,
    MIN_SOUND_S,
    MIN_SPEECH_S,
    has_speech,
    speech_frames,
    speech_seconds,
    tile,
    too_short,
)
from bonafide.audio.stream import AudioStream, Limits, Source, decode, decode_stream
from bonafide.audio.types import BLOCK_S
from bonafide.types import Waveform

__all__ = [
    "BLOCK_S",
    "FRAME_SAMPLES",
    "HEADERLESS_SUFFIXES",
    "MAX_SAMPLE",
    "MIN_SOUND_S",
    "MIN_SPEECH_S",
    "AudioStream",
    "Limits",
    "Source",
    "Waveform",
    "decode",
    "decode_stream",
    "has_speech",
    "speech_frames",
    "speech_seconds",
    "tile",
    "too_short",
]
