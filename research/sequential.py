"""The sequential test of recordings that go on, judged on sources that its bars never saw.

    python -m research.sequential --corpus MANIFEST > docs/sequential.md

What the protocol's first seed said of each recording, out of fold, is laid end to end by voice, as
`bonafide.training.sequential` does it. The bars of four fifths of the sources are held against
the others: on copies of each channel, and after the codecs of `research.conditions`.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from bonafide.bundle import Bundle, read_bundle
from bonafide.channel import CLEAN
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus
from bonafide.evaluation.evaluate import percent
from bonafide.evaluation.report import markdown_table
from bonafide.features.spec import FeatureSpec
from bonafide.home import SHIPPED_NAMES, shipped_folder
from bonafide.manifest import SEQUENTIAL
from bonafide.training.sequential import (
    DRAWS,
    WRONG_AT_MOST,
    Streams,
    evidence_of,
    fit_sequential,
    streams_of,
    voices,
)
from bonafide.types import AnyFloats, Floats, Ints, Mask
from research.changes import CONDITIONS
from research.decided import Said, Worth, verdict_bars, worth_of
from research.folds import source_id
from research.protocol import SCORES
from research.results import render

DECIDED = {"default": "part|all", "fast": "part|without encoder"}  # of parts.npz
LONG = 10  # windows of streams that are looked at apart
CODED = [name for name, each in CONDITIONS.items() if each.channel != CLEAN]
N_FOLDS = 5
SEED = 1
UNSURE = (-np.inf, np.inf)
OF_LONG = ("", "people called generated", "generated called people")
HEADINGS = (
    *("", "people called generated", "generated called people", "decided: people", "generated"),
    *("median seconds: people", "generated", "one window decides: people", "generated"),
    *("first verdict wrong: people", "generated"),
)


def folds_of(source: NDArray[Any]) -> Iterator[tuple[Mask, Mask]]:
    """Yield the rows that bars are set by and those that they are held against."""
    every = np.arange(len(source))
    for _, out in GroupKFold(N_FOLDS).split(every, groups=source):
        held = np.isin(every, out)
        yield ~held, held


def bars_by_fold(
    llr: AnyFloats, corpus: Corpus, source: NDArray[Any], channels: Sequence[str]
) -> tuple[list[dict[str, Any]], Ints]:
    """Fit the test without each fifth of the sources.

    Parameters
    ----------
    llr : ndarray of float, shape (n_rows, n_channels)
        Out of fold, of a copy of each channel.
    corpus : Corpus
        Of these rows.
    source : ndarray of str, shape (n_rows,)
        Kept whole.
    channels : sequence of str
        Their names.

    Returns
    -------
    list of dict
        As `fit_sequential` returns it.
    ndarray of int64, shape (n_rows,)
        The one that never saw each row.
    """
    tests, fold = [], np.zeros(len(source), np.int64)
    for number, (side, held) in enumerate(folds_of(source)):
        test = fit_sequential(llr, corpus, side, channels, SEED)
        assert test is not None
        tests.append(test)
        fold[held] = number
    return tests, fold


def _table(streams: Streams, found: Mapping[str, Worth]) -> dict[str, Any]:
    rows = [[name, *map(percent, each.wrong), *each.cells] for name, each in found.items()]
    windows = (streams >= 0).sum(axis=1).mean()
    return {
        "streams": len(streams),
        "windows": windows,
        "table": markdown_table(HEADINGS, rows),
    }


def _beyond(found: Mapping[str, Worth]) -> list[str]:
    """Return where the stated share is not held, with the share of the label that is worse."""
    return [
        f"{name} ({percent(max(each.wrong, key=attrgetter('value')))})"
        for name, each in found.items()
        if each.exceeds
    ]


def _by_row(tests: Sequence[dict[str, Any]], fold: Ints, names: NDArray[np.str_]) -> list[Floats]:
    """Return lower and upper bars for windows of streams, (n_streams, n_windows) each."""
    ends = []
    for end, open_ in zip(("spoof_to", "bonafide_from"), UNSURE, strict=True):
        rows = [
            [tests[n]["channels"].get(name, {}).get(end, open_) for name in each]
            for n, each in zip(fold.tolist(), names.tolist(), strict=True)
        ]
        ends.append(np.array(rows, np.float64))
    return ends


def _row(
    bundle: Bundle,
    tests: Sequence[dict[str, Any]],
    fold: Ints,
    llr: AnyFloats,
    streams: Streams,
    names: NDArray[np.str_],
    is_spoof: Mask,
    source: NDArray[Any],
) -> Worth:
    """Judge streams whose windows so far are named as going through channels."""
    first = streams[:, 0]
    found = np.empty(streams.shape)
    for number, test in enumerate(tests):
        own = fold[first] == number
        found[own] = evidence_of(llr, streams[own], test["correlation"])
    said = Said.of(found, *_by_row(tests, fold[first], names))
    known = {name: verdict_bars(bundle, name) for name in np.unique(names).tolist()}
    bars = [np.array([[known[n][side] for n in row] for row in names]) for side in (0, 1)]
    mean = evidence_of(llr, streams, 1.0)
    one = Said.of(mean[:, :1], bars[0][:, :1], bars[1][:, :1])
    return worth_of(said, one, Said.of(mean, *bars), is_spoof[first], source[first])


def _so_far(channel: Ints, streams: Streams, names: Sequence[str]) -> NDArray[np.str_]:
    """Return the channel that most windows of a stream so far are named after."""
    known = np.eye(len(names))[channel[streams]] * (streams >= 0)[..., None]
    return np.array(names)[np.cumsum(known, axis=1).argmax(axis=2)]


def judge(corpus: Corpus, name: str, scores: Path) -> dict[str, Any]:
    """Return what the test of a bundle is worth, for the template.

    Parameters
    ----------
    corpus : Corpus
        That the scores are of.
    name : str
        ``default`` or ``fast``.
    scores : Path
        Folder with ``parts.npz`` and ``conditions.npz``.

    Returns
    -------
    dict
        Of ``templates/sequential.md``.
    """
    bundle, is_spoof = read_bundle(shipped_folder(name)), corpus.is_spoof
    source = np.array([source_id(each) for each in corpus.column("source").tolist()])
    voice, channels = voices(corpus), bundle.channels
    with np.load(scores / "parts.npz") as parts, np.load(scores / "conditions.npz") as heard:
        llr = parts[DECIDED[name]].astype(np.float64)
        rows, conditions = heard["rows"], {c: heard[f"{name}|{c}"] for c in (CLEAN, *CODED)}
    tests, fold = bars_by_fold(llr, corpus, source, channels)
    streams = streams_of(voice, SEED)
    copies = {
        channel: _row(bundle, tests, fold, llr[:, n], streams, named, is_spoof, source)
        for n, channel in enumerate(channels)
        for named in [np.full(streams.shape, channel)]
    }
    long = streams[(streams >= 0).sum(axis=1) >= LONG]
    by_length = [
        [
            channel,
            *map(
                percent, _row(bundle, tests, fold, llr[:, n], long, named, is_spoof, source).wrong
            ),
        ]
        for n, channel in enumerate(channels)
        for named in [np.full(long.shape, channel)]
    ]
    coded = dict[str, Worth]()
    short = streams_of(np.where(np.isin(np.arange(len(corpus)), rows), voice, ""), SEED)
    for condition, answers in conditions.items():
        own, number = np.zeros(len(corpus)), np.zeros(len(corpus), np.int64)
        own[rows], number[rows] = answers["llr"], answers["channel"]
        named = _so_far(number, short, channels)
        coded[condition] = _row(bundle, tests, fold, own, short, named, is_spoof, source)
    return {
        "name": name,
        "alike": np.mean([test["correlation"] for test in tests]),
        "copies": _table(streams, copies),
        "long": {
            "people": len(np.unique(voice[long[~is_spoof[long[:, 0]], 0]])),
            "generated": len(np.unique(voice[long[is_spoof[long[:, 0]], 0]])),
            "table": markdown_table(OF_LONG, by_length),
        },
        "coded": _table(short, coded),
        "beyond": _beyond({**copies, **coded}),
    }


def sequential_by_protocol(corpus: Corpus, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Return the test of each stage of a bundle, of what the protocol's first seed kept.

    Parameters
    ----------
    corpus : Corpus
        That the protocol and the bundle heard.
    bundle : Bundle
        Names the channels.

    Returns
    -------
    dict of str to dict
        By name of the bundle that ships: an entry of its thresholds, or none of too few voices.
    """
    with np.load(SCORES / "parts.npz") as parts:
        found = {
            name: fit_sequential(
                parts[DECIDED[name]].astype(np.float64),
                corpus,
                np.ones(len(corpus), bool),
                bundle.channels,
                SEED,
            )
            for name in SHIPPED_NAMES
        }
    return {name: {SEQUENTIAL: test} if test else {} for name, test in found.items()}


def page(corpus: Corpus, scores: Path = SCORES) -> str:
    """Return the page of both bundles, in Markdown.

    Parameters
    ----------
    corpus, scores
        As of `judge`.

    Returns
    -------
    str
    """
    return render(
        "sequential.md",
        wrong_at_most=WRONG_AT_MOST,
        long=LONG,
        draws=DRAWS,
        window_s=FeatureSpec.window_s,
        bundles=[judge(corpus, name, scores) for name in SHIPPED_NAMES],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of recordings")
    parser.add_argument("--scores", type=Path, default=SCORES, help="default: docs/results")
    chosen = parser.parse_args(arguments)
    print(page(read_corpus(chosen.corpus), chosen.scores), end="")


if __name__ == "__main__":
    main()
