"""A shift planted in real sound: how soon `bonafide.monitoring` alarms, and how rarely else.

    python -m research.planted --corpus MANIFEST [--bundle NAME] [--seeds N]

Traffic is drawn from a corpus: each seed takes its recordings in another order, and the answers of
a bundle that ships as a service gives them; the first 1,000 are the reference, the next 2,000 are
quiet. Then, each for itself, 200 more that all went through a telephone, or through an app's voice
notes, and 200 of which all or some were made by a generator that no bundle ever heard: a vocoder of
`bonafide.simulation`, from human recordings. The bundles were trained on these recordings, so that
answers to them as they are are surer than they would be elsewhere: this says what the monitor sees,
and nothing on how well they detect.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from bonafide.audio import decode
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus
from bonafide.detector import Detector
from bonafide.evaluation.report import markdown_table
from bonafide.monitoring.drift import Window, windows
from bonafide.monitoring.feedback import wilson
from bonafide.monitoring.record import REFERENCE_ROWS, WINDOW_ROWS, Answered
from bonafide.process.pool import worker_count
from bonafide.simulation.vocoders import lpc_vocoder
from bonafide.training.augmentation import Change
from research.changes import telephoned, voice_note

QUIET_ROWS, SHIFTED_ROWS = 2000, 2 * WINDOW_ROWS
POOL = 300  # recordings that shifted traffic is drawn from
AS_IT_IS, VOCODER, QUIET = "as it is", "a new vocoder", "quiet"
HEADINGS = ("traffic", "alarmed, seeds [95 %]", "windows that alarm", "what moved, in windows")
CHANGES: Mapping[str, Change] = {
    AS_IT_IS: lambda waveform, rng: waveform,
    "mu-law telephone": telephoned(codec="pcm_mulaw", container="wav"),
    "voice notes": voice_note,
    VOCODER: lambda waveform, rng: lpc_vocoder(waveform.astype(np.float32), rng),
}
# What is planted, and the share of the traffic.
PLANTED = (("mu-law telephone", 1.0), ("voice notes", 1.0), (VOCODER, 1.0), (VOCODER, 0.3))


@dataclass(frozen=True)
class Asked:
    """A request: a recording, and what is done to it."""

    path: Path
    change: str
    row: int


@cache
def _detector(bundle: str) -> Detector:
    return Detector.shipped(bundle)


def answer(bundle: str, asked: Asked) -> Answered:
    """Return what a bundle that ships answers to a request."""
    sound = CHANGES[asked.change](decode(asked.path), np.random.default_rng(asked.row))
    detection = _detector(bundle).score(sound.astype(np.float32))
    found = Answered.of(0.0, f"{asked.change} {asked.row}", "", detection.to_json())
    assert found is not None
    return found


def requests(corpus: Corpus) -> dict[str, list[Asked]]:
    """Return all requests by what is done to them; what is changed is never asked as it is."""
    rows = np.random.default_rng(0).permutation(len(corpus.rows)).tolist()
    paths = [corpus.audio_path(row) for row in corpus]
    human = [row for row in rows if not corpus.is_spoof[row]][:POOL]
    changed = {name: human if name == VOCODER else rows[:POOL] for name in CHANGES}
    used = {*human, *rows[:POOL]}
    changed[AS_IT_IS] = [row for row in rows if row not in used]
    return {name: [Asked(paths[row], name, row) for row in mine] for name, mine in changed.items()}


def judged(answers: Sequence[Answered]) -> list[Window]:
    """Return all windows of answers that came in this order."""
    ranked = [replace(each, rank=rank) for rank, each in enumerate(answers, start=1)]
    return windows(ranked, last=len(answers))


def alarms(answers: Mapping[str, Sequence[Answered]], seed: int) -> dict[str, list[Window]]:
    """Return the windows of one seed's quiet traffic, and of each shift that follows it."""
    rng = np.random.default_rng(seed)
    drawn = {
        name: [each[place] for place in rng.permutation(len(each))]
        for name, each in answers.items()
    }
    ordinary = drawn[AS_IT_IS]
    before, after = ordinary[:REFERENCE_ROWS], ordinary[REFERENCE_ROWS + QUIET_ROWS :]
    found = {QUIET: judged(ordinary[: REFERENCE_ROWS + QUIET_ROWS])}
    for change, share in PLANTED:
        n_changed = round(share * SHIFTED_ROWS)
        mixed = [*drawn[change][:n_changed], *after[: SHIFTED_ROWS - n_changed]]
        order = rng.permutation(SHIFTED_ROWS)
        shifted = judged([*before, *(mixed[place] for place in order)])
        found[f"{change}, {share:.0%} of the traffic"] = shifted
    return found


def rows_of(found: Sequence[Mapping[str, Sequence[Window]]]) -> Iterator[list[str]]:
    """Yield a row of the table for the quiet traffic and for each shift."""
    for name in found[0]:
        seeds = [each[name] for each in found]
        each_window = [window for seed in seeds for window in seed]
        alarmed = sum(bool(window.alarms) for window in each_window)
        noticed = sum(any(window.alarms for window in seed) for seed in seeds)
        named = Counter(moved for window in each_window for moved in window.alarms)
        moved = ", ".join(f"{each} {count}" for each, count in named.most_common()) or "-"
        low, high = wilson(noticed, len(seeds))
        share = f"{noticed} of {len(seeds)} [{low:.0%}, {high:.0%}]"
        yield [name, share, f"{alarmed} of {len(each_window)}", moved]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--bundle", default="default", help="of those that ship")
    parser.add_argument("--seeds", type=int, default=20)
    chosen = parser.parse_args(arguments)
    asked = requests(read_corpus(chosen.corpus))
    with ProcessPoolExecutor(worker_count()) as pool:
        answers = {
            name: list(pool.map(partial(answer, chosen.bundle), mine, chunksize=16))
            for name, mine in asked.items()
        }
        found = list(pool.map(partial(alarms, answers), range(chosen.seeds)))
    print(f"{Detector.shipped(chosen.bundle).bundle.identity}, {chosen.corpus}")
    print(markdown_table(HEADINGS, list(rows_of(found))))


if __name__ == "__main__":
    main()
