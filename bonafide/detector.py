"""The detector: a recording in, a verdict out, with numpy and onnxruntime alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np

from bonafide.audio import (
    AudioStream,
    Waveform,
    has_speech,
    tile,
    too_short,
)
from bonafide.bundle import META_MODELS, Bundle
from bonafide.detection import BundleIdentity, Detection, Judged, Track
from bonafide.errors import AudioError, BundleError
from bonafide.home import home, shipped_folder
from bonafide.judging import Judge, cautions_of, joined
from bonafide.registry import find_bundle
from bonafide.registry.trust import load_bundle
from bonafide.tracks import judge_tracks
from bonafide.types import WindowScores

BATCH_WINDOWS = 16


def windows(blocks: Iterable[Waveform], size: int) -> Iterator[tuple[int, Waveform]]:
    """Cut a recording into windows, holding no more than one block and two windows of it.

    Windows follow each other without overlap. A remainder of at least a second gets a window that
    ends with the recording and so overlaps the one before; a shorter one is dropped. A recording
    shorter than a window is tiled.

    Parameters
    ----------
    blocks : iterable of ndarray of float32
        The recording, in order.
    size : int
        Samples of a window.

    Yields
    ------
    tuple of int and ndarray of float32, shape (size,)
        Position of the first sample, from 0, and the window.

    Examples
    --------
    >>> ten_seconds = [np.zeros(160_000, np.float32)]
    >>> [start for start, _ in windows(ten_seconds, 64_000)]
    [0, 64000, 96000]
    """
    start, held, last = 0, np.zeros(0, np.float32), np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= size:
            last, held = held[:size], held[size:]
            yield start, last
            start += size
    if not len(last) and len(held):
        yield 0, tile(held, size)
    elif len(last) and not too_short(len(held)):
        yield start + len(held) - size, np.concatenate([last, held])[-size:]


def as_stream(source: Path | bytes | AudioStream) -> AudioStream:
    """Return a stream unchanged, and a file or its content as a stream without limits."""
    return source if isinstance(source, AudioStream) else AudioStream(source)


class Detector:
    """Scores recordings with one bundle.

    Parameters
    ----------
    bundle : Path, Bundle or None
        A folder (its hashes and, where keys are trusted, its signature are verified) or a bundle
        already read; None takes the one in
        production, or else the ``default`` that ships with the package.

    Raises
    ------
    BundleError
        As in `bonafide.registry.trust.load_bundle` and `bonafide.registry.find_bundle`;
        ``bad_graph`` if the graph's outputs are not those that the manifest names.

    Examples
    --------
    >>> detection = Detector().score(np.zeros(16_000, np.float32))  # a second of silence
    >>> detection.verdict, [caution.code for caution in detection.warnings]
    ('inconclusive', ['no_speech'])
    """

    def __init__(self, bundle: Path | Bundle | None = None) -> None:
        from bonafide.runtime import Graph  # imports onnxruntime, which not every process needs

        if not isinstance(bundle, Bundle):
            bundle = load_bundle(bundle) if bundle else find_bundle(home())
        self.bundle = bundle
        self._graph = Graph(self.bundle.graph_path("detector"))
        self._require_outputs()
        self._judge = Judge(self.bundle)

    @classmethod
    def shipped(cls, name: str = "default") -> Self:
        """Return a detector with a bundle that ships with the package, whatever is in production.

        Parameters
        ----------
        name : {"default", "fast"}
            ``fast`` does without a speech encoder.

        Returns
        -------
        Detector

        Raises
        ------
        BundleError
            ``no_bundle`` for another name.

        Examples
        --------
        >>> Detector.shipped("fast").bundle.identity["name"]
        'fast'
        """
        return cls(shipped_folder(name))

    def _require_outputs(self) -> None:
        allowed = {"llr": (), "models": (len(self.bundle.models),), "stack": (len(META_MODELS),)}
        if channels := self.bundle.channels:
            allowed |= {"channel": (len(channels),), "distance": ()}
        for name, width in allowed.items():
            seen = self._graph.shapes.get(name)
            if seen is None or seen[1:] != width:
                raise BundleError(
                    "bad_graph",
                    f"{self.bundle.graph_path('detector')}: output {name} has shape {seen}; must "
                    f"be {('batch', *width)}, as the manifest names {len(self.bundle.models)} base "
                    "models",
                )

    def score_windows(self, waveforms: Waveform) -> WindowScores:
        """Score windows.

        Parameters
        ----------
        waveforms : ndarray of float32, shape (n, window_samples)
            16 kHz, any level.

        Returns
        -------
        WindowScores
        """
        scores = self._graph({"waveform": waveforms})
        of_channel = ("channel", "distance") if self.bundle.channels else ()
        return WindowScores(*(scores[name] for name in ("llr", "models", "stack", *of_channel)))

    def score(self, source: Waveform | Path | bytes | AudioStream) -> Detection:
        """Score one recording of any length, in memory that does not grow with it.

        The verdict is that of the mean llr of its segments by the thresholds of its channel, or
        partly_spoof where that is no spoof and parts of the recording sound generated. Every audio
        track is scored, and every channel where they differ (`bonafide.tracks.judge_tracks`); the
        most suspicious speaks for the file.

        Parameters
        ----------
        source : ndarray of float32, Path, bytes or AudioStream
            A mono waveform at 16 kHz, a file, a file's content, or either with limits.

        Returns
        -------
        Detection

        Raises
        ------
        AudioError
            As in `AudioStream`; ``empty`` for a recording without a sample.
        """
        tracks: tuple[Track, ...] = ()
        if isinstance(source, np.ndarray):
            judged = self._score_one([np.asarray(source, dtype=np.float32)])
        else:
            judged, tracks = judge_tracks(as_stream(source), self._score_one)
        bundle = BundleIdentity(**self.bundle.identity)
        return Detection(**judged.entries(), tracks=tracks, bundle=bundle)

    def _score_one(self, sound: AudioStream | list[Waveform]) -> Judged:
        """Score one track of a file, or a waveform."""
        seen = 0

        def counted() -> Iterator[Waveform]:
            nonlocal seen
            for block in sound:
                seen += len(block)
                yield block

        starts, scores, silent = self._score_blocks(counted())
        stream = sound if isinstance(sound, AudioStream) else None
        if not seen:
            raise AudioError("empty", f"{stream.name if stream else 'waveform'}: holds no sound")
        cautions = cautions_of(len(starts), silent, seen, stream)
        return self._judge.judged(starts, scores, seen, cautions)

    def _score_blocks(self, blocks: Iterator[Waveform]) -> tuple[list[int], WindowScores, int]:
        """Score the windows that hold sound; return first samples, scores and how many do not."""
        size = self.bundle.spec.window_samples
        starts: list[int] = []
        batch: list[Waveform] = []
        scored: list[WindowScores] = []
        silent = 0
        for start, waveform in windows(blocks, size):
            if not has_speech(waveform):
                silent += 1
                continue
            starts.append(start)
            batch.append(waveform)
            if len(batch) == BATCH_WINDOWS:
                scored.append(self.score_windows(np.stack(batch)))
                batch.clear()
        if batch:
            scored.append(self.score_windows(np.stack(batch)))
        return starts, joined(scored), silent
