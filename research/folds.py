"""The folds of the protocol, configs/protocol.csv: sources and speakers whole, named by hashes.

The file also keeps the edition of the corpus that a source came in with.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.errors import CorpusError
from bonafide.training.folds import (
    TEST,
    Folds,
    connected_groups,
    fixed_folds,
    make_folds,
    source_id,
)
from bonafide.types import Ints

PROTOCOL = Path(__file__).resolve().parent.parent / "configs" / "protocol.csv"
MIN_ROWS = 4  # of each label, for a source to count as one with both
SPLIT_SEED = 1


def both_labels(corpus: Corpus) -> NDArray[np.bool_]:
    """Return which rows come from sources with at least `MIN_ROWS` of each label; (n_rows,)."""
    _, member = np.unique(corpus.column("source"), return_inverse=True)
    spoof, real = np.bincount(member, corpus.is_spoof), np.bincount(member, ~corpus.is_spoof)
    return np.asarray(np.minimum(spoof, real)[member] >= MIN_ROWS)


def _read_protocol(path: Path, column: str = "fold") -> dict[str, int]:
    with path.open(newline="") as file:
        return {row["source"]: int(row[column]) for row in csv.DictReader(file)}


def extend_protocol(corpus: Corpus, path: Path = PROTOCOL) -> None:
    """Assign a fold to each source that the file does not name; the others keep theirs.

    A source that shares a speaker, directly or through others, with one that has a fold joins it;
    the rest are split as a training run splits them (`make_folds`). They all came in with the
    edition after the last one in the file.

    Parameters
    ----------
    corpus : Corpus
        With sources and speakers.
    path : Path
        The file, which is rewritten.
    """
    fold_of = _read_protocol(path)
    count = max(fold_of.values()) + 1
    sources = np.array([source_id(name) for name in corpus.column("source").tolist()])
    group = connected_groups(corpus)
    known = {number: fold_of[s] for number, s in zip(group, sources, strict=True) if s in fold_of}
    fold = np.array([known.get(number, TEST) for number in group], dtype=np.int64)
    new = np.flatnonzero(fold == TEST)
    if len(new):
        fold[new] = make_folds(corpus.take(new), count=count, test_share=0.0, seed=SPLIT_SEED).fold
    fold_of = dict(zip(sources.tolist(), fold.tolist(), strict=True)) | fold_of
    edition_of = _read_protocol(path, "edition")
    edition = max(edition_of.values()) + 1
    lines = [f"{name},{fold_of[name]},{edition_of.get(name, edition)}" for name in sorted(fold_of)]
    path.write_text("\n".join(["source,fold,edition", *lines]) + "\n")


def read_protocol(corpus: Corpus, path: Path = PROTOCOL) -> Folds:
    """Read the fold of each source, which the file names by `source_id`.

    Parameters
    ----------
    corpus : Corpus
        With sources and speakers.
    path : Path
        The file.

    Returns
    -------
    Folds

    Raises
    ------
    CorpusError
        ``no_fold`` if a source of the corpus has none; ``split_speaker`` if a speaker is in two
        folds.
    """
    try:
        return fixed_folds(corpus, _read_protocol(path))
    except CorpusError as error:
        if error.code != "no_fold":
            raise
        more = (
            "`python -m research.protocol --extend-protocol` gives every source of the corpus one"
        )
        raise CorpusError(error.code, f"{path}: {error.message}; {more}") from error


def read_editions(corpus: Corpus, path: Path = PROTOCOL) -> Ints:
    """Read the edition of the corpus that each row's source came in with.

    Parameters
    ----------
    corpus : Corpus
        With sources that all have a fold.
    path : Path
        The file.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
    """
    edition_of = _read_protocol(path, "edition")
    sources = corpus.column("source").tolist()
    return np.array([edition_of[source_id(name)] for name in sources], dtype=np.int64)


def speaker_folds(corpus: Corpus, count: int = 4, seed: int = 0) -> Folds:
    """Split into folds that keep speakers whole, not sources; unknown speakers stand alone."""
    from sklearn.model_selection import StratifiedGroupKFold

    names = corpus.column("speaker").astype("U200")
    unknown = np.flatnonzero(names == UNKNOWN)
    names[unknown] = [f"row {row}" for row in unknown]
    group = np.unique(names, return_inverse=True)[1].astype(np.int64)
    fold = np.empty(len(group), dtype=np.int64)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for number, (_, rows) in enumerate(splitter.split(group, corpus.is_spoof, group)):
        fold[rows] = number
    return Folds(group, fold)
