"""A recording that still goes on: judged while it comes, as its file would be up to that moment.

A window slides over the sound and is scored at every hop. Some of these windows are those that the
file of all that was heard would be cut into (`bonafide.detector.windows`), so what is said at a
moment is what `bonafide.Detector` says of that file, and the end of a stream is no surprise.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bonafide.audio import Waveform, has_speech, tile, too_short
from bonafide.bundle import Bundle
from bonafide.detection import (
    BundleIdentity,
    Caution,
    ChannelHeard,
    Decision,
    Detection,
    Part,
    Segment,
    Verdict,
)
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.judging import Judge, cautions_of, joined, p_spoof_of
from bonafide.sequential import WINDOWS, decision_of
from bonafide.types import WindowScores

HOP_S = 0.5
HOP_SAMPLES = round(HOP_S * SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class Hop:
    """A window that is to be scored.

    Parameters
    ----------
    start, end : int
        First sample, and sample after the last, of what it holds.
    waveform : ndarray of float32, shape (window_samples,)
        Tiled while less has been heard than a window.
    """

    start: int
    end: int
    waveform: Waveform

    @cached_property
    def speaks(self) -> bool:
        """Whether it holds sound like speech; without, it is not scored."""
        return has_speech(self.waveform)


@dataclass(frozen=True)
class Moment:
    """What a recording is judged to be by all that was heard of it so far.

    Parameters
    ----------
    at_s : float
        Seconds heard.
    window : Segment or None
        The window that ends here, by itself; None where it holds nothing like speech.
    verdict, llr, p_spoof, channel, parts, warnings, bundle
        As in `bonafide.detection.Detection`, of what was heard so far.
    decision : Decision or None
        What was decided, now or before (`bonafide.sequential`); None while it is open.
    """

    at_s: float = field(metadata={"ge": 0})
    window: Segment | None
    verdict: Verdict
    llr: float
    p_spoof: float
    channel: ChannelHeard | None
    parts: tuple[Part, ...]
    warnings: tuple[Caution, ...]
    bundle: BundleIdentity
    decision: Decision | None


class Live:
    """A recording while it goes on.

    Whoever feeds it scores the windows that it names, in their order, in this process or another.

    Parameters
    ----------
    bundle : Bundle
        What the windows are scored with.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._judge, self._size = Judge(bundle), bundle.spec.window_samples
        self._prior = float(bundle.manifest["prior_spoof"])
        # A window before what is not judged yet, and that.
        self._held, self._first = np.zeros(0, np.float32), 0
        self._heard = self._judged = 0  # samples
        self._starts: list[int] = []
        self._scored: list[WindowScores] = []
        self._silent = 0
        self._decision: Decision | None = None

    @property
    def heard_s(self) -> float:
        """Seconds heard so far."""
        return self._heard / SAMPLE_RATE_HZ

    @property
    def judged_s(self) -> float:
        """Seconds that were judged so far: where `resumed` goes on."""
        return self._judged / SAMPLE_RATE_HZ

    def feed(self, sound: Waveform) -> list[Hop]:
        """Take the next sound.

        Parameters
        ----------
        sound : ndarray of float32, shape (n,)
            Mono, 16 kHz, full scale 1.

        Returns
        -------
        list of Hop
            What became due, in order: one every `HOP_S`. Each goes to `judged`.
        """
        self._held = np.concatenate([self._held, sound])
        before, self._heard = self._heard, self._heard + len(sound)
        due = range(before // HOP_SAMPLES + 1, self._heard // HOP_SAMPLES + 1)
        return [self._hop(number * HOP_SAMPLES) for number in due]

    def _hop(self, end: int) -> Hop:
        start = max(0, end - self._size)
        sound = self._held[start - self._first : end - self._first]
        return Hop(start, end, tile(sound, self._size))

    def rest(self) -> Hop | None:
        """Return the window that a recording which ends here is judged by besides.

        Returns
        -------
        Hop or None
            None where those that are kept are all.

        Raises
        ------
        AudioError
            ``empty`` if nothing was heard.
        """
        if not self._heard:
            raise AudioError("empty", "the stream holds no sound")
        hop = self._hop(self._heard)
        return hop if self._counts(hop) and not self._is_kept(hop) else None

    def judged(self, hop: Hop, scores: WindowScores | None) -> Moment:
        """Return what all that was heard up to a hop adds up to.

        Parameters
        ----------
        hop : Hop
            What `feed` returned, in order.
        scores : WindowScores or None
            Of its one window; None if it does not speak.

        Returns
        -------
        Moment
        """
        found = self._detection(hop, scores if self._counts(hop) else None)
        if self._is_kept(hop):
            self._keep(hop, scores)
        self._judged = hop.end
        self._forget(max(0, hop.end - self._size))
        llr = None if scores is None else float(scores.llr[0])
        return Moment(
            at_s=hop.end / SAMPLE_RATE_HZ,
            window=None if llr is None else self._segment(hop, llr),
            decision=self._decision,
            **{name: getattr(found, name) for name in _SHARED},
        )

    def ended(self, hop: Hop | None, scores: WindowScores | None) -> Detection:
        """Return the result of a recording that ends here.

        Parameters
        ----------
        hop : Hop or None
            What `rest` returned.
        scores : WindowScores or None
            Of its window; None if it does not speak, or there is none.

        Returns
        -------
        Detection
        """
        return self._detection(hop, scores)

    def _detection(self, hop: Hop | None, scores: WindowScores | None) -> Detection:
        """Return the result of what was heard, of which this window is the newest that counts."""
        starts, scored, silent = list(self._starts), list(self._scored), self._silent
        if hop is not None and scores is not None:
            starts.append(hop.start)
            scored.append(scores)
        elif hop is not None and self._counts(hop):
            silent += 1
        n_samples = hop.end if hop else self._heard
        cautions = cautions_of(len(starts), silent, n_samples)
        judged = self._judge.judged(starts, joined(scored), n_samples, cautions)
        return Detection(**judged.entries(), tracks=(), bundle=self._identity)

    @property
    def _identity(self) -> BundleIdentity:
        return BundleIdentity(**self.bundle.identity)

    def _segment(self, hop: Hop, llr: float) -> Segment:
        start_s, end_s = hop.start / SAMPLE_RATE_HZ, hop.end / SAMPLE_RATE_HZ
        return Segment(start_s, end_s, llr, float(p_spoof_of(llr, self._prior)))

    def _forget(self, first: int) -> None:
        """Let go of the samples before one."""
        self._held, self._first = self._held[first - self._first :], first

    def _is_kept(self, hop: Hop) -> bool:
        """Return whether a recording that goes on has this window."""
        return hop.end % self._size == 0

    def _counts(self, hop: Hop) -> bool:
        """Return whether a recording that ended with this window would have it."""
        rest = hop.end % self._size
        return hop.end < self._size or not rest or not too_short(rest)

    def _keep(self, hop: Hop, scores: WindowScores | None) -> None:
        if scores is None:
            self._silent += 1
        else:
            self._starts.append(hop.start)
            self._scored = [joined([*self._scored, scores])]
            self._decide(len(self._starts))

    def _decide(self, n_windows: int) -> None:
        """Look at the first windows, unless that was decided before."""
        if self._decision is None and n_windows <= WINDOWS:
            columns = self._scored[0]._asdict().items()
            some = {name: each[:n_windows] for name, each in columns if each is not None}
            at_s = (self._starts[n_windows - 1] + self._size) / SAMPLE_RATE_HZ
            self._decision = decision_of(self.bundle, WindowScores(**some), at_s)

    # --- what outlives a connection ---------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what was judged as arrays, for `resumed`; what came after that comes again.

        Returns
        -------
        dict of str to ndarray
            The newest sound, at most a window of it, and the scores.
        """
        scores = joined(self._scored)._asdict()
        known = {f"scores_{name}": each for name, each in scores.items() if each is not None}
        numbers = np.array([self._judged, self._silent, *self._starts], np.int64)
        held = self._held[: self._judged - self._first]
        return {"held": held[-self._size :], "numbers": numbers, **known}

    @classmethod
    def resumed(cls, bundle: Bundle, state: Any) -> "Live":
        """Return a recording as `state` had it.

        Parameters
        ----------
        bundle : Bundle
            The same.
        state : mapping of str to ndarray
            As `state` returns it.

        Returns
        -------
        Live
        """
        live = cls(bundle)
        live._judged, live._silent, *live._starts = state["numbers"].tolist()
        live._held, live._heard = state["held"], live._judged
        live._first = live._judged - len(live._held)
        names = [name for name in WindowScores._fields if f"scores_{name}" in state]
        if live._starts:
            live._scored = [WindowScores(**{name: state[f"scores_{name}"] for name in names})]
        for n in range(1, len(live._starts) + 1):
            live._decide(n)
        return live


_SHARED = ("verdict", "llr", "p_spoof", "channel", "parts", "warnings", "bundle")


def listen(detector: Detector, sound: Iterable[Waveform]) -> Iterable[Moment | Detection]:
    """Judge a recording while it comes, in this process.

    Parameters
    ----------
    detector : Detector
        Scores.
    sound : iterable of ndarray of float32
        Mono, 16 kHz, full scale 1, in blocks of any length.

    Yields
    ------
    Moment
        Every `HOP_S`.
    Detection
        The last: of all that was heard.

    Raises
    ------
    AudioError
        What `sound` raises; ``empty`` if it holds no sample.

    Examples
    --------
    >>> silence = [np.zeros(20_000, np.float32)]
    >>> *moments, end = listen(Detector.shipped("fast"), silence)
    >>> [moment.at_s for moment in moments], end.duration_s, end.verdict
    ([0.5, 1.0], 1.25, 'inconclusive')
    """
    live = Live(detector.bundle)

    def scores_of(hop: Hop | None) -> WindowScores | None:
        spoken = hop is not None and hop.speaks
        return detector.score_windows(hop.waveform[np.newaxis]) if hop and spoken else None

    for block in sound:
        for hop in live.feed(block):
            yield live.judged(hop, scores_of(hop))
    rest = live.rest()
    yield live.ended(rest, scores_of(rest))
