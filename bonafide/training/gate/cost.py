"""The rules on what a candidate costs beside what it would replace: time and size."""

import time
from pathlib import Path

import numpy as np

from bonafide.bundle import Bundle
from bonafide.corpora.schema import Corpus
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.training.gate.decision import Ruling
from bonafide.training.gate_config import GateConfig

TIMED = 24  # recordings
TIMES = 3  # the least of so many counts


def cost(ours: Bundle, theirs: Bundle, corpus: Corpus, name: str, gate: GateConfig) -> list[Ruling]:
    """Return whether a candidate is no slower and no larger than allowed.

    Parameters
    ----------
    ours, theirs : Bundle
        The candidate, and what it would replace.
    corpus : Corpus
        Recordings, some of which are timed, one bundle after the other.
    name : str
        What it would replace, in words.
    gate : GateConfig
        ``max_latency_ratio`` and ``max_size_ratio``.

    Returns
    -------
    list of Ruling
    """
    mb = [bundle.graph_path("detector").stat().st_size / 1e6 for bundle in (ours, theirs)]
    s = seconds(ours, theirs, corpus)
    return [
        _ratio("latency", s, "s of a processor for some recordings", gate.max_latency_ratio, name),
        _ratio("size", (mb[0], mb[1]), "MB", gate.max_size_ratio, name),
    ]


def _ratio(rule: str, sides: tuple[float, float], unit: str, allowed: float, name: str) -> Ruling:
    ours, theirs = sides
    if not theirs:
        return Ruling(rule, None, f"{rule.capitalize()} was not measured: no recording was scored.")
    ratio = ours / theirs
    words = (
        f"{rule.capitalize()} {ours:.2f} {unit} against {theirs:.2f} of {name}, {ratio:.2f} times "
        f"as much; the gate allows {allowed:g} times"
    )
    return Ruling(rule, ratio <= allowed, words)


def seconds(ours: Bundle, theirs: Bundle, corpus: Corpus) -> tuple[float, float]:
    """Time both bundles on the same recordings, turn by turn.

    Processor time counts, since others on the machine make waiting times differ severalfold.

    Parameters
    ----------
    ours, theirs : Bundle
        Loaded once each.
    corpus : Corpus
        `TIMED` of its recordings are scored `TIMES` times by each.

    Returns
    -------
    tuple of two float
        Processor seconds for all of them; zeros where none could be scored.
    """
    detectors = Detector(ours), Detector(theirs)
    rows = np.unique(np.linspace(0, len(corpus) - 1, TIMED).astype(np.intp))
    totals = np.zeros(2)
    for row in corpus.take(rows):
        totals += [_time(detector, corpus.audio_path(row)) for detector in detectors]
    return float(totals[0]), float(totals[1])


def _time(detector: Detector, path: Path) -> float:
    taken = []
    for _ in range(TIMES):
        start = time.process_time()
        try:
            detector.score(path)
        except AudioError:  # takes no time, for either
            return 0.0
        taken.append(time.process_time() - start)
    return min(taken)
