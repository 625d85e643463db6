"""The power of the gate: how often it refuses a worse candidate, and passes an equal one.

    python -m research.gate_power [--seeds N] [--processes N]

Scores are drawn as they were measured: the mean of five base models on 3,101 recordings of 146
sources of the protocol's corpus has an EER of 11.8 %, and its llr spreads between sources and
within them as `SPREAD` says. A candidate differs from what it would replace as two networks of
different families do (``retrained``), or as trees from networks do (``redesigned``); that, too,
by source and by recording. `bonafide.training.gate` decides, with all of its rules on scores and
their defaults, as on a golden set of so many sources of six recordings of either label; each seed
draws sources, recordings and resamples anew. A second table is on the rule on labels: how often
one source's exchanged labels are seen, by its recordings of each.
"""

import argparse
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus, Row
from bonafide.evaluation.report import markdown_table
from bonafide.training.config import GateConfig
from bonafide.training.gate.comparison import compare, rule_on
from bonafide.training.gate.data import labels
from bonafide.training.gate.paired import Pair
from bonafide.training.recordings import MEASURES, Recordings
from bonafide.training.served import BONAFIDE, SPOOF, UNDECIDED, Answers
from bonafide.types import Floats, Ints, Mask

SIZES = (10, 20, 30, 40, 60, 80, 120)  # sources
WORSE = (0.03, 0.0, -0.01)  # in EER
EER = 0.118
LABELS = ("bonafide", "spoof")
# Standard deviations of llr in nats, between sources and within them, by label.
SPREAD = {"bonafide": (0.54, 0.93), "spoof": (1.04, 1.12)}
# Those of the difference of two systems.
KINDS = {"retrained": (0.08, 0.28), "redesigned": (0.35, 0.55)}
EACH = 6  # recordings of either label and source, on average
UNSURE = 1.2  # nats to either side of 0 without a verdict
LANGUAGES = (("en", 0.7), ("zh", 0.12), ("de", 0.09), ("ja", 0.09))
CHANNELS = (("clean", 0.75), ("low_rate", 0.15), ("opus", 0.1))
RESAMPLES = 200
LABEL_ROWS = (4, 6, 8, 12, 20)
CORPUS_SOURCES, CORPUS_EACH = 120, 10  # with both labels; recordings of either, as ours has


@dataclass(frozen=True)
class Case:
    """A candidate: how it differs, how much worse its EER is, on how many sources, by seed."""

    kind: str
    worse: float
    sources: int
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers that no other case draws."""
        worse = round(1000 * (self.worse + 0.5))
        return np.random.default_rng([self.seed, self.sources, worse, len(self.kind)])


def gap(eer: float) -> float:
    """Return how far apart the means of two normals lie that have this EER, in nats."""
    return -NormalDist().inv_cdf(eer) * float(sum(np.hypot(*each) for each in SPREAD.values()))


@dataclass(frozen=True)
class Drawn:
    """Recordings of sources: labels and sources, shape (n,), and where scores come from."""

    is_spoof: Mask
    source: Ints
    rng: np.random.Generator

    def spread(self, by: dict[str, NDArray[Any]]) -> Floats:
        """Draw what sources and recordings add to the llr, by label: (between, within)."""
        total = np.zeros(len(self.source))
        for label, (between, within) in by.items():
            of_source = between * self.rng.normal(size=self.source.max() + 1)
            added = of_source[self.source] + within * self.rng.normal(size=len(total))
            total += np.where(self.is_spoof == (label == "spoof"), added, 0.0)
        return total

    def of_source(self, shares: Iterable[tuple[str, float]]) -> NDArray[np.str_]:
        """Draw a name for each source."""
        names, p = zip(*shares, strict=True)
        return self.rng.choice(np.array(names), p=p, size=self.source.max() + 1)[self.source]


def drawn(n_sources: int, rng: np.random.Generator, each: int = EACH) -> Drawn:
    """Draw how many recordings of either label each source has: at least one."""
    counts = 1 + rng.poisson(each - 1, size=(n_sources, 2))
    is_spoof = np.concatenate([np.repeat([False, True], row) for row in counts])
    return Drawn(is_spoof, np.repeat(np.arange(n_sources), counts.sum(axis=1)), rng)


def pair(case: Case) -> Pair:
    """Return the answers of a candidate, and of what it would replace, to a golden set."""
    given = drawn(case.sources, case.rng)
    # Either side differs from what both have in common, so that neither is better for it.
    own = np.square(KINDS[case.kind]) / 2
    common = given.spread({n: np.sqrt(np.square(by) - own) for n, by in SPREAD.items()})
    language, channel = given.of_source(LANGUAGES), given.of_source(CHANNELS)

    def answers(eer: float) -> Answers:
        side = gap(eer) / 2 * np.where(given.is_spoof, -1, 1)
        llr = side + common + given.spread(dict.fromkeys(LABELS, np.sqrt(own)))
        called = np.where(np.abs(llr) < UNSURE, UNDECIDED, np.where(llr > 0, BONAFIDE, SPOOF))
        return Answers(llr, called.astype(np.int8), channel)

    return Pair(answers(EER + case.worse), answers(EER), corpus(given, language))


def corpus(given: Drawn, language: NDArray[np.str_]) -> Corpus:
    """Return the recordings as rows."""
    rows = [
        Row("-", LABELS[int(spoof)], source=f"s{number}", language=str(spoken))
        for spoof, number, spoken in zip(given.is_spoof, given.source, language, strict=True)
    ]
    return Corpus(Path(), rows)


def passes(case: Case) -> tuple[bool, bool]:
    """Return whether the rule on the margin passes a candidate, and whether all rules do."""
    found = compare(pair(case), "golden", "it", leads=True, n_resamples=RESAMPLES, seed=case.seed)
    rulings = rule_on([found], GateConfig())
    return bool(rulings[0].passed), all(ruling.passed for ruling in rulings)


def exchanged(n_rows: int, seed: int) -> tuple[bool, bool, bool]:
    """Return whether a source is refused: with exchanged labels, only unknown, and as it should."""
    rng = np.random.default_rng([seed, n_rows])
    is_spoof = np.repeat([False, True], n_rows)
    given = Drawn(is_spoof, np.zeros(2 * n_rows, np.int64), rng)
    noise = given.spread({name: np.array(by) for name, by in SPREAD.items()})
    rows = corpus(given, np.full(2 * n_rows, "en"))
    recordings = Recordings(rows, np.array([]), np.zeros((2 * n_rows, len(MEASURES))))
    side = gap(EER) / 2 * np.where(is_spoof, 1, -1)  # as if its labels were the others
    ruled = (labels(recordings, llr, GateConfig()) for llr in (side + noise, noise, noise - side))
    seen, unknown, right = (each.passed is False for each in ruled)
    return seen, unknown, right


def honest_corpus(seed: int) -> bool:
    """Return whether a corpus is refused in which every label is right."""
    rng = np.random.default_rng([seed, CORPUS_SOURCES])
    given = drawn(CORPUS_SOURCES, rng, CORPUS_EACH)
    rows = corpus(given, np.full(len(given.source), "en"))
    recordings = Recordings(rows, np.array([]), np.zeros((len(rows), len(MEASURES))))
    llr = given.spread({name: np.array(by) for name, by in SPREAD.items()})
    llr += gap(EER) / 2 * np.where(given.is_spoof, -1, 1)
    return labels(recordings, llr, GateConfig()).passed is False


def power_row(kind: str, size: int, seeds: int, pool: ProcessPoolExecutor) -> list[str]:
    """Return what passes of each `WORSE`, of 100: by all rules, and by that on the margin."""
    cells = []
    for worse in WORSE:
        cases = [Case(kind, worse, size, seed) for seed in range(seeds)]
        first, every = np.mean([*pool.map(passes, cases, chunksize=5)], axis=0)
        cells.append(f"{100 * every:.0f} ({100 * first:.0f})")
    return [kind, str(size), *cells]


def label_rows(seeds: int) -> Iterator[list[str]]:
    """Yield a row for each number of recordings: how often either source is refused."""
    for n_rows in LABEL_ROWS:
        found = np.mean([exchanged(n_rows, seed) for seed in range(seeds)], axis=0)
        yield [f"{n_rows} + {n_rows}", *(f"{100 * share:.1f}" for share in found)]


def main() -> None:
    """Print both tables, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=100, help="candidates of each kind and size")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="sources")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    print(f"Passed, of 100 ({given.seeds} seeds); in brackets: by the rule on the margin alone.\n")
    worse = [f"EER {100 * worse:+.0f} points" for worse in WORSE]
    print(markdown_table(["candidate", "sources", *worse], []), flush=True)
    with ProcessPoolExecutor(given.processes) as pool:
        for kind in given.kinds:
            for size in given.sizes:
                row = power_row(kind, size, given.seeds, pool)
                print(f"| {' | '.join(row)} |", flush=True)
    print("\nRefused for its labels, of 100.\n")
    columns = ["recordings of a source", "labels exchanged", "unknown to the detector", "right"]
    print(markdown_table(columns, list(label_rows(10 * given.seeds))), flush=True)
    refused = np.mean([honest_corpus(seed) for seed in range(2 * given.seeds)])
    print(
        f"\nOf 100 corpora of {CORPUS_SOURCES} sources whose labels are right: {100 * refused:.1f}"
    )


if __name__ == "__main__":
    main()
