"""Whether explanations are faithful: what was planted is found, and what is named matters.

    python -m research.explained --corpus MANIFEST [--bundle REF] [--cases N] [--cost]

*Planted second*: a second of a recording that the bundle calls bona fide is replaced by one of a
spoof, as loud; found where the explanation has it speak most for a deepfake. *Planted band*: the
same with one of eight bands, over the whole window; only bands that move the score by a nat or more
are counted, for others the bundle does not hear. *Deletion*: seconds are cut out, or bands made
neutral, in the order of the explanation; better than random where the score falls faster, by the
mean of the curve (Petsiuk et al., 2018), than on average over random orders. *Cost*: what
explaining one window takes of the CPU, in times of scoring it.

Shares have 95 % intervals (Wilson). The bundle may have heard the recordings in training: this is
about explanations, and says nothing of detection.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np

from bonafide.audio import decode
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.evaluation.report import markdown_table
from bonafide.explanation import Explainer, Explanation
from bonafide.explanation.bands import EDGES_HZ, Bands
from bonafide.explanation.seconds import FADE, SECOND, keep_seconds, second_edges
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import home
from bonafide.monitoring.feedback import wilson
from bonafide.registry import find_bundle
from bonafide.types import Floats, Mask, Waveform

SURE = 1.5  # nats from 0, for a bundle to be sure of a recording
MOVED = 1.0  # nats that a planted band must move the score by
ORDERS = 10  # random ones that an explanation's order is compared with
COSTED = 50  # windows
HEADINGS = ("what", "share [95 %]", "cases")


class Cases:
    """Windows of a corpus that a bundle is rightly sure of, in a seeded order.

    Parameters
    ----------
    detector : Detector
        Of the bundle.
    corpus : Corpus
        Its recordings; those that do not decode, or are shorter than a window, are no cases.
    """

    def __init__(self, detector: Detector, corpus: Corpus) -> None:
        self._detector, self._corpus = detector, corpus

    def windows(self, spoof: bool) -> Iterator[Waveform]:
        """Yield the windows of one label."""
        size, towards = self._detector.bundle.spec.window_samples, -1.0 if spoof else 1.0
        rows = np.flatnonzero(self._corpus.is_spoof == spoof)
        for row in np.random.default_rng(int(spoof)).permutation(rows):
            try:
                sound = decode(self._corpus.audio_path(self._corpus.rows[row]))[:size]
            except AudioError:
                continue
            if len(sound) == size and towards * self.llr(sound[None])[0] > SURE:
                yield sound

    def llr(self, windows: Waveform) -> Floats:
        """Return the llr of windows, as they are served."""
        return self._detector.score_windows(windows).llr.astype(np.float64)


def with_second(real: Waveform, spoof: Waveform, second: int) -> Waveform:
    """Return a window with one second of another in it, as loud and blended at both ends."""
    place = slice(second * SECOND, (second + 1) * SECOND)
    gain = np.sqrt(np.square(real[place]).mean() / max(np.square(spoof[place]).mean(), 1e-9))
    share = np.ones(SECOND, np.float32)
    share[:FADE] = np.linspace(0, 1, FADE)
    share[-FADE:] = share[:FADE][::-1]
    mixed = real.copy()
    mixed[place] = real[place] * (1 - share) + gain * spoof[place] * share
    return mixed.clip(-1, 1)


def with_band(real: Waveform, spoof: Waveform, band: int) -> Waveform:
    """Return a window with one band of another in place of its own, as loud."""
    hz = np.fft.rfftfreq(len(real), 1 / SAMPLE_RATE_HZ)
    inside = (hz >= EDGES_HZ[band]) & (hz <= EDGES_HZ[band + 1])
    own, other = np.fft.rfft(real), np.fft.rfft(spoof)
    gain = np.linalg.norm(own[inside]) / max(float(np.linalg.norm(other[inside])), 1e-9)
    mixed = np.fft.irfft(np.where(inside, gain * other, own), len(real))
    return mixed.astype(np.float32).clip(-1, 1)


def explained(explainer: Explainer, window: Waveform) -> Explanation:
    """Return the explanation of a window alone."""
    return explainer.explain(window).explanation


def least(values: Sequence[float]) -> int:
    """Return the number of what speaks most for a deepfake."""
    return int(np.argmin(values))


def found_seconds(cases: Cases, explainer: Explainer, count: int) -> list[bool]:
    """Return for planted seconds whether each is found."""
    found = []
    for number, (real, spoof) in zip(range(count), both(cases), strict=False):
        planted = with_second(real, spoof, number % (len(real) // SECOND))
        seconds = explained(explainer, planted).seconds
        found.append(least([each.llr for each in seconds]) == number % len(seconds))
    return found


def found_bands(cases: Cases, explainer: Explainer, count: int) -> list[bool]:
    """Return for planted bands that the bundle hears whether each is found."""
    found = list[bool]()
    for number, (real, spoof) in enumerate(both(cases)):
        if len(found) == count:
            break
        band = number % (len(EDGES_HZ) - 1)
        planted = with_band(real, spoof, band)
        before, after = cases.llr(np.stack([real, planted]))
        if before - after >= MOVED:
            bands = explained(explainer, planted).bands
            found.append(least([each.unusual for each in bands]) == band)
    return found


def both(cases: Cases) -> Iterator[tuple[Waveform, Waveform]]:
    """Yield a window of either label at a time."""
    return zip(cases.windows(spoof=False), cases.windows(spoof=True), strict=False)


def falls_faster(cases: Cases, explainer: Explainer, window: Waveform) -> tuple[bool, bool]:
    """Return whether seconds, and bands, are better deleted in the explanation's order."""
    towards = np.sign(cases.llr(window[None])[0])
    said = explained(explainer, window)
    edges, bands = second_edges(len(window), len(window)), Bands(window)
    rng = np.random.default_rng(0)

    def curve(order: Sequence[int], without: Callable[[Mask], Waveform]) -> float:
        gone = np.zeros((len(order) - 1, len(order)), dtype=bool)
        for step in range(len(order) - 1):
            gone[step:, order[step]] = True
        return float((towards * cases.llr(np.stack([without(each) for each in gone]))).mean())

    def cut(gone: Mask) -> Waveform:
        return keep_seconds(window, edges, ~gone)

    seconds = np.argsort([-towards * each.llr for each in said.seconds], kind="stable")
    by_band = np.argsort([-towards * each.llr for each in said.bands], kind="stable")
    any_order = [curve(order, cut) for order in permutations(range(len(seconds)))]
    random = [curve(rng.permutation(len(bands)).tolist(), bands.neutral) for _ in range(ORDERS)]
    return (
        curve(seconds.tolist(), cut) < np.mean(any_order),
        curve(by_band.tolist(), bands.neutral) < np.mean(random),
    )


def share(what: str, found: Sequence[bool]) -> list[str]:
    """Return a row of the table."""
    low, high = wilson(sum(found), len(found))
    return [what, f"{np.mean(found):.1%} [{low:.1%}, {high:.1%}]", str(len(found))]


def cost(detector: Detector, explainer: Explainer, windows: Sequence[Waveform]) -> str:
    """Return how many times scoring a window takes that explaining it takes, in the middle."""
    ratios = []
    for window in windows:
        start = time.process_time()  # others may hold the processors
        detector.score(window)
        scored = time.process_time()
        explainer.explain(window)
        ratios.append((time.process_time() - scored) / (scored - start))
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return f"explaining takes {middle:.0f} times [{low:.0f}, {high:.0f}] what scoring takes"


def shares(cases: Cases, explainer: Explainer, windows: Sequence[Waveform]) -> list[list[str]]:
    """Return the rows of the table."""
    rows = [
        share("planted second found", found_seconds(cases, explainer, len(windows))),
        share("planted band found", found_bands(cases, explainer, len(windows))),
    ]
    faster = [falls_faster(cases, explainer, window) for window in windows]
    for what, found in zip(("seconds", "bands"), zip(*faster, strict=True), strict=True):
        rows.append(share(f"deletion of {what} better than random", found))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, and what an explanation costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--bundle", help="default: the one in production")
    parser.add_argument("--cases", type=int, default=200, help="of each kind, an even number")
    parser.add_argument("--cost", action="store_true", help="only what an explanation costs")
    chosen = parser.parse_args(arguments)
    detector = Detector(find_bundle(home(), chosen.bundle))
    cases, explainer = Cases(detector, read_corpus(chosen.corpus)), Explainer(detector)
    pairs = zip(range(chosen.cases // 2), both(cases), strict=False)
    windows = [window for _, pair in pairs for window in pair]
    print(f"{detector.bundle.identity}, {chosen.corpus}")
    if not chosen.cost:
        print(markdown_table(HEADINGS, shares(cases, explainer, windows)))
    print(cost(detector, explainer, windows[:COSTED]))


if __name__ == "__main__":
    main()
