"""Decode bytes or a file, in any codec, to mono float32 at 16 kHz, in bounded memory.

A file is taken as the recordings that are joined in it (`bonafide.audio.members`). Libsndfile reads
WAV and its relatives; FFmpeg, through PyAV, what is compressed and video. Both are given an open
file and never a name, so that no name is taken for a URL, a device or an option.
"""

import io
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr

from bonafide.audio.decoding import Joined
from bonafide.audio.mixing import Mixer
from bonafide.audio.types import Blocks
from bonafide.audio.view import size_of
from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import Waveform

Source = Path | bytes | BinaryIO


@dataclass(frozen=True)
class Limits:
    """Limits on a recording, checked while it is decoded.

    Parameters
    ----------
    max_duration_s : float or None
        Seconds of sound after which decoding stops; None for no limit.
    min_rate_hz, max_rate_hz : int
        Lowest and highest sample rate accepted, in Hz.
    max_channels : int
        Most channels accepted.
    """

    max_duration_s: float | None = None
    min_rate_hz: int = 4_000
    max_rate_hz: int = 384_000
    max_channels: int = 32


@dataclass
class AudioStream:
    """One recording, decoded block by block.

    Iterating yields blocks of shape (n,), float32, mono, 16 kHz, full scale 1, each from one to
    four seconds of the original, and starts over each time. Recordings joined in one file follow
    each other.

    Parameters
    ----------
    source : Path, bytes or binary file
        The file's name, its content, or the file itself, which is left open.
    limits : Limits
        Limits that the recording must keep to.
    track : int or None
        The audio track, from 0; None for the first that decodes.
    channel : int or None
        The channel, from 0; None for the mean of all, or the loudest where the mean cancels.

    Attributes
    ----------
    original_rate_hz : int
        Of the file; 0 before the first block.
    channels : int
        Of the file, the most if they change on the way; 0 before the first block.
    codec : str
        Libsndfile's name for the file's container, or FFmpeg's for its codec.
    n_tracks : int
        Audio tracks in the file, those that cannot be decoded too; after the first block, or an
        error.
    channels_differ : bool
        After iterating: whether the channels should be judged apart (`bonafide.audio.mixing`).
    damage : str
        After iterating: what is wrong with a file that broke off; empty if nothing.
    omitted : str
        After iterating: what of the file was not decoded, though sound may be in it, and how much
        was; empty if nothing.
    duration_s : float
        Seconds of sound decoded so far.
    decode_s, resample_s : float
        Seconds that decoding and resampling took so far.

    Raises
    ------
    AudioError
        While iterating: ``unreadable`` (no such file, a folder, no permission), ``empty``,
        ``not_audio``, ``no_sound`` (a video without a sound track), ``bad_format`` (rate,
        channels, tracks or packets out of range), ``damaged`` (nothing of it decodes),
        ``not_finite`` or ``too_long``.
    """

    source: Source
    limits: Limits = Limits()
    track: int | None = None
    channel: int | None = None
    original_rate_hz: int = field(default=0, init=False)
    channels: int = field(default=0, init=False)
    codec: str = field(default="", init=False)
    n_tracks: int = field(default=0, init=False)
    channels_differ: bool = field(default=False, init=False)
    damage: str = field(default="", init=False)
    omitted: str = field(default="", init=False)
    duration_s: float = field(default=0.0, init=False)
    decode_s: float = field(default=0.0, init=False)
    resample_s: float = field(default=0.0, init=False)

    @property
    def name(self) -> str:
        """Return the file's name as messages print it."""
        return str(self.source) if isinstance(self.source, Path) else "the upload"

    def __iter__(self) -> Iterator[Waveform]:
        """Decode the blocks in order, from the start."""
        yield from self._resampled(self.at_own_rate())

    def converted(self, blocks: Blocks) -> Iterator[Waveform]:
        """Mix and resample what is decoded elsewhere, by the limits of this stream.

        Parameters
        ----------
        blocks : iterator of tuple of int and ndarray of float32, shape (n, channels)
            Rate in Hz and samples, in order.

        Yields
        ------
        ndarray of float32, shape (n,)
            Mono, 16 kHz, full scale 1.

        Raises
        ------
        AudioError
            ``bad_format``, ``not_finite`` or ``too_long``.
        """
        yield from self._resampled(self._mono(blocks))

    def at_own_rate(self) -> Iterator[tuple[int, Waveform]]:
        """Decode the blocks in order, from the start, without resampling.

        Yields
        ------
        tuple of int and ndarray of float32, shape (n,)
            Rate in Hz, which may change on the way, and mono samples.

        Raises
        ------
        AudioError
            As while iterating.
        OSError
            If a file that was given open cannot be read.
        """
        self.damage, self.omitted = "", ""
        self.duration_s, self.decode_s, self.resample_s = 0.0, 0.0, 0.0
        self.original_rate_hz, self.channels, self.channels_differ = 0, 0, False
        try:
            with self.opened() as file:
                if not size_of(file):
                    raise AudioError("empty", "the file is empty (0 bytes)")
                suffix = self.source.suffix.lower() if isinstance(self.source, Path) else ""
                joined = Joined(file, self.track, suffix)
                yield from self._mono(self._timed(joined))
                self.damage, self.omitted = joined.damage, joined.omitted
        except AudioError as error:
            raise AudioError(error.code, f"{self.name}: {error.message}") from error
        except OSError as error:  # it cannot be opened, or the disk fails half way
            if not isinstance(self.source, Path):
                raise
            reason = error.strerror or str(error)
            raise AudioError("unreadable", f"{self.name}: cannot be read: {reason}") from error

    def _timed(self, joined: Joined) -> Blocks:
        start = time.perf_counter()
        try:
            for rate_hz, block in joined:
                self.decode_s += time.perf_counter() - start
                self.codec, self.n_tracks = joined.codec, joined.n_tracks
                yield rate_hz, block
                start = time.perf_counter()
        finally:  # of a track that does not decode, too
            self.decode_s += time.perf_counter() - start
            self.n_tracks = joined.n_tracks

    def opened(self) -> AbstractContextManager[BinaryIO]:
        """Open the file; one that was given open is left so.

        Returns
        -------
        context manager of binary file
            Seekable.
        """
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        if not isinstance(self.source, Path):
            return nullcontext(self.source)
        return self.source.open("rb")

    def _check_format(self, rate_hz: int, channels: int) -> None:
        low, high, most = self.limits.min_rate_hz, self.limits.max_rate_hz, self.limits.max_channels
        if not (low <= rate_hz <= high and 1 <= channels <= most):
            raise AudioError(
                "bad_format",
                f"{rate_hz} Hz with {channels} channels; must be "
                f"{low} to {high} Hz and 1 to {most} channels",
            )

    def _mono(self, blocks: Blocks) -> Iterator[tuple[int, Waveform]]:
        """Check format and length of blocks and mix their channels."""
        mixer, longest = Mixer(self.channel), self.limits.max_duration_s
        for rate_hz, block in blocks:
            self._check_format(rate_hz, block.shape[1])
            self.original_rate_hz = self.original_rate_hz or rate_hz
            self.channels = max(self.channels, block.shape[1])
            mono = mixer.mix(block, rate_hz)
            self.duration_s += len(mono) / rate_hz
            if longest is not None and self.duration_s > longest:
                raise AudioError("too_long", f"longer than the {longest:g} s limit")
            yield rate_hz, mono
        self.channels_differ = mixer.differ

    def _resampled(self, blocks: Iterable[tuple[int, Waveform]]) -> Iterator[Waveform]:
        """Resample blocks to 16 kHz; a rate that changes on the way starts afresh."""
        # Of an offset a resampler makes clicks at both ends: it is taken off and put back.
        resampler, resampled_hz, offset = None, SAMPLE_RATE_HZ, np.float32(0)
        for rate_hz, mono in blocks:
            if resampler is not None and rate_hz != resampled_hz:
                yield _rest(resampler) + offset
                resampler = None
            if rate_hz == SAMPLE_RATE_HZ:
                yield mono
                continue
            if resampler is None:
                resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
                resampled_hz, offset = rate_hz, mono.mean(dtype=np.float32)
            start = time.perf_counter()
            resampled = resampler.resample_chunk(mono - offset) + offset
            self.resample_s += time.perf_counter() - start
            yield resampled
        if resampler is not None:
            yield _rest(resampler) + offset


def _rest(resampler: soxr.ResampleStream) -> Waveform:
    """Return what a resampler still holds."""
    return resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def decode(source: Source, *, limits: Limits = Limits(), whole: bool = True) -> Waveform:
    """Decode one recording.

    Parameters
    ----------
    source : Path, bytes or binary file
        The file's name, its content, or the file itself, which is left open.
    limits : Limits
        Limits that the recording must keep to.
    whole : bool
        Raise for a file that breaks off; if False, return what could be decoded of it.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Mono, 16 kHz, full scale 1, not empty.

    Raises
    ------
    AudioError
        What `AudioStream` raises; ``damaged`` for a file that breaks off, if `whole`; ``empty``
        for a file without a sample.

    Examples
    --------
    >>> import soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.full((8_000, 2), 0.25), 8_000, format="WAV")
    >>> waveform = decode(file)  # one second of stereo at 8 kHz
    >>> waveform.shape, waveform.dtype
    ((16000,), dtype('float32'))
    """
    return decode_stream(AudioStream(source, limits), whole=whole)


def decode_stream(stream: AudioStream, *, whole: bool = True) -> Waveform:
    """Decode a stream to its end.

    Parameters
    ----------
    stream : AudioStream
        Read from the start; its attributes then say what was found.
    whole : bool
        As in `decode`.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Mono, 16 kHz, full scale 1, not empty.

    Raises
    ------
    AudioError
        As in `decode`.
    """
    blocks = list(stream)
    if whole and stream.damage:
        raise AudioError("damaged", f"{stream.name}: {stream.damage}")
    waveform = np.concatenate([*blocks, np.zeros(0, dtype=np.float32)])
    if not len(waveform):
        raise AudioError("empty", f"{stream.name}: holds no sample of sound")
    return waveform
