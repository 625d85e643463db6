"""Runs of exact digital silence in the midst of sound, and which of them have hard edges."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from bonafide.provenance.codecs import is_lossless
from bonafide.provenance.finding import Finding, finding
from bonafide.provenance.places import named
from bonafide.types import Floats, Waveform

LONGEST_NATURAL_S = 0.05  # shorter runs of zeros are left alone
BESIDE_S = 0.05
# Quiet sound in few bits is zero now and then; so much of it is not.
MAX_ZEROS_BESIDE = 0.25
LOUD = 0.01  # -40 dBFS: runs lie between two samples at least so loud
EDGE_S = 0.003
HARD = 0.25  # of the level beside: a fade leaves less at the edge
AUDIBLE = 10 / 32_768
COARSE = 1 / 8_192  # sound in such steps, as of 8 bits, is zero wherever it is quiet
MAX_RUNS = 10_000  # more are not kept


@dataclass(frozen=True)
class Run:
    """A run of zeros: seconds, and whether the sound breaks off and comes back at once."""

    start_s: float
    end_s: float
    hard: bool


class Silence:
    """Looks for digital silence while a recording is decoded."""

    def __init__(self) -> None:
        self._runs = deque[Run](maxlen=MAX_RUNS)
        self._rate_hz, self._start_s, self._n_heard = 0, 0.0, 0
        self._history = np.zeros(0, np.float32)  # what came before a block or an open run
        self._open = 0  # zeros that the blocks so far end with
        self._first_loud_s, self._last_loud_s = np.inf, -np.inf
        self._finest = np.inf  # the quietest sample that is not zero

    def hear(self, rate_hz: int, mono: Waveform) -> None:
        """Process the next block."""
        if rate_hz != self._rate_hz:
            self._start_s += self._n_heard / max(1, self._rate_hz)
            self._rate_hz, self._n_heard, self._open = rate_hz, 0, 0
            self._history = np.zeros(0, np.float32)
        self._note_levels(mono)
        beside = round(BESIDE_S * rate_hz)
        if self._open and len(mono) and mono[0]:  # the run ended with its block
            self._end(self._history, self._n_heard, self._open, mono[:beside])
            self._history, self._open = np.zeros(0, np.float32), 0
        for start, end in self._zeros(mono):
            before = self._history if start == 0 else self._joined(mono[:start])[-beside:]
            length = end - start + (self._open if start == 0 else 0)
            if end == len(mono):
                self._history, self._open = before, length
                break
            self._end(before, self._n_heard + end, length, mono[end : end + beside])
        else:
            self._history, self._open = self._joined(mono)[-beside:], 0
        self._n_heard += len(mono)

    def _joined(self, mono: Waveform) -> Waveform:
        """Return a block with what came before, if no run of zeros lies between."""
        return mono if self._open else np.concatenate([self._history, mono])

    def _zeros(self, mono: Waveform) -> "list[tuple[int, int]]":
        """Return the runs that are long enough, or at an end of the block."""
        padded = np.concatenate([[0], mono == 0, [0]]).astype(np.int8)
        edges = np.flatnonzero(np.diff(padded)).reshape(-1, 2)
        long = edges[:, 1] - edges[:, 0] > LONGEST_NATURAL_S * self._rate_hz
        at_an_end = (edges[:, 0] == 0) | (edges[:, 1] == len(mono))
        return [(int(start), int(end)) for start, end in edges[long | at_an_end]]

    def _note_levels(self, mono: Waveform) -> None:
        levels = np.abs(mono)
        self._finest = min(self._finest, float(np.min(levels, where=levels > 0, initial=np.inf)))
        loud = np.flatnonzero(levels > LOUD)
        if len(loud):
            first, last = (self._second(self._n_heard + place) for place in loud[[0, -1]])
            self._first_loud_s = min(self._first_loud_s, first)
            self._last_loud_s = last

    def _second(self, sample: int) -> float:
        return float(self._start_s + sample / self._rate_hz)

    def _end(self, before: Waveform, end: int, length: int, after: Waveform) -> None:
        """Keep a run that ends, if it is long enough and what is beside it no silence."""
        start_s, end_s = self._second(end - length), self._second(end)
        sides = (before[::-1], after)
        if length <= LONGEST_NATURAL_S * self._rate_hz or start_s < self._first_loud_s:
            return
        if not all(map(len, sides)):
            return
        if any(np.mean(side == 0) > MAX_ZEROS_BESIDE for side in sides):
            return
        edge = max(1, round(EDGE_S * self._rate_hz))
        self._runs.append(Run(start_s, end_s, all(_is_hard(side, edge) for side in sides)))

    def looked(self, codec: str) -> bool:
        """Return whether silence would mean something, and there is sound that it can be between.

        Parameters
        ----------
        codec : str
            As `AudioStream` names it.

        Returns
        -------
        bool
            False for a codec that is lossy, for sound in coarse steps, and without sound.
        """
        between_s = self._last_loud_s - self._first_loud_s
        return is_lossless(codec) and self._finest <= COARSE and between_s > LONGEST_NATURAL_S

    def findings(self, codec: str) -> list[Finding]:
        """Return what was found, where it means something: coders write zeros for quiet pauses.

        Parameters
        ----------
        codec : str
            As `AudioStream` names it.

        Returns
        -------
        list of Finding
            None where silence was not looked for.
        """
        if not self.looked(codec):
            return []
        runs = [run for run in self._runs if run.end_s <= self._last_loud_s]
        hard = [run for run in runs if run.hard]
        found = []
        if runs:
            total_s = sum(run.end_s - run.start_s for run in runs)
            seen = f"Exact digital silence, every sample zero, in the midst of sound: {named(runs)}"
            found.append(finding("digital_silence", f"{seen}; {total_s:.2f} s in all."))
        if hard:
            seen = "The sound breaks off into digital silence and comes back without a fade, within"
            found.append(finding("splice", f"{seen} {1000 * EDGE_S:g} ms: {named(hard)}."))
        return found


def _is_hard(side: Waveform, edge: int) -> bool:
    """Return whether sound is at its level right beside a run; its first samples are nearest."""
    level, at_edge = _rms(side), _rms(side[:edge])
    return level > AUDIBLE and at_edge > HARD * level


def _rms(samples: "Waveform | Floats") -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
