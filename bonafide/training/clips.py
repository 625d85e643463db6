"""A user's own clips: what cannot be used set aside, the others scored window by window."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bonafide.audio import Waveform, decode
from bonafide.bundle import Bundle, read_bundle
from bonafide.corpora.schema import LABELS, Corpus
from bonafide.detector import Detector
from bonafide.errors import AudioError, CorpusError
from bonafide.process.pool import Progress, map_parallel, silent
from bonafide.scoring import usable
from bonafide.training.final_layer import ClipScores
from bonafide.training.ingest import LIMITS, ingest
from bonafide.training.recordings import Quarantine, Recordings, Rejected
from bonafide.types import AnyFloats
from bonafide.words import by_reason

MIN_CLIPS, MIN_OF_LABEL = 50, 10


class WindowDetector(Detector):
    """A detector that keeps what it scored of each window."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._kept: list[tuple[AnyFloats, AnyFloats]] = []

    def score_windows(self, waveforms: Waveform) -> Any:
        """Score windows, and keep the llr and the base models' p_spoof."""
        scores = super().score_windows(waveforms)
        self._kept.append((scores[0], scores[1]))
        return scores

    def score_clip(self, waveform: Waveform) -> ClipScores:
        """Score the windows of a waveform that hold speech, as `Detector.score` does.

        Parameters
        ----------
        waveform : ndarray of float32, shape (n_samples,)
            At 16 kHz.

        Returns
        -------
        ClipScores
            Of one clip.

        Raises
        ------
        AudioError
            ``no_speech`` or ``too_short`` for one without a verdict.
        """
        self._kept.clear()
        usable(self.score(waveform))
        llr, models = map(np.concatenate, zip(*self._kept, strict=True))
        return ClipScores.of_windows(llr, models).mean()


@dataclass(frozen=True)
class _Clip:
    bundle: Path
    path: Path

    def failed(self, code: str, message: str) -> AudioError:
        return AudioError(code, f"{self.path}: {message}")


@cache
def _detector(folder: Path) -> WindowDetector:
    return WindowDetector(read_bundle(folder))


def _score(clip: _Clip) -> ClipScores | AudioError:
    try:
        waveform = decode(clip.path, limits=LIMITS)
    except AudioError as error:
        return error
    try:
        return _detector(clip.bundle).score_clip(waveform)
    except AudioError as error:
        return clip.failed(error.code, error.message)


def _crashed(clip: _Clip) -> AudioError:
    return clip.failed("decoder_crashed", "the decoder crashed on it")


def score_clips(
    bundle: Bundle, corpus: Corpus, *, progress: Progress = silent
) -> list[ClipScores | AudioError]:
    """Score clips in processes of their own.

    Parameters
    ----------
    bundle : Bundle
        Read again, and verified, by each process.
    corpus : Corpus
        The clips.
    progress : callable
        Called with (done, total), in clips.

    Returns
    -------
    list of ClipScores or AudioError
        Of each clip: the mean over its windows, or why it has no verdict.

    Raises
    ------
    BundleError
        As in `read_bundle` and `Detector`.
    """
    clips = [_Clip(bundle.folder, corpus.audio_path(row)) for row in corpus]
    found: dict[int, ClipScores | AudioError] = {}
    for number, result in map_parallel(_score, clips, crashed=_crashed):
        found[number] = result
        progress(len(found), len(clips))
    return [found[number] for number in range(len(clips))]


@dataclass(frozen=True)
class Clips:
    """A user's own clips with their scores.

    Parameters
    ----------
    recordings : Recordings
        Those that were scored.
    scores : ClipScores
        Of the same.
    quarantine : Quarantine
        What was set aside, and why.
    """

    recordings: Recordings
    scores: ClipScores
    quarantine: Quarantine


def read_clips(
    bundle: Bundle, corpus: Corpus, *, ingested: Progress = silent, scored: Progress = silent
) -> Clips:
    """Ingest clips as training does, and score them with a bundle.

    Parameters
    ----------
    bundle : Bundle
        Its detector scores them.
    corpus : Corpus
        Labelled rows.
    ingested, scored : callable
        Called with (done, total), in clips.

    Returns
    -------
    Clips

    Raises
    ------
    CorpusError
        As in `bonafide.training.ingest.ingest`; ``too_few_clips`` under `MIN_CLIPS` or
        `MIN_OF_LABEL`.
    BundleError
        As in `score_clips`.
    """
    recordings, quarantine = ingest(corpus, progress=ingested)
    aside = {each.row for each in quarantine.rejected}
    usable_rows = [row for row in range(len(corpus)) if row not in aside]
    results = score_clips(bundle, recordings.corpus, progress=scored)
    files = recordings.file_sha256.tolist() or [""] * len(usable_rows)
    failed = [
        Rejected(row, entry.path, result.code, result.message, entry, file)
        for row, result, file in zip(usable_rows, results, files, strict=True)
        for entry in [corpus.rows[row]]
        if isinstance(result, AudioError)
    ]
    rejected = sorted([*quarantine.rejected, *failed], key=lambda each: each.row)
    scores = [result for result in results if isinstance(result, ClipScores)]
    kept = np.array([isinstance(result, ClipScores) for result in results])
    clips = recordings.take(np.flatnonzero(kept))
    quarantine = replace(quarantine, rejected=rejected)
    _require_enough(clips.corpus, quarantine)
    return Clips(clips, ClipScores.join(scores), quarantine)


def _require_enough(corpus: Corpus, quarantine: Quarantine) -> None:
    labels = corpus.column("label").tolist()
    counts = {label: labels.count(label) for label in LABELS}
    if len(labels) >= MIN_CLIPS and min(counts.values()) >= MIN_OF_LABEL:
        return
    seen = " and ".join(f"{count} {label}" for label, count in counts.items())
    reasons = by_reason(each.code for each in quarantine.rejected)
    aside = f"; set aside: {reasons}" if reasons else ""
    raise CorpusError(
        "too_few_clips",
        f"{corpus.root}: {len(labels)} clips can be used, {seen}; at least {MIN_CLIPS} are needed, "
        f"and {MIN_OF_LABEL} of each label{aside}",
    )
