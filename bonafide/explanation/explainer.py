"""The explainer: a recording in, its verdict and what it rests on out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bonafide.audio import AudioStream
from bonafide.bundle import Bundle, read_bundle
from bonafide.channel import CLEAN
from bonafide.detection import Detection
from bonafide.detector import BATCH_WINDOWS, Detector, as_stream, windows
from bonafide.errors import AudioError, BundleError
from bonafide.explanation.bands import as_bands, band_gains, mean_bands
from bonafide.explanation.families import KnownFamilies
from bonafide.explanation.focus import focus_of, in_words
from bonafide.explanation.opinions import FirstStage, Stage
from bonafide.explanation.seconds import second_shares
from bonafide.explanation.types import (
    Explained,
    ExplainedWindow,
    Explanation,
    NearestFamilies,
    Score,
    Second,
)
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.judging import joined
from bonafide.manifest import TYPICAL
from bonafide.tracks import most_suspicious
from bonafide.types import Floats, Ints, Waveform, WindowScores

MOST_WINDOWS = 8  # that are explained; a long recording has others
NO_AVERAGE = (
    " The bundle does not state what bands add on average, so those stand out, too, that speak for "
    "one side in nearly every recording."
)
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class _Heard:
    """A window to explain: where it begins, its sound, and what answers it."""

    start: int
    waveform: Waveform
    llr: float
    score: Score

    def seconds(self, n_samples: int) -> tuple[Second, ...]:
        return second_shares(self.waveform, self.start, n_samples, self.score)

    def explained(self, n_samples: int, typical: Floats | None) -> ExplainedWindow:
        end = min(self.start + len(self.waveform), n_samples)
        places = (self.start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)
        gains = band_gains(self.waveform, self.score)
        return ExplainedWindow(*places, self.llr, as_bands(gains, typical))


class Explainer:
    """Explains what a detector says.

    Time by the Shapley values of seconds, which are cut out; frequency by what the score loses with
    a band, or all others, made neutral; base models by the Shapley values of their opinions. A
    window is explained by the stage that answered it.

    Parameters
    ----------
    detector : Detector
        Whose answers are explained.

    Raises
    ------
    BundleError
        As `read_bundle` and `bonafide.explanation.opinions.Stage` do; ``altered`` if the folder
        holds another bundle by now.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector, bundle = detector, read_bundle(detector.bundle.folder)
        if bundle.digest() != detector.bundle.digest():
            raise BundleError("altered", f"{bundle.folder}: is no longer the bundle that answers")
        first = [FirstStage(bundle)] if len(bundle.stages) == 2 else []
        self._stages: list[Stage] = [*first, Stage(bundle, -1)]
        self._typical = _typical_of(bundle)
        self._families = KnownFamilies(bundle) if bundle.families else None

    def explain(self, source: Waveform | Path | bytes | AudioStream) -> Explained:
        """Score one recording, and explain the result.

        Parameters
        ----------
        source : ndarray of float32, Path, bytes or AudioStream
            As `Detector.score` takes it.

        Returns
        -------
        Explained

        Raises
        ------
        AudioError
            As in `Detector.score`; ``unreadable`` if the recording changes meanwhile.
        """
        stream = source if isinstance(source, np.ndarray) else as_stream(source)
        detection = self.detector.score(stream)
        explanation = self._explained(detection, self._heard(detection, stream))
        return Explained(
            **detection.entries(),
            tracks=detection.tracks,
            bundle=detection.bundle,
            explanation=explanation,
        )

    def typical_bands(self, windows: Waveform) -> list[list[float]]:
        """Return what each band adds on average, whatever is said.

        Parameters
        ----------
        windows : ndarray of float32, shape (n, window_samples)
            Of recordings of both labels.

        Returns
        -------
        list of list of float
            Averages of both rows of `band_gains`, for the entry `TYPICAL` of the manifest.
        """
        scores = self.detector.score_windows(windows)
        gains = [
            band_gains(window, self._answering(scores, row)) for row, window in enumerate(windows)
        ]
        mean: list[list[float]] = np.mean(gains, axis=0).tolist()
        return mean

    def _heard(
        self, detection: Detection, source: Waveform | AudioStream
    ) -> Iterator[tuple[int, Waveform]]:
        """Yield the windows that were scored, of the track that speaks for the file."""
        if isinstance(source, AudioStream) and detection.tracks:
            track = most_suspicious(detection.tracks)
            number = track.channel_number
            channel = None if number is None else number - 1
            source = replace(source, track=track.track - 1, channel=channel)
        starts = {round(segment.start_s * SAMPLE_RATE_HZ) for segment in detection.segments}
        blocks = [np.asarray(source, np.float32)] if isinstance(source, np.ndarray) else source
        for start, waveform in windows(blocks, self.detector.bundle.spec.window_samples):
            if start in starts:
                yield start, waveform

    def _explained(
        self, detection: Detection, heard: Iterator[tuple[int, Waveform]]
    ) -> Explanation:
        if not detection.segments:
            nothing = dict.fromkeys(self.detector.bundle.models)
            said = in_words(None, 0.0, 0, 0, is_open=False)
            return Explanation(said, None, (), (), nothing, 0.0, ())
        towards = -1.0 if detection.parts or detection.llr < 0 else 1.0
        answered = _answered(detection)
        chosen = _most({row: towards * detection.segments[row].llr for row in answered})
        kept: list[_Heard] = []
        scored: list[WindowScores] = []
        for first, batch in _batches(heard):
            scored.append(scores := self.detector.score_windows(np.stack([w for _, w in batch])))
            kept += [
                _Heard(*batch[row], float(scores.llr[row]), self._answering(scores, row))
                for row in range(len(batch))
                if first + row in chosen
            ]
        whole = joined(scored)
        if len(whole.llr) != len(detection.segments):  # it is read twice
            raise AudioError("unreadable", "the recording changed while it was explained")
        models, base = self._opinions(_taken(whole, np.array(answered)))
        n_samples = round(detection.duration_s * SAMPLE_RATE_HZ)
        seconds = tuple(each for window in kept for each in window.seconds(n_samples))
        explained = tuple(window.explained(n_samples, self._typical) for window in kept)
        bands = mean_bands([window.bands for window in explained])
        focus = focus_of(seconds, bands, towards)
        counts = len(kept), len(detection.segments)
        is_open = detection.verdict == "inconclusive"
        said = in_words(focus, detection.duration_s, *counts, is_open=is_open)
        if self._typical is None:
            said += NO_AVERAGE
        return Explanation(
            *(said, focus, seconds, bands, models, base),
            windows=explained,
            families=self._nearest(detection, kept),
        )

    def _nearest(self, detection: Detection, kept: Sequence[_Heard]) -> NearestFamilies | None:
        """Return what the windows of a deepfake sound like that speak for it."""
        fake = [heard.waveform for heard in kept if heard.llr < 0]
        channel = detection.channel
        if self._families is None or not fake or (channel and channel.name != CLEAN):
            return None
        if detection.verdict not in ("spoof", "partly_spoof"):
            return None
        return self._families.nearest(np.stack(fake))

    def _answering(self, scores: WindowScores, row: int) -> Score:
        """Return what scores a changed window as the stage does that answered it."""
        stage = self._stages[self._answered_by(scores)[row]]
        if isinstance(stage, FirstStage):
            return stage.score_windows
        return lambda changed: self.detector.score_windows(changed).llr.astype(np.float64)

    def _answered_by(self, scores: WindowScores) -> list[int]:
        """Return the stage that answered each window: the last one, where all were asked."""
        missing = np.count_nonzero(np.isnan(scores.models), axis=1)
        return [0 if count else len(self._stages) - 1 for count in missing]

    def _opinions(self, scores: WindowScores) -> tuple[dict[str, float | None], float]:
        """Return what the base models add on average, and what is left without them."""
        names, n = self.detector.bundle.models, len(scores.llr)
        added = {name: np.full(n, np.nan) for name in names}
        base, by = np.zeros(n), np.array(self._answered_by(scores), dtype=int)
        for number, stage in enumerate(self._stages):
            rows = np.flatnonzero(by == number)
            if not len(rows):
                continue
            said, base[rows] = stage.opinions(_taken(scores, rows))
            for name, values in zip(stage.models, said, strict=True):
                added[name][rows] = values
        means = {
            name: None if np.isnan(v).all() else float(np.nansum(v) / n)
            for name, v in added.items()
        }
        return means, float(base.mean())


def _answered(detection: Detection) -> list[int]:
    """Return the segments that the answer rests on: of parts, what sounds generated in them."""
    segments, parts = detection.segments, detection.parts
    inside = [
        row
        for row, segment in enumerate(segments)
        if segment.llr < 0 and any(part.start_s <= segment.start_s < part.end_s for part in parts)
    ]
    return inside or list(range(len(segments)))


def _most(values: Mapping[int, float]) -> set[int]:
    """Return the keys of the highest values; of about equal ones, some from all over."""
    spread = np.arange(len(values)) * GOLDEN % 1  # whose smallest lie far apart, however many
    order = np.lexsort((spread, -np.round(list(values.values()), 2)))
    keys = list(values)
    return {keys[place] for place in order[:MOST_WINDOWS]}


def _taken(scores: WindowScores, rows: Ints) -> WindowScores:
    """Return the scores of some windows."""
    return WindowScores(*(each[rows] for each in scores if each is not None))


def _batches(
    heard: Iterator[tuple[int, Waveform]],
) -> Iterator[tuple[int, list[tuple[int, Waveform]]]]:
    """Yield windows in batches, each with the number of its first."""
    first, batch = 0, list[tuple[int, Waveform]]()
    for window in heard:
        batch.append(window)
        if len(batch) == BATCH_WINDOWS:
            yield first, batch
            first, batch = first + len(batch), []
    if batch:
        yield first, batch


def _typical_of(bundle: Bundle) -> Floats | None:
    """Return what bands add on average, (2, n_bands), by a manifest; None where it does not say."""
    # Up to version 11 of the shipped ones, bundles stated one row, by another measure.
    stated = bundle.manifest.get(TYPICAL, ())
    return np.array(stated, dtype=np.float64) if len(stated) == 2 else None
