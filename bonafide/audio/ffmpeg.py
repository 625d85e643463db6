"""Decoding through FFmpeg: what is compressed, and video."""

import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from bonafide.audio.types import BLOCK_S, Blocks, Findings, Samples
from bonafide.audio.view import View
from bonafide.errors import AudioError
from bonafide.process.interrupt import heed

DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
MAX_PLANES = 7  # of eight and more, PyAV reads one too many, in memory that is not its own
FLAC_HEADER_BYTES = 34
MAX_TRACKS = 64
# Packets of under a millisecond cost more than their sound: so many may be decoded.
MAX_TINY_PACKETS, TINY_S = 500_000, 1e-3
# Demuxers for self-contained files; playlists and scripts, which name other files, are left out.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,asf,flv,aac,ac3,eac3,amr,amrnb,amrwb,"
    "mp3,ogg,wav,w64,caf,aiff,au,flac,gsm,dts,ape,wv,tta,tak,opus,g722"
)


class Arriving(Protocol):
    """What comes through a pipe: read in order, without a way back."""

    def read(self, size: int = -1, /) -> bytes | None:
        """Return what is there, at most so many bytes; none at the end."""


def not_audio(reason: str) -> AudioError:
    """Return the error for content that no decoder knows."""
    return AudioError(
        "not_audio",
        f"not an audio file that can be decoded ({reason}); WAV, FLAC, MP3, Ogg, Opus, M4A, WebM, "
        "MP4 and similar formats can be",
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def blocks(
    file: View, found: Findings, track: int | None = None, format_name: str | None = None
) -> Blocks:
    """Decode one audio track of a file.

    Parameters
    ----------
    file : View
        Left open.
    found : Findings
        Filled on the way.
    track : int or None
        The audio track, from 0; None for the first that decodes.
    format_name : str or None
        FFmpeg's name of the format; None to recognise it.

    Yields
    ------
    tuple of int and ndarray of float32, shape (n, channels)
        Rate in Hz, and samples.

    Raises
    ------
    AudioError
        ``not_audio``, ``no_sound`` (a video without a sound track, or no such track) or
        ``bad_format`` (too many tracks or packets).
    """
    tried = track or 0
    while True:
        file.seek(0)
        sound = _track(file, found, tried, format_name)
        first, bad = None, None
        try:
            first = next(sound, None)
        except _TrackError as error:
            bad = error
        if first is not None:
            yield first
            yield from sound
        tried += 1
        if first is not None or track is not None or tried >= found.n_tracks:
            break
    if bad is not None:
        undecodable = not_audio(str(bad))
        if track is not None and found.n_tracks > 1:
            message = f"track {track + 1} of {found.n_tracks} cannot be decoded ({bad})"
            undecodable = AudioError("not_audio", message)
        raise undecodable from bad


class _TrackError(Exception):
    """A track of which nothing decodes."""


def open_container(
    file: BinaryIO | View | Arriving, format_name: str | None = None, **more: str
) -> av.container.InputContainer:
    """Open a file by a demuxer that opens no other; raise ``not_audio`` if none knows it."""
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none", **more}
    try:
        return av.open(file, "r", format=format_name, options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        heed()
        raise not_audio(_reason(error)) from error


def _track(file: View, found: Findings, track: int, format_name: str | None) -> Blocks:
    with open_container(file, format_name) as container:
        found.n_tracks = len(container.streams.audio)
        if not found.n_tracks:
            raise AudioError("no_sound", "holds no sound track")
        if track >= found.n_tracks:
            raise AudioError("no_sound", f"holds {found.n_tracks} sound tracks, and no {track + 1}")
        if found.n_tracks > MAX_TRACKS:
            raise AudioError(
                "bad_format", f"{found.n_tracks} sound tracks; must be 1 to {MAX_TRACKS}"
            )
        stream = container.streams.audio[track]
        if stream.codec_context is None:
            raise _TrackError("its codec is not known")
        if not (stream.codec_context.sample_rate and stream.codec_context.channels):
            raise _TrackError("no sound in it")  # FFmpeg guessed a format and found none
        found.codec = stream.codec_context.codec.canonical_name
        yield from _gathered(_frames(container, stream, found, file.size))


def _frames(
    container: av.container.InputContainer, stream: Any, found: Findings, n_bytes: int
) -> Iterator[av.AudioFrame]:
    """Yield the frames of a track of a file of so many bytes, past packets that do not decode."""
    seconds, n_packets, n_lost, error = 0.0, 0, 0, None
    largest = _largest_packet(stream.codec_context)
    try:
        for packet in container.demux(stream):
            n_packets += 1
            if n_packets > MAX_TINY_PACKETS and seconds < TINY_S * n_packets:
                raise AudioError(
                    "bad_format",
                    f"{n_packets} packets hold {seconds:.1f} s of sound; must be at most "
                    f"{1 / TINY_S:g} a second",
                )
            if packet.pos is not None:
                if packet.pos >= n_bytes:
                    continue  # where FLAC's last frame ends, FFmpeg now and then sees one more
                found.reached_bytes = packet.pos + min(packet.size, largest)
            try:
                decoded: list[Any] = packet.decode()
            except av.error.FFmpegError as bad:
                error, n_lost = bad, n_lost + bool(seconds)
                continue
            for frame in decoded:
                seconds += frame.samples / frame.sample_rate
                yield frame
    except av.error.FFmpegError as broken:
        error = broken
        found.damage = f"decoding broke off after {seconds:.2f} s: {_reason(broken)}"
    if error is not None and not seconds:
        raise _TrackError(_reason(error)) from error
    if not seconds and stream.frames:
        found.damage = f"{stream.frames} packets of sound are stated and none is there"
    if n_lost and not found.damage:
        packets = "1 packet" if n_lost == 1 else f"{n_lost} packets"
        found.damage = f"{packets} of its sound could not be decoded"


def blocks_as_they_come(container: av.container.InputContainer, block_s: float) -> Blocks:
    """Decode the first audio track in order, whatever it lacks.

    Parameters
    ----------
    container : av.container.InputContainer
        Open.
    block_s : float
        Seconds that are gathered: a device may give one sample at a time.

    Yields
    ------
    tuple of int and ndarray of float32, shape (n, channels)
        Rate in Hz and samples.

    Raises
    ------
    AudioError
        ``no_sound`` without a track; ``damaged`` where decoding breaks off.
    """
    if not container.streams.audio:
        raise AudioError("no_sound", "holds no sound track")
    try:
        yield from _gathered(container.decode(container.streams.audio[0]), block_s)
    except av.error.FFmpegError as error:
        raise AudioError("damaged", f"decoding broke off: {_reason(error)}") from error


def _largest_packet(codec: Any) -> int:
    """Return how large a packet can be: what follows FLAC is left in the last one."""
    header = codec.extradata or b""
    if codec.name != "flac" or len(header) < FLAC_HEADER_BYTES:
        return sys.maxsize
    largest = int.from_bytes(header[7:10], "big")
    sample_bytes = 4 * (1 + (header[12] >> 1 & 7))
    return largest or int.from_bytes(header[2:4], "big") * sample_bytes


def _gathered(frames: Iterator[av.AudioFrame], block_s: float = BLOCK_S) -> Blocks:
    """Convert frames to float32, as many at once as make up a block and are of one kind."""
    held: list[NDArray[Any]] = []
    kind, n_held = ("", 0, 0), 0
    for frame in frames:
        seen = (frame.format.name, frame.sample_rate, frame.layout.nb_channels)
        if held and (seen != kind or n_held >= block_s * kind[1]):
            yield kind[1], _converted(held, *kind[::2])
            held, n_held = [], 0
        kind = seen
        held.append(_array(frame))
        n_held += frame.samples
    if held:
        yield kind[1], _converted(held, *kind[::2])


def _array(frame: av.AudioFrame) -> NDArray[Any]:
    """Return a frame as FFmpeg keeps it: (channels, n), or (1, n * channels) if it is packed."""
    if frame.layout.nb_channels > MAX_PLANES and frame.format.is_planar:
        packed = av.AudioResampler(frame.format.packed.name, frame.layout, frame.sample_rate)
        frame = packed.resample(frame)[0]
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels > 1:
        return frame.to_ndarray()
    dtype = DTYPES[frame.format.name.removesuffix("p")]  # much faster than `to_ndarray`
    plane: Any = frame.planes[0]
    return np.frombuffer(plane, dtype, frame.samples * channels)[None].copy()


def _converted(held: list[NDArray[Any]], format_name: str, channels: int) -> Samples:
    """Join frames of one kind and scale them: to (n, channels), full scale 1."""
    samples = np.concatenate(held, axis=1) if len(held) > 1 else held[0]
    samples = samples.reshape(-1, channels) if samples.shape[0] == 1 else samples.T
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    scaled: Samples = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        scaled -= 128
    scaled *= 2.0 ** (1 - 8 * samples.dtype.itemsize)
    return scaled
