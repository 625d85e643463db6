"""Folds that keep every source and every known speaker whole."""

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Self

import numpy as np

from bonafide.artifact import JSON, Artifact, Plain, sha256_of
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.errors import CorpusError
from bonafide.training.config import FoldsConfig
from bonafide.types import Ints, Mask

TEST = -1


@dataclass(frozen=True)
class GoldenRows(Plain):
    """The recordings of a corpus that a golden set holds.

    Parameters
    ----------
    sha256 : str
        The set's.
    rows : list of int
        Their positions among the usable recordings; often empty.
    """

    sha256: str
    rows: list[int]


@dataclass(frozen=True)
class Folds(Artifact):
    """Which rows are trained on, and which are judged.

    Parameters
    ----------
    group : ndarray of int64, shape (n_rows,)
        Connected component of sources and speakers.
    fold : ndarray of int64, shape (n_rows,)
        0 .. count - 1, or -1 for the rows held out for the final judgement.
    golden : GoldenRows or None
        What was held out because a golden set holds it; None where there was no such set.
    """

    group: Ints
    fold: Ints
    golden: GoldenRows | None = None

    @property
    def count(self) -> int:
        """Number of folds on the training side."""
        return int(self.fold.max()) + 1

    @property
    def is_test(self) -> Mask:
        """True for the rows held out for the final judgement, shape (n_rows,)."""
        return np.asarray(self.fold == TEST)

    def save(self, folder: Path) -> None:
        """Write ``folds.csv``, group and fold of each row, and ``golden.json`` if there is any."""
        if self.golden:
            (folder / "golden.json").write_text(json.dumps(self.golden.to_json()))
        with (folder / "folds.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("group", "fold"))
            writer.writerows(zip(self.group.tolist(), self.fold.tolist(), strict=True))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        path, golden = folder / "golden.json", None
        if path.is_file():
            golden = GoldenRows.from_json(json.loads(path.read_text()))
        table = np.loadtxt(folder / "folds.csv", np.int64, delimiter=",", skiprows=1, ndmin=2)
        return cls(table[:, 0], table[:, 1], golden)

    def digest(self) -> str:
        """Return a hash of the assignment."""
        golden = (json.dumps(self.golden.to_json()),) if self.golden else ()
        return sha256_of(self.group.tobytes(), self.fold.tobytes(), *golden)

    def _parts(self) -> dict[str, Mask]:
        folds = {f"fold {k}": self.fold == k for k in range(self.count)}
        return {"held out": self.is_test, **folds}

    def facts(self) -> dict[str, JSON]:
        """Count rows and groups of each part."""
        return {
            name: {"rows": int(rows.sum()), "groups": len(set(self.group[rows].tolist()))}
            for name, rows in self._parts().items()
        }

    def pages(self) -> dict[str, str]:
        """Show which groups went where."""
        from bonafide.evaluation.report import tables_page

        lines = []
        for name, rows in self._parts().items():
            groups, sizes = np.unique(self.group[rows], return_counts=True)
            listed = ", ".join(f"{g} ({n})" for g, n in zip(groups, sizes, strict=True))
            lines.append([name, str(int(rows.sum())), str(len(groups)), listed])
        table = (("part", "rows", "groups", "group (rows)"), lines)
        return {"folds.html": tables_page("Folds", {"": table})}


def connected_groups(corpus: Corpus) -> Ints:
    """Return the group of each row: its connected component of sources and speakers.

    Rows that share a known source or a known speaker, directly or through other rows, are one
    group. A row of which neither is known stands alone.

    Parameters
    ----------
    corpus : Corpus
        Labelled rows.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Numbers from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_rows = len(corpus)
    names: dict[tuple[str, str], int] = {}
    edges = [
        (row, n_rows + names.setdefault((kind, value), len(names)))
        for kind in ("source", "speaker")
        for row, value in enumerate(corpus.column(kind).tolist())
        if value != UNKNOWN
    ]
    size = n_rows + len(names)
    rows, columns = (np.array(edges, dtype=np.intp).reshape(-1, 2)).T
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][:n_rows]
    return np.unique(component, return_inverse=True)[1].astype(np.int64)


def _split(is_spoof: Mask, group: Ints, count: int, seed: int) -> Ints:
    """Return the fold of each row: groups whole, classes as balanced as the groups allow."""
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = len(np.unique(group))
    for label, mask in (("bonafide", ~is_spoof), ("spoof", is_spoof)):
        holding = len(np.unique(group[mask]))
        if holding < count:
            raise CorpusError(
                "too_few_groups",
                f"{holding} of {n_groups} groups of sources and speakers hold {label} rows; "
                f"{count} parts need at least {count}: add sources, or lower folds.count",
            )
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    fold = np.empty(len(group), dtype=np.int64)
    for number, (_, rows) in enumerate(splitter.split(group, is_spoof, group)):
        fold[rows] = number
    for number in range(count):
        if len(np.unique(is_spoof[fold != number])) < 2:
            raise CorpusError(
                "too_few_groups",
                f"without part {number} of {count} no row of one label is left: {n_groups} groups "
                "of sources and speakers are too few or too uneven; add sources, or lower "
                "folds.count",
            )
    return fold


def hold_out(is_spoof: Mask, group: Ints, share: float, seed: int) -> Mask:
    """Choose whole groups that make up about `share` of the rows and hold both classes.

    Parameters
    ----------
    is_spoof : ndarray of bool, shape (n_rows,)
        Labels.
    group : ndarray of int64, shape (n_rows,)
        See `connected_groups`.
    share : float
        Above 0, below 1; where groups are few, a larger part may be chosen.
    seed : int
        Of the shuffle.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        True for the rows that are held out.

    Raises
    ------
    CorpusError
        ``too_few_groups`` if no such choice exists.
    """
    parts = max(2, round(1 / share))
    while True:
        try:
            part = _split(is_spoof, group, parts, seed)
            break
        except CorpusError:
            if parts == 2:
                raise
            parts -= 1  # few groups: a larger part than asked for
    sizes = np.bincount(part, minlength=parts)
    both = np.array([len(np.unique(is_spoof[part == number])) == 2 for number in range(parts)])
    distance = np.where(both, np.abs(sizes - share * len(group)), np.inf)
    if not both.any():
        raise CorpusError("too_few_groups", "no group of sources and speakers holds both classes")
    return np.asarray(part == int(np.argmin(distance)))


def make_folds(
    corpus: Corpus, *, count: int, test_share: float, seed: int, golden: Mask | None = None
) -> Folds:
    """Split a corpus into a test side and folds of the training side.

    Parameters
    ----------
    corpus : Corpus
        Labelled rows. Those whose split is ``test`` or ``eval`` are the test side, if there are
        any.
    count : int
        Number of folds.
    test_share : float
        About which share of the rows is held out where the corpus names no test side, in [0, 1);
        0 puts every row into a fold.
    seed : int
        Of the shuffles.
    golden : ndarray of bool, shape (n_rows,), or None
        Rows of the golden set: with their groups they are held out too, whatever the share.

    Returns
    -------
    Folds

    Raises
    ------
    CorpusError
        ``too_few_groups`` if groups are too few or too uneven, saying how many are needed;
        ``one_class`` if the corpus's own test side holds one label alone.
    """
    group, is_spoof = connected_groups(corpus), corpus.is_spoof
    split = np.char.lower(corpus.column("split"))
    test = np.isin(split, ("test", "eval")) & (test_share > 0.0)
    if len(labels := set(corpus.column("label")[test].tolist())) == 1:
        raise CorpusError(
            "one_class",
            f"the {test.sum()} rows whose split is test or eval are all {labels.pop()}; both "
            "labels are needed: correct the column, or leave it out",
        )
    if test_share > 0.0 and not test.any():
        test = hold_out(is_spoof, group, test_share, seed)
    if golden is not None:
        test = test | np.isin(group, group[golden])
    fold = np.full(len(group), TEST, dtype=np.int64)
    fold[~test] = _split(is_spoof[~test], group[~test], count, seed)
    if count > 2:  # below, nothing can be nested
        _require_both_labels_without_two(is_spoof[~test], fold[~test], count)
    return Folds(group, fold)


def split_corpus(
    corpus: Corpus, config: FoldsConfig, seed: int, *, golden: GoldenRows | None = None
) -> Folds:
    """Split a corpus as a configuration says: by the folds that it names, else by drawing some.

    Parameters
    ----------
    corpus : Corpus
        Labelled rows.
    config : FoldsConfig
        The configuration's ``folds``.
    seed : int
        Of the shuffles.
    golden : GoldenRows or None
        Rows of a golden set: with their groups they are held out, whatever the configuration.

    Returns
    -------
    Folds

    Raises
    ------
    CorpusError
        As in `fixed_folds` and `make_folds`.
    """
    held = np.zeros(len(corpus), bool)
    held[golden.rows if golden else []] = True
    if config.of:
        folds = fixed_folds(corpus, config.of)
        fold = np.where(np.isin(folds.group, folds.group[held]), TEST, folds.fold)
        return Folds(folds.group, fold, golden)
    count, test_share = config.count, config.test_share
    folds = make_folds(corpus, count=count, test_share=test_share, seed=seed, golden=held)
    return replace(folds, golden=golden)


def source_id(name: str) -> str:
    """Return ten digits of a source's hash to name it by: sources are often named after people."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def fixed_folds(corpus: Corpus, fold_of: Mapping[str, int]) -> Folds:
    """Put each source into the fold that is written down for it.

    Parameters
    ----------
    corpus : Corpus
        With sources and speakers.
    fold_of : mapping of str to int
        Fold of each source, by its name or its `source_id`: 0 .. count - 1, or -1 for the test
        side. It may name others too.

    Returns
    -------
    Folds

    Raises
    ------
    CorpusError
        ``no_fold`` if a source of the corpus has none; ``split_speaker`` if a speaker is in two
        folds; ``too_few_groups`` if without two folds no row of one label is left.
    """
    names = corpus.column("source").tolist()
    ids = {name: name if name in fold_of else source_id(name) for name in set(names)}
    if unknown := sorted(ids[name] for name in ids if ids[name] not in fold_of):
        listed = ", ".join(unknown[:5])
        raise CorpusError(
            "no_fold", f"no fold for {len(unknown)} of {len(ids)} sources, such as {listed}"
        )
    group, fold = connected_groups(corpus), np.array([fold_of[ids[n]] for n in names], np.int64)
    for number in np.unique(group):
        if len(set(fold[group == number].tolist())) > 1:
            row = corpus.rows[int(np.flatnonzero(group == number)[0])]
            raise CorpusError("split_speaker", f"{row.path}: shares speakers with another fold")
    side, count = fold != TEST, int(fold.max()) + 1
    if count > 2:  # below, nothing can be nested
        _require_both_labels_without_two(corpus.is_spoof[side], fold[side], count)
    return Folds(group, fold)


def _require_both_labels_without_two(is_spoof: Mask, fold: Ints, count: int) -> None:
    """Refuse folds of which two, left out together for nested scores, leave one label alone."""
    for out in combinations(range(count), 2):
        if len(np.unique(is_spoof[~np.isin(fold, out)])) < 2:
            raise CorpusError(
                "too_few_groups",
                f"without folds {out[0]} and {out[1]} of {count} no row of one label is left, and "
                "stacks are judged by models that saw neither; add sources, or raise folds.count",
            )
