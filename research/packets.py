"""Lost packets: Opus frame by frame, with what is missing concealed by libopus itself."""

import ctypes
import ctypes.util
from functools import cache
from typing import Any

import numpy as np

from bonafide.errors import ConfigError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.training.augmentation import Sound

FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
LARGEST_PACKET = 4000  # bytes, as libopus recommends
# Of opus_defines.h.
OPUS_APPLICATION_VOIP, OPUS_SET_BITRATE, OPUS_GET_LOOKAHEAD = 2048, 4002, 4027


@cache
def _libopus() -> Any:
    """Load libopus, with the types of what is called; it is variadic where options are set."""
    found = ctypes.util.find_library("opus")
    if not found:
        raise ConfigError("no_libopus", "libopus is missing: apt-get install libopus0")
    library, floats = ctypes.CDLL(found), ctypes.POINTER(ctypes.c_float)
    whole, pointer = ctypes.c_int, ctypes.c_void_p
    for name, result, arguments in (
        ("opus_encoder_create", pointer, (ctypes.c_int32, whole, whole, pointer)),
        ("opus_decoder_create", pointer, (ctypes.c_int32, whole, pointer)),
        ("opus_encoder_destroy", None, (pointer,)),
        ("opus_decoder_destroy", None, (pointer,)),
        ("opus_encoder_ctl", whole, (pointer, whole)),
        ("opus_encode_float", whole, (pointer, floats, whole, ctypes.c_char_p, ctypes.c_int32)),
        ("opus_decode_float", whole, (pointer, ctypes.c_char_p, whole, floats, whole, whole)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _floats(frame: Sound) -> Any:
    return frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def _done(result: int) -> int:
    """Return what libopus returned, unless it is an error."""
    if result < 0:
        raise RuntimeError(f"libopus returned {result}")
    return result


def _encoded(sound: Sound, bit_rate: int) -> tuple[list[bytes], int]:
    """Encode whole frames; return a packet for each, and by how many samples Opus delays."""
    opus, delay = _libopus(), ctypes.c_int32()
    encoder = opus.opus_encoder_create(SAMPLE_RATE_HZ, 1, OPUS_APPLICATION_VOIP, None)
    try:
        _done(opus.opus_encoder_ctl(encoder, OPUS_SET_BITRATE, ctypes.c_int32(bit_rate)))
        _done(opus.opus_encoder_ctl(encoder, OPUS_GET_LOOKAHEAD, ctypes.byref(delay)))
        packets, buffer = [], ctypes.create_string_buffer(LARGEST_PACKET)
        n_frames = -(-(len(sound) + delay.value) // FRAME_SAMPLES)
        padded = np.zeros((n_frames, FRAME_SAMPLES), dtype=np.float32)
        padded.ravel()[: len(sound)] = sound.clip(-1, 1)
        for frame in padded:
            length = opus.opus_encode_float(
                encoder, _floats(frame), FRAME_SAMPLES, buffer, LARGEST_PACKET
            )
            packets.append(buffer.raw[: _done(length)])
        return packets, delay.value
    finally:
        opus.opus_encoder_destroy(encoder)


def _decoded(packets: list[bytes | None]) -> Sound:
    """Decode packets; libopus conceals those that are None."""
    opus = _libopus()
    decoder = opus.opus_decoder_create(SAMPLE_RATE_HZ, 1, None)
    heard = np.empty((len(packets), FRAME_SAMPLES), dtype=np.float32)
    try:
        for packet, frame in zip(packets, heard, strict=True):
            _done(
                opus.opus_decode_float(
                    decoder, packet, len(packet or b""), _floats(frame), FRAME_SAMPLES, 0
                )
            )
    finally:
        opus.opus_decoder_destroy(decoder)
    return heard.ravel()


def with_lost_packets(
    waveform: Sound, rng: np.random.Generator, *, lost: float, bit_rate: int
) -> Sound:
    """Encode with Opus at 16 kHz in frames of 20 ms, lose some, and decode what arrives.

    Parameters
    ----------
    waveform : ndarray of float, shape (n_samples,)
        At 16 kHz, full scale 1.
    rng : numpy.random.Generator
        Draws which packets are lost, each by itself.
    lost : float
        Share of the packets, 0 to 1; libopus conceals them.
    bit_rate : int
        In bits a second.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Without the delay of the codec.

    Raises
    ------
    ConfigError
        ``no_libopus`` if the library is not installed.
    """
    packets, delay = _encoded(waveform, bit_rate)
    gone = rng.random(len(packets)) < lost
    heard = _decoded([None if g else p for g, p in zip(gone, packets, strict=True)])
    return heard[delay : delay + len(waveform)]
