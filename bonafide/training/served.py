"""Scores as served: whole recordings through a bundle's detector, in processes of their own."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from bonafide.bundle import META_MODELS, Bundle, read_bundle
from bonafide.corpora.schema import Corpus
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.process.pool import Progress, map_parallel, silent
from bonafide.scoring import usable
from bonafide.training.extraction import training_windows
from bonafide.types import AnyFloats, Floats

SHARD_ROWS = 16


@dataclass(frozen=True)
class _Shard:
    bundle: Path
    middle: bool
    paths: tuple[Path, ...]
    width: int


@cache
def _detector(folder: Path) -> Detector:
    return Detector(read_bundle(folder))


def _score_shard(shard: _Shard) -> Floats:
    detector = _detector(shard.bundle)
    score = _middle if shard.middle else _whole
    rows = _nothing(shard)
    for number, path in enumerate(shard.paths):
        try:
            rows[number] = score(detector, path)
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
    paths = [corpus.audio_path(row) for row in corpus]
    shards = [
        _Shard(bundle.folder, middle, tuple(paths[start : start + SHARD_ROWS]), width)
        for start in range(0, len(paths), SHARD_ROWS)
    ]
    scores, done = np.empty((len(paths), width)), 0
    for number, rows in map_parallel(_score_shard, shards, crashed=_nothing):
        scores[number * SHARD_ROWS :][: len(rows)] = rows
        done += len(rows)
        progress(done, len(paths))
    return scores[:, 0], scores[:, 1 : -len(META_MODELS)], scores[:, -len(META_MODELS) :]
