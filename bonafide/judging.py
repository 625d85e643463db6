"""What the scores of a recording's windows add up to: a verdict, with numpy alone."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.audio import MIN_SOUND_S, AudioStream, too_short
from bonafide.bundle import META_MODELS, Bundle
from bonafide.channel import channel_heard, thresholds_on, unlike_all
from bonafide.detection import NO_VERDICT, Caution, ChannelHeard, Judged, Part, Segment, Verdict
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.parts import suspicious_runs
from bonafide.types import Floats, Scores, WindowScores

CLIP = 2.0**-20  # about 1e-6; it and 1 - CLIP are exact in float32 too
UNKNOWN = Caution(
    "unknown_channel",
    "it went through a channel unlike all that the detector knows, so no verdict is given",
)
PARTS_FROM = "parts_from"  # of a bundle's thresholds: in nats, see `bonafide.parts.runs`


def p_spoof_of(llr: NDArray[np.floating[Any]] | float, prior_spoof: float) -> Any:
    """Convert log-likelihood ratios to probabilities of spoof at a prior (Bayes' rule).

    Parameters
    ----------
    llr : ndarray of float or float
        In nats, higher for bona fide.
    prior_spoof : float
        Prior of spoof, above 0 and below 1.

    Returns
    -------
    ndarray of float64 or float64
        In [0, 1], of the shape of `llr`.

    Examples
    --------
    >>> p_spoof_of(np.array([-2.0, 0.0, 2.0]), 0.5).round(3)
    array([0.881, 0.5  , 0.119])
    """
    log_odds = math.log(prior_spoof / (1 - prior_spoof)) - np.asarray(llr, dtype=np.float64)
    return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))


def log_odds(p: NDArray[np.floating[Any]]) -> Floats:
    """Return the log odds of probabilities, clipped to [`CLIP`, 1 - `CLIP`].

    Parameters
    ----------
    p : ndarray of float
        In [0, 1], of any shape.

    Returns
    -------
    ndarray of float64
        Of the same shape.

    Examples
    --------
    >>> log_odds(np.array([0.5, 1.0])).round(1).tolist()
    [0.0, 13.9]
    """
    clipped = np.clip(np.asarray(p, dtype=np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def calibrated(p_spoof: NDArray[np.floating[Any]], slope: float, intercept: float) -> Floats:
    """Return what a meta-model's scores are worth as evidence, by the line that was fitted to them.

    Parameters
    ----------
    p_spoof : ndarray of float
        Of the chosen meta-model, in [0, 1], of any shape.
    slope, intercept : float
        Of the line, as a manifest's ``calibration`` has them.

    Returns
    -------
    ndarray of float64
        llr in nats, higher for bona fide, of the same shape.

    Examples
    --------
    >>> calibrated(np.array([0.5, 0.9]), 1.0, 0.0).round(2).tolist()
    [-0.0, -2.2]
    """
    return -(slope * log_odds(p_spoof) + intercept)


def llr_at(p_spoof: float, prior_spoof: float) -> float:
    """Return the llr at which a probability of spoof is reached: the inverse of `p_spoof_of`.

    Parameters
    ----------
    p_spoof : float
        In [0, 1].
    prior_spoof : float
        Above 0 and below 1.

    Returns
    -------
    float
        In nats, higher for bona fide; of a certain p_spoof infinite.

    Examples
    --------
    >>> round(llr_at(0.85, 0.5), 3)
    -1.735
    """
    if not 0 < p_spoof < 1:
        return -math.inf if p_spoof >= 1 else math.inf
    return math.log(prior_spoof / (1 - prior_spoof)) - math.log(p_spoof / (1 - p_spoof))


def verdict_of(p_spoof: float, thresholds: Mapping[str, float | None]) -> Verdict:
    """Decide by two thresholds, between which a recording is inconclusive.

    Parameters
    ----------
    p_spoof : float
        In [0, 1].
    thresholds : mapping of str to float or None
        ``bonafide_to`` and ``spoof_from``, both inclusive; None: that verdict is never given.

    Returns
    -------
    {"bonafide", "spoof", "inconclusive"}

    Examples
    --------
    >>> [verdict_of(p, {"bonafide_to": 0.4, "spoof_from": 0.6}) for p in (0.1, 0.5, 0.6)]
    ['bonafide', 'inconclusive', 'spoof']
    """
    bonafide_to, spoof_from = thresholds["bonafide_to"], thresholds["spoof_from"]
    if spoof_from is not None and p_spoof >= spoof_from:
        return "spoof"
    return "bonafide" if bonafide_to is not None and p_spoof <= bonafide_to else "inconclusive"


class Judge:
    """Judges recordings by the scores of their windows.

    Parameters
    ----------
    bundle : Bundle
        Whose thresholds and channels hold.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._prior = float(bundle.manifest["prior_spoof"])
        self._thresholds = bundle.manifest["thresholds"]

    def judged(
        self, starts: list[int], scores: WindowScores, n_samples: int, cautions: list[Caution]
    ) -> Judged:
        """Return what the scores of all windows add up to.

        The verdict is that of the mean llr of the windows by the thresholds of their channel, or
        partly_spoof where that is no spoof and parts of the recording sound generated.

        Parameters
        ----------
        starts : list of int
            First sample of each window, in order.
        scores : WindowScores
            Of these windows.
        n_samples : int
            Of the whole recording, at 16 kHz.
        cautions : list of Caution
            What to bear in mind; some leave no verdict.

        Returns
        -------
        Judged
        """
        llrs = scores.llr.astype(np.float64)
        llr = float(llrs.mean()) if starts else 0.0
        p_spoof = float(p_spoof_of(llr, self._prior))
        segments = self._segments(starts, llrs, n_samples)
        channel = channel_heard(self._bundle, scores)
        verdict: Verdict = "inconclusive"
        parts: tuple[Part, ...] = ()
        if any(caution.code in NO_VERDICT for caution in cautions):
            pass
        elif unlike_all(self._thresholds, scores):
            cautions = [*cautions, UNKNOWN]
        else:
            verdict, parts = self._decide(p_spoof, llrs, segments, channel)
        return Judged(
            verdict=verdict,
            llr=llr,
            p_spoof=p_spoof,
            duration_s=n_samples / SAMPLE_RATE_HZ,
            segments=segments,
            models=_means(self._bundle.models, scores.models),
            stack=_means(META_MODELS, scores.stack),
            channel=channel,
            parts=parts,
            warnings=tuple(cautions),
        )

    def _decide(
        self,
        p_spoof: float,
        llrs: Floats,
        segments: tuple[Segment, ...],
        channel: ChannelHeard | None,
    ) -> tuple[Verdict, tuple[Part, ...]]:
        """Return verdict and parts, by the thresholds of the channel."""
        thresholds = thresholds_on(self._thresholds, channel)
        verdict = verdict_of(p_spoof, thresholds)
        parts = self._parts(llrs, segments, thresholds) if verdict != "spoof" else ()
        return "partly_spoof" if parts else verdict, parts

    def _segments(self, starts: list[int], llrs: Floats, n_samples: int) -> tuple[Segment, ...]:
        size = self._bundle.spec.window_samples
        return tuple(
            Segment(
                start / SAMPLE_RATE_HZ,
                min(start + size, n_samples) / SAMPLE_RATE_HZ,
                float(llr),
                float(p_spoof_of(llr, self._prior)),
            )
            for start, llr in zip(starts, llrs, strict=True)
        )

    def _parts(
        self,
        llrs: Floats,
        segments: tuple[Segment, ...],
        thresholds: Mapping[str, float | None],
    ) -> tuple[Part, ...]:
        """Return the parts that sound generated; none where no bar or no verdict is for them."""
        spoof_from, parts_from = thresholds["spoof_from"], thresholds.get(PARTS_FROM)
        if spoof_from is None or parts_from is None:
            return ()
        spoof_llr = llr_at(spoof_from, self._prior)
        return tuple(
            Part(
                segments[first].start_s,
                segments[end - 1].end_s,
                float(p_spoof_of(llrs[first:end].mean(), self._prior)),
            )
            for first, end in suspicious_runs(llrs, spoof_llr, parts_from)
        )


def cautions_of(
    scored: int, silent: int, n_samples: int, stream: AudioStream | None = None
) -> list[Caution]:
    """Return what to caution of in a recording.

    Parameters
    ----------
    scored, silent : int
        How many of its windows were scored, and how many hold no speech-like sound.
    n_samples : int
        Of the whole recording, at 16 kHz.
    stream : AudioStream or None
        The file, read to its end; None for a waveform.

    Returns
    -------
    list of Caution
    """
    cautions = []
    if stream and stream.damage:
        cautions.append(Caution("damaged", stream.damage))
    if stream and stream.omitted:
        cautions.append(Caution("not_all_judged", stream.omitted))
    if silent and scored:
        of = f"{silent} of {silent + scored}"
        message = f"stretches without speech-like sound, which were left out: {of}"
        cautions.append(Caution("silent_windows", message))
    if not scored:
        message = "nothing in it sounds like speech, so nothing was scored"
        cautions.append(Caution("no_speech", message))
    elif too_short(n_samples):
        duration_s = n_samples / SAMPLE_RATE_HZ
        message = f"{duration_s:.2f} s of sound; a verdict needs {MIN_SOUND_S:g} s"
        cautions.append(Caution("too_short", message))
    return cautions


def joined(scored: list[WindowScores]) -> WindowScores:
    """Return the scores of batches as those of all their windows.

    Parameters
    ----------
    scored : list of WindowScores
        In order.

    Returns
    -------
    WindowScores
        Of no windows where there are no batches.
    """
    if not scored:
        nothing = np.empty(0, np.float32)
        return WindowScores(nothing, nothing, nothing)
    columns = (column for column in zip(*scored, strict=True) if column[0] is not None)
    return WindowScores(*(np.concatenate(column) for column in columns))


def _means(names: tuple[str, ...], scores: Scores) -> dict[str, float | None]:
    """Return the mean of each column over the windows in which it has a number."""
    if not len(scores):
        return dict.fromkeys(names)
    asked = ~np.isnan(scores)
    return {
        name: float(scores[asked[:, column], column].mean()) if asked[:, column].any() else None
        for column, name in enumerate(names)
    }
