"""What `bonafide adapt` gains: held-out sources, each of them a user with clips of its own.

    python -m research.adaptation --corpus MANIFEST (--scores FILE | --detectors DIR | --bundle REF)

The eight largest sources with both labels are users. For each the whole of `bonafide adapt` is
done, on at most 50 and on at most 100 of its clips, judged as there: cross-validated, speakers
whole where they are known. Scores before must be out of fold, by what never heard the source:

``--scores``     npz of ``path``, as in the manifest, ``llr`` and ``models``, p_spoof of each
``--detectors``  folder of `research.detectors`, named SEED-FOLD, scored by the middle window
``--bundle``     one that was trained without these sources, scored as it is served

Needs the extra ``train``.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bonafide.bundle import read_bundle
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.evaluation.evaluate import percent
from bonafide.evaluation.metrics import Interval
from bonafide.evaluation.report import markdown_table
from bonafide.home import SHIPPED, home
from bonafide.registry import find_bundle
from bonafide.runtime import Graph
from bonafide.training.adaptation import number
from bonafide.training.clips import MIN_OF_LABEL, score_clips
from bonafide.training.final_layer import (
    ClipScores,
    Gain,
    group_clips,
    measure_gain,
    nested_llr,
)
from bonafide.training.windows import training_windows
from bonafide.types import Floats, Ints
from research.folds import read_protocol, source_id

N_USERS, SIZES, RESAMPLES = 8, (50, 100), 1000
HEADINGS = (
    "user",
    "clips",
    "whole",
    "EER",
    "EER after",
    "Cllr",
    "Cllr after",
    "Cllr change",
    "kept",
)


@dataclass(frozen=True)
class User:
    """A source as a user of `bonafide adapt`: how many clips, what stayed whole, and the gain."""

    name: str
    clips: str
    grouping: str
    gain: Gain

    def row(self) -> list[str]:
        """Return the cells below `HEADINGS`."""
        gain = self.gain
        shares = [percent(side["eer"]) for side in (gain.before, gain.after)]
        bits = [number(side["cllr"]) for side in (gain.before, gain.after, gain.change)]
        kept = "yes" if gain.shown else "no"
        return [self.name, self.clips, self.grouping, *shares, *bits, kept]

    def value(self, metric: str, state: str) -> float:
        """Return a metric ``before``, ``after``, or as ``kept``: before where no gain is shown."""
        after = state == "after" or (state == "kept" and self.gain.shown)
        return (self.gain.after if after else self.gain.before)[metric].value


def largest_sources(corpus: Corpus, count: int = N_USERS) -> list[Ints]:
    """Return the rows of the largest sources that hold enough clips of each label.

    Parameters
    ----------
    corpus : Corpus
        With sources.
    count : int
        How many sources at most.

    Returns
    -------
    list of ndarray of int64
        The largest first; equally large ones by name.
    """
    source, is_spoof = corpus.column("source"), corpus.is_spoof
    rows = {name: np.flatnonzero(source == name) for name in sorted(set(source) - {UNKNOWN})}
    spoofs = {name: int(is_spoof[mine].sum()) for name, mine in rows.items()}
    both = [n for n in rows if min(spoofs[n], len(rows[n]) - spoofs[n]) >= MIN_OF_LABEL]
    return [rows[name] for name in sorted(both, key=lambda name: -len(rows[name]))[:count]]


def some_clips(is_spoof: np.ndarray, size: int) -> Ints:
    """Choose at most so many clips, as even by label as there are clips for; the same each time."""
    order = np.random.default_rng(0).permutation(len(is_spoof))
    rank = np.empty(len(order), dtype=np.int64)
    for label in (False, True):
        mine = order[is_spoof[order] == label]
        rank[mine] = np.arange(len(mine))
    return np.sort(np.lexsort((is_spoof, rank))[:size])


def judge_users(
    corpus: Corpus, scores: ClipScores, users: Sequence[Ints], size: int
) -> Iterator[User]:
    """Yield what adapting gains for each user, with at most `size` of its clips.

    Parameters
    ----------
    corpus : Corpus
        All clips.
    scores : ClipScores
        Of all of them, by detectors that never heard them.
    users : sequence of ndarray of int64
        The rows of each.
    size : int
        At most so many of them are used.

    Yields
    ------
    User
    """
    for rows in users:
        rows = rows[some_clips(corpus.is_spoof[rows], size)]
        mine, is_spoof = corpus.take(rows), corpus.is_spoof[rows]
        grouping, group = group_clips(mine)
        before = scores.take(rows)
        after = nested_llr(before, is_spoof, group)
        spoofs = int(is_spoof.sum())
        yield User(
            source_id(mine.rows[0].source),
            f"{len(rows) - spoofs} + {spoofs}",
            grouping,
            measure_gain(before.llr, after, is_spoof, group),
        )


def mean_over(values: Floats) -> Interval:
    """Return the mean over users with its 95 % interval, which resamples users whole."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975]).tolist()
    return Interval(float(values.mean()), low, high)


def summary(users: Sequence[User]) -> str:
    """Return both tables, in Markdown: each user, and the means before, after, and as kept."""
    lines = []
    for state in ("before", "after", "kept"):
        found = {
            metric: np.array([user.value(metric, state) for user in users])
            for metric in ("eer", "cllr")
        }
        cells = [percent(mean_over(found["eer"])), number(mean_over(found["cllr"]))]
        lines.append([f"mean of {len(users)} users, {state}", *cells])
    means = markdown_table(("", "EER", "Cllr, bits"), lines)
    return f"{markdown_table(HEADINGS, [user.row() for user in users])}\n\n{means}\n"


def read_scores(path: Path, corpus: Corpus) -> ClipScores:
    """Read out-of-fold scores of the corpus's rows; exit if some are missing."""
    with np.load(path) as file:
        at = {name: row for row, name in enumerate(file["path"].tolist())}
        missing = [row.path for row in corpus if row.path not in at]
        if missing:
            raise SystemExit(f"{path}: has no scores of {len(missing)} clips, as of {missing[0]}")
        rows = [at[row.path] for row in corpus]
        return ClipScores.of_windows(file["llr"][rows], file["models"][rows])


def by_detectors(folder: Path, seed: int, corpus: Corpus) -> ClipScores:
    """Score the middle window of each row by the detector of its source's fold."""
    fold, parts = read_protocol(corpus).fold, []
    for each in np.unique(fold).tolist():
        rows = np.flatnonzero(fold == each)
        paths = [corpus.audio_path(corpus.rows[row]) for row in rows]
        bundle = read_bundle(folder / f"{seed}-{each}" / SHIPPED.name)
        graph = Graph(bundle.graph_path("detector"))
        found = graph({"waveform": training_windows(paths, bundle.spec)})
        parts.append(ClipScores.of_windows(found["llr"], found["models"]))
    back = np.argsort(np.argsort(fold, kind="stable"), kind="stable")
    return ClipScores.join(parts).take(back)


def by_bundle(ref: str, corpus: Corpus) -> ClipScores:
    """Score rows by a bundle, as it is served."""
    found = score_clips(find_bundle(home(), ref), corpus)
    failed = [each for each in found if not isinstance(each, ClipScores)]
    if failed:
        raise failed[0]
    return ClipScores.join([each for each in found if isinstance(each, ClipScores)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Score the users' clips and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--scores", type=Path, help="npz of path, llr and models, out of fold")
    given.add_argument("--detectors", type=Path, help="folder of the folds' detectors")
    given.add_argument("--bundle", help="one that never heard these sources")
    parser.add_argument("--seed", type=int, default=1, help="of the folds' detectors")
    parser.add_argument("--users", type=int, default=N_USERS, help="how many sources")
    chosen = parser.parse_args(arguments)
    everything = read_corpus(chosen.corpus)
    users = largest_sources(everything, chosen.users)
    corpus = everything.take(np.concatenate(users))
    ends = np.cumsum([len(rows) for rows in users])
    own = np.split(np.arange(len(corpus)), ends[:-1])
    if chosen.scores:
        scores = read_scores(chosen.scores, corpus)
    elif chosen.detectors:
        scores = by_detectors(chosen.detectors, chosen.seed, corpus)
    else:
        scores = by_bundle(chosen.bundle, corpus)
    for size in SIZES:
        print(f"With at most {size} clips each (human + machine-made):\n")
        print(summary(list(judge_users(corpus, scores, own, size))))


if __name__ == "__main__":
    main()
