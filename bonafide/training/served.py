"""Scores as served: whole recordings through a bundle's detector, in processes of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import META_MODELS, Bundle, read_bundle
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.process.pool import Progress, map_parallel, silent
from bonafide.scoring import usable
from bonafide.training.windows import training_windows
from bonafide.types import AnyFloats, Floats

SHARD_ROWS = 16
BONAFIDE, UNDECIDED, SPOOF = 1, 0, -1
_CALLED = {"bonafide": BONAFIDE, "spoof": SPOOF, "partly_spoof": SPOOF}
_Score = Callable[[Detector, Path], Sequence[float | None] | AnyFloats]


@dataclass(frozen=True)
class Answers:
    """What a bundle answers to recordings.

    Parameters
    ----------
    llr : ndarray of float64, shape (n,)
        Natural-log likelihood ratios, higher for bona fide; NaN for a row without a verdict.
    called : ndarray of int8, shape (n,), or None
        The verdict: `BONAFIDE`, `UNDECIDED` or `SPOOF` (with parts that sound generated, too).
        None where only scores are known.
    channel : ndarray of str, shape (n,)
        What each seems to have gone through; ``-`` where that is not known.
    """

    llr: Floats
    called: NDArray[np.int8] | None
    channel: NDArray[np.str_]

    @classmethod
    def of_scores(cls, llr: AnyFloats) -> "Answers":
        """Return answers of which only the scores are known."""
        return cls(np.asarray(llr, np.float64), None, np.full(len(llr), UNKNOWN))

    def take(self, rows: NDArray[np.intp]) -> "Answers":
        """Return the answers to some of the rows."""
        called = None if self.called is None else self.called[rows]
        return Answers(self.llr[rows], called, self.channel[rows])


@dataclass(frozen=True)
class _Shard:
    bundle: Path
    score: _Score
    paths: tuple[Path, ...]
    width: int


@cache
def _detector(folder: Path) -> Detector:
    return Detector(read_bundle(folder))


def _score_shard(shard: _Shard) -> Floats:
    detector = _detector(shard.bundle)
    rows = _nothing(shard)
    for number, path in enumerate(shard.paths):
        try:
            rows[number] = shard.score(detector, path)
        except AudioError:  # no verdict, for whoever asks
            continue
    return rows


def _nothing(shard: _Shard) -> Floats:
    """Return a shard's scores where none of its rows has a verdict."""
    return np.full((len(shard.paths), shard.width), np.nan)


def _whole(detector: Detector, path: Path) -> list[float | None]:
    found = usable(detector.score(path))
    return [found.llr, *found.models.values(), *found.stack.values()]


def _middle(detector: Detector, path: Path) -> AnyFloats:
    scores = detector.score_windows(training_windows([path], detector.bundle.spec))
    return np.concatenate([scores.llr, scores.models[0], scores.stack[0]])


def _answer(detector: Detector, path: Path) -> list[float]:
    found = usable(detector.score(path))
    channels = detector.bundle.channels
    channel = channels.index(found.channel.name) if found.channel else -1
    return [found.llr, _CALLED.get(found.verdict, UNDECIDED), channel]


def _score_all(
    bundle: Bundle, corpus: Corpus, score: _Score, width: int, progress: Progress
) -> Floats:
    """Score rows in processes of their own; NaN for those without a verdict."""
    paths = [corpus.audio_path(row) for row in corpus]
    shards = [
        _Shard(bundle.folder, score, tuple(paths[start : start + SHARD_ROWS]), width)
        for start in range(0, len(paths), SHARD_ROWS)
    ]
    scores, done = np.empty((len(paths), width)), 0
    for number, rows in map_parallel(_score_shard, shards, crashed=_nothing):
        scores[number * SHARD_ROWS :][: len(rows)] = rows
        done += len(rows)
        progress(done, len(paths))
    return scores


def answer_recordings(bundle: Bundle, corpus: Corpus, *, progress: Progress = silent) -> Answers:
    """Return what the service answers to recordings.

    Parameters
    ----------
    bundle : Bundle
        Read again, and verified, by each process.
    corpus : Corpus
        The recordings.
    progress : callable
        Called with (done, total), in rows.

    Returns
    -------
    Answers

    Raises
    ------
    BundleError
        As in `read_bundle` and `Detector`.
    """
    llr, called, channel = _score_all(bundle, corpus, _answer, 3, progress).T
    names = np.array([*bundle.channels, UNKNOWN])
    heard = np.nan_to_num(channel, nan=-1).astype(np.intp)
    return Answers(llr, np.nan_to_num(called).astype(np.int8), names[heard])


def score_recordings(
    bundle: Bundle, corpus: Corpus, *, middle: bool = False, progress: Progress = silent
) -> tuple[Floats, Floats, Floats]:
    """Score recordings as the service does: the mean over all windows that hold speech.

    Parameters
    ----------
    bundle : Bundle
        Read again, and verified, by each process.
    corpus : Corpus
        The recordings.
    middle : bool
        Score the one window that is trained on instead.
    progress : callable
        Called with (done, total), in rows.

    Returns
    -------
    llr : ndarray of float64, shape (n_rows,)
        Natural-log likelihood ratios, higher for bona fide; NaN, here and below, for a row without
        a verdict.
    models : ndarray of float64, shape (n_rows, n_models)
        p_spoof of each base model, in the order of the bundle's `models`.
    stack : ndarray of float64, shape (n_rows, 2)
        p_spoof of each meta-model, in the order of `META_MODELS`.

    Raises
    ------
    BundleError
        As in `read_bundle` and `Detector`.
    """
    width = 1 + len(bundle.models) + len(META_MODELS)
    scores = _score_all(bundle, corpus, _middle if middle else _whole, width, progress)
    return scores[:, 0], scores[:, 1 : -len(META_MODELS)], scores[:, -len(META_MODELS) :]
