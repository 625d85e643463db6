"""A recording reduced to what is drawn of it, for the page and for reports."""

import io
import sys
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bonafide.audio import AudioStream, Waveform
from bonafide.errors import AudioError, BonafideError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.process.confine import ConfinedError, confine, run_confined

MAX_COLUMNS = 1000
ROWS = 128
FRAME_SAMPLES = 2 * ROWS
RANGE_DB = 70.0
MAX_DRAWN_S = 600.0
LIMIT_S = 20.0
MEMORY_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Drawing:
    """What is drawn of a recording.

    Parameters
    ----------
    low : ndarray of float32, shape (n_columns,)
        The envelope: the smallest sample of each column.
    high : ndarray of float32, shape (n_columns,)
        The largest sample of each column.
    level : ndarray of uint8, shape (128, n_columns)
        Power from 70 dB below the loudest point (0) to it (255); row 0 is the highest frequency.
    drawn_s : float
        Seconds of sound that the columns stand for; the first ten minutes at most.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    level: NDArray[np.uint8]
    drawn_s: float


class DrawingError(BonafideError):
    """A recording that cannot be drawn."""


def reduce(waveform: Waveform) -> Drawing:
    """Reduce a waveform to columns.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
        Mono at 16 kHz, not empty.

    Returns
    -------
    Drawing
    """
    n_columns = max(1, min(MAX_COLUMNS, 2 * len(waveform) // FRAME_SAMPLES))
    edges = np.linspace(0, len(waveform), n_columns + 1).astype(int)
    # An offset is no sound, and the window would spread it over what is.
    padded = np.pad(waveform - waveform.mean(dtype=np.float64), (0, FRAME_SAMPLES))
    window = np.hanning(FRAME_SAMPLES).astype(np.float32)
    power = np.empty((n_columns, ROWS), np.float32)
    for column, (start, end) in enumerate(pairwise(edges)):
        frames = sliding_window_view(padded[start : end + FRAME_SAMPLES - 1], FRAME_SAMPLES)
        spectrum = np.abs(np.fft.rfft(frames[::ROWS] * window, axis=1)) ** 2  # (n_frames, 129)
        power[column] = spectrum[:, 1:].mean(axis=0)
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-12), 1e-12))
    level = np.clip(1 + decibels / RANGE_DB, 0, 1) * 255
    return Drawing(
        low=np.minimum.reduceat(waveform, edges[:-1]),
        high=np.maximum.reduceat(waveform, edges[:-1]),
        level=np.flipud(level.T).astype(np.uint8),
        drawn_s=len(waveform) / SAMPLE_RATE_HZ,
    )


def first_minutes(
    source: Path | bytes | AudioStream, track: int | None = None, channel: int | None = None
) -> Waveform:
    """Decode the first ten minutes.

    Parameters
    ----------
    source : Path, bytes or AudioStream
        An audio or video file, its content, or a stream of it.
    track, channel : int or None
        As in `bonafide.audio.AudioStream`, from 0.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Mono at 16 kHz, not empty.

    Raises
    ------
    AudioError
        What `bonafide.audio.AudioStream` raises, and ``empty`` where no sound comes out.
    """
    blocks, seen = [], 0
    stream = source if isinstance(source, AudioStream) else AudioStream(source)
    for block in replace(stream, track=track, channel=channel):
        blocks.append(block)
        seen += len(block)
        if seen >= MAX_DRAWN_S * SAMPLE_RATE_HZ:
            break
    if not seen:
        raise AudioError("empty", f"{stream.name}: holds no sound")
    return np.concatenate(blocks)[: round(MAX_DRAWN_S * SAMPLE_RATE_HZ)]


def draw(content: bytes, track: int | None = None, channel: int | None = None) -> Drawing:
    """Reduce a recording in a separate process, bounded in time and memory.

    Decoders read files that strangers made: a crash or a hang in one must not reach a service.

    Parameters
    ----------
    content : bytes
        An audio or video file.
    track, channel : int or None
        As in `first_minutes`.

    Returns
    -------
    Drawing

    Raises
    ------
    DrawingError
        ``not_drawn`` if that process fails or takes longer than the `LIMIT_S` limit.
    """
    try:
        chosen = ["" if number is None else str(number) for number in (track, channel)]
        drawn = run_confined("bonafide.drawing", content, *chosen, limit_s=LIMIT_S)
    except ConfinedError as error:
        raise DrawingError("not_drawn", "the recording cannot be drawn") from error
    with np.load(io.BytesIO(drawn), allow_pickle=False) as arrays:
        return Drawing(arrays["low"], arrays["high"], arrays["level"], float(arrays["drawn_s"]))


def main() -> None:
    """Read a recording from standard input and write its drawing to standard output.

    Arguments are track and channel, from 0; empty for none chosen.
    """
    track, channel = (int(word) if word else None for word in sys.argv[1:])
    confine(MEMORY_BYTES)
    content = sys.stdin.buffer.read()
    arrays = io.BytesIO()
    np.savez(arrays, **asdict(reduce(first_minutes(content, track, channel))))
    sys.stdout.buffer.write(arrays.getvalue())


if __name__ == "__main__":
    main()
