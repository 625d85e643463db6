"""Decode bytes or a file, in any codec, to mono float32 at 16 kHz, in bounded memory.

libsndfile reads what it can (WAV, FLAC, MP3, Ogg, Opus, AIFF ...); FFmpeg, through PyAV, reads the
rest (AAC, WebM, video containers). Both are given an open file and never a name, so that no name is
taken for a URL, a device or an option.
"""

import io
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.types import Mask
from bonafide.types import Waveform as Waveform

Source = Path | bytes | BinaryIO

BLOCK_S = 1.0
MAX_PLANES = 8
MAX_SAMPLE = 1e3  # full scale is 1; float files may exceed it, but not by 60 dB
# Demuxers for self-contained files; playlists and scripts, which name other files, are left out.
FFMPEG_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,asf,flv,aac,ac3,eac3,amr,amrnb,amrwb,"
    "mp3,ogg,wav,w64,caf,aiff,au,flac,gsm,dts,ape,wv,tta,tak,opus"
)
# Containers whose header says how long they are; for others FFmpeg guesses by the bit rate.
FORMATS_WITH_DURATION = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "asf", "flv", "caf")


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

    Iterating yields blocks of shape (n,), float32, mono, 16 kHz, full scale 1, each from about one
    second of the original, and starts over each time.

    Parameters
    ----------
    source : Path, bytes or binary file
        The file's name, its content, or the file itself, which is left open.
    limits : Limits
        Limits that the recording must keep to.

    Attributes
    ----------
    original_rate_hz, channels : int
        Of the file; 0 before the first block.
    codec : str
        Libsndfile's name for the file's container, or FFmpeg's for its codec.
    damage : str
        After iterating: what is wrong with a file that broke off; empty if nothing.
    duration_s : float
        Seconds of sound decoded so far.
    decode_s, resample_s : float
        Seconds that decoding and resampling took so far.

    Raises
    ------
    AudioError
        While iterating: ``unreadable`` (no such file, a folder, no permission), ``empty``,
        ``not_audio``, ``no_sound`` (a video without a sound track), ``bad_format`` (rate or
        channels out of range), ``damaged`` (nothing of it decodes), ``not_finite`` or
        ``too_long``.
    """

    source: Source
    limits: Limits = Limits()
    original_rate_hz: int = field(default=0, init=False)
    channels: int = field(default=0, init=False)
    codec: str = field(default="", init=False)
    damage: str = field(default="", init=False)
    duration_s: float = field(default=0.0, init=False)
    decode_s: float = field(default=0.0, init=False)
    resample_s: float = field(default=0.0, init=False)

    @property
    def name(self) -> str:
        """Return the file's name as messages print it."""
        return str(self.source) if isinstance(self.source, Path) else "the upload"

    def __iter__(self) -> Iterator[Waveform]:
        """Decode the blocks in order, from the start."""
        self.damage, self.duration_s, self.decode_s, self.resample_s = "", 0.0, 0.0, 0.0
        try:
            with self._open() as file:
                if not file.read(1):
                    raise AudioError("empty", f"{self.name}: the file is empty (0 bytes)")
                file.seek(0)
                yield from self._resampled(self._timed(self._decoded(file)))
        except OSError as error:  # it cannot be opened, or the disk fails half way
            if not isinstance(self.source, Path):
                raise
            reason = error.strerror or str(error)
            raise AudioError("unreadable", f"{self.name}: cannot be read: {reason}") from error

    def _timed(self, blocks: Iterator[Waveform]) -> Iterator[Waveform]:
        start = time.perf_counter()
        for block in blocks:
            self.decode_s += time.perf_counter() - start
            yield block
            start = time.perf_counter()
        self.decode_s += time.perf_counter() - start

    def _open(self) -> AbstractContextManager[BinaryIO]:
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        if not isinstance(self.source, Path):
            self.source.seek(0)
            return nullcontext(self.source)
        return self.source.open("rb")

    def _decoded(self, file: BinaryIO) -> Iterator[Waveform]:
        """Choose a decoder; yield mono blocks, shape (n,), at the original rate."""
        try:
            sound = soundfile.SoundFile(file)
        except soundfile.LibsndfileError:
            file.seek(0)
            yield from self._from_ffmpeg(file)
        else:
            with sound:
                yield from self._from_libsndfile(sound)

    def _accept(self, rate_hz: int, channels: int, codec: str) -> None:
        if not (rate_hz and channels):  # FFmpeg guessed a format and found no sound
            raise self._not_audio(ValueError("no sound in it"))
        self._check_format(rate_hz, channels)
        self.original_rate_hz, self.channels, self.codec = rate_hz, channels, codec

    def _check_format(self, rate_hz: int, channels: int) -> None:
        low, high, most = self.limits.min_rate_hz, self.limits.max_rate_hz, self.limits.max_channels
        if not (low <= rate_hz <= high and 1 <= channels <= most):
            raise AudioError(
                "bad_format",
                f"{self.name}: {rate_hz} Hz with {channels} channels; must be "
                f"{low} to {high} Hz and 1 to {most} channels",
            )

    def _mono(self, block: NDArray[np.float32]) -> Waveform:
        """Check samples and mix channels: (n, channels) -> (n,)."""
        if not np.abs(block).max(initial=0.0) <= MAX_SAMPLE:  # false for NaN too
            raise AudioError(
                "not_finite",
                f"{self.name}: holds samples that are not numbers or beyond {MAX_SAMPLE:g} times "
                "full scale",
            )
        return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)

    def _from_libsndfile(self, sound: soundfile.SoundFile) -> Iterator[Waveform]:
        self._accept(sound.samplerate, sound.channels, sound.format.lower())
        if "should be" in sound.extra_info:  # libsndfile's note on a RIFF size beyond the file
            self.damage = "the file is cut short: its header promises more sound than it holds"
        frames = int(BLOCK_S * sound.samplerate)
        promised, seen = sound.frames, 0
        try:
            # Damaged Ogg can seek past its end, where soundfile asks for a negative count.
            while sound.tell() <= promised and len(
                block := sound.read(frames, dtype="float32", always_2d=True)
            ):
                seen += len(block)
                yield self._mono(block)
        except soundfile.LibsndfileError as error:
            self.damage = f"decoding broke off after {seen / sound.samplerate:.2f} s: {error}"
            if not seen:
                raise AudioError("damaged", f"{self.name}: {self.damage}") from error
        else:
            if seen < promised and not self.damage:
                self.damage = f"{promised} samples were promised and {seen} could be decoded"

    def _from_ffmpeg(self, file: BinaryIO) -> Iterator[Waveform]:
        options = {"format_whitelist": FFMPEG_FORMATS, "protocol_whitelist": "none"}
        try:
            with av.open(file, "r", options=options, metadata_errors="replace") as container:
                if not container.streams.audio:
                    raise AudioError("no_sound", f"{self.name}: holds no sound track")
                yield from self._ffmpeg_blocks(container)
                promised_s = (container.duration or 0) / av.time_base
                if container.format.name not in FORMATS_WITH_DURATION:
                    return
                if self.duration_s < promised_s - 0.5:  # encoder delay and padding are shorter
                    self.damage = (
                        f"{promised_s:.2f} s were promised and {self.duration_s:.2f} s could be "
                        "decoded"
                    )
        except av.error.FFmpegError as error:
            if not self.duration_s:
                raise self._not_audio(error) from error
            self.damage = f"decoding broke off after {self.duration_s:.2f} s: {error.strerror}"

    def _ffmpeg_blocks(self, container: av.container.InputContainer) -> Iterator[Waveform]:
        stream = container.streams.audio[0]
        codec = stream.codec_context
        if codec is None:
            raise self._not_audio(ValueError("its codec is not known"))
        rate_hz = codec.sample_rate
        self._accept(rate_hz, codec.channels, codec.name)
        pending: list[Waveform] = []
        for samples in self._one_rate(container.decode(stream), rate_hz):
            pending.append(self._mono(samples))
            if sum(map(len, pending)) >= BLOCK_S * rate_hz:
                yield np.concatenate(pending)
                pending = []
        if pending:
            yield np.concatenate(pending)

    def _one_rate(
        self, frames: Iterator[av.AudioFrame], rate_hz: int
    ) -> Iterator[NDArray[np.float32]]:
        """Convert frames, whose format may change midway, to float32 at one rate: (n, channels)."""
        seen, resampler = None, None
        for frame in frames:
            channels = frame.layout.nb_channels
            kind = (frame.sample_rate, channels, frame.layout.name, frame.format.name)
            if kind != seen:
                self._check_format(frame.sample_rate, channels)
                # The usual case. PyAV reads beyond the eighth plane of planar frames.
                plain = kind[0] == rate_hz and channels <= MAX_PLANES and kind[3] == "fltp"
                resampler = None if plain else av.AudioResampler("flt", frame.layout, rate_hz)
                seen = kind
            if resampler is None:
                yield frame.to_ndarray().T.astype(np.float32, copy=False)
                continue
            for packed in resampler.resample(frame):
                yield _packed(packed)
        if resampler is not None:
            for packed in resampler.resample(None):
                yield _packed(packed)

    def _not_audio(self, error: Exception) -> AudioError:
        reason = getattr(error, "strerror", None) or getattr(error, "error_string", str(error))
        return AudioError(
            "not_audio",
            f"{self.name}: not an audio file that can be decoded ({reason}); WAV, FLAC, MP3, Ogg, "
            "Opus, M4A, WebM, MP4 and similar formats can be",
        )

    def _resampled(self, blocks: Iterator[Waveform]) -> Iterator[Waveform]:
        resampler: soxr.ResampleStream | None = None
        for mono in blocks:
            self.duration_s += len(mono) / self.original_rate_hz
            longest = self.limits.max_duration_s
            if longest is not None and self.duration_s > longest:
                raise AudioError(
                    "too_long",
                    f"{self.name}: longer than the {longest:g} s limit",
                )
            if self.original_rate_hz == SAMPLE_RATE_HZ:
                yield mono
                continue
            if resampler is None:
                resampler = soxr.ResampleStream(
                    self.original_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32"
                )
            start = time.perf_counter()
            resampled = resampler.resample_chunk(mono)
            self.resample_s += time.perf_counter() - start
            yield resampled
        if resampler is not None:
            yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def _packed(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Return a frame of packed float32 as (n, channels)."""
    samples = frame.to_ndarray().astype(np.float32, copy=False)
    return samples.reshape(-1, frame.layout.nb_channels)


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


def tile(waveform: Waveform, n_samples: int) -> Waveform:
    """Repeat a shorter waveform up to a length, or cut a longer one there.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n,)
        Not empty.
    n_samples : int
        Length to return.

    Returns
    -------
    ndarray of float32, shape (n_samples,)

    Examples
    --------
    >>> tile(np.array([1, 2, 3], dtype=np.float32), 7)
    array([1., 2., 3., 1., 2., 3., 1.], dtype=float32)
    """
    return np.resize(waveform, n_samples)


FRAME_SAMPLES = 320  # 20 ms
SPEECH_BAND_HZ = (200.0, 4_000.0)
SPEECH_FLOOR_DBFS = -70.0
SPEECH_SHARE = 3e-3  # of a frame's energy: hum and offsets leak less than this into the band
# Recordings with less get no verdict and are not trained on.
MIN_SOUND_S = 1.0
MIN_SPEECH_S = 0.3


def speech_frames(waveform: Waveform) -> Mask:
    """Return which 20 ms frames have energy in the speech band, 200 to 4000 Hz.

    This is a gate against silence and hum, not a voice activity detector: a frame passes whose
    level in that band is above -70 dBFS and more than 0.3 % of its energy. An offset of the whole
    waveform does not count.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        Mono at 16 kHz.

    Returns
    -------
    ndarray of bool, shape (n_samples // 320,)

    Examples
    --------
    >>> speech_frames(np.zeros(16_000, dtype=np.float32)).sum()
    np.int64(0)
    """
    n_frames = len(waveform) // FRAME_SAMPLES
    frames = waveform[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
    frames = frames - frames.mean() if n_frames else frames
    window = np.hanning(FRAME_SAMPLES).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2  # (n_frames, 161)
    hz = np.fft.rfftfreq(FRAME_SAMPLES, 1 / SAMPLE_RATE_HZ)
    band = (hz >= SPEECH_BAND_HZ[0]) & (hz <= SPEECH_BAND_HZ[1])
    in_band = spectrum[:, band].sum(axis=1)
    # Parseval: twice the one-sided power over window energy and length is the mean square.
    mean_square = 2 * in_band / (FRAME_SAMPLES * np.sum(window**2))
    loud = mean_square > 10 ** (SPEECH_FLOOR_DBFS / 10)
    return np.asarray(loud & (in_band > SPEECH_SHARE * spectrum.sum(axis=1)), dtype=np.bool_)


def speech_seconds(frames: Mask) -> float:
    """Return the total duration of the frames that `speech_frames` marks.

    Parameters
    ----------
    frames : ndarray of bool, shape (n_frames,)
        Frames of 20 ms.

    Returns
    -------
    float
        Seconds, at least 0.

    Examples
    --------
    >>> speech_seconds(np.array([True, False, True]))
    0.04
    """
    return float(np.count_nonzero(frames)) * FRAME_SAMPLES / SAMPLE_RATE_HZ


def too_short(n_samples: int) -> bool:
    """Return whether a recording is shorter than `MIN_SOUND_S`, rounded to hundredths.

    Parameters
    ----------
    n_samples : int
        Length at 16 kHz.

    Returns
    -------
    bool

    Examples
    --------
    >>> too_short(16_000), too_short(15_999), too_short(15_900)
    (False, False, True)
    """
    return round(n_samples / SAMPLE_RATE_HZ, 2) < MIN_SOUND_S
