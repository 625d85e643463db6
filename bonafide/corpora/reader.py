"""The interface of corpus readers, which every format implements."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from bonafide.corpora.schema import Corpus


class Rank(IntEnum):
    """How specific a reader is: of those that recognise a path, the highest rank reads it."""

    SHAPE = 0
    """Any folder or any table: a folder for each class, a CSV file."""

    FORMAT = 1
    """A format that many corpora come in: WebDataset, NeMo, Lhotse, Kaldi."""

    CORPUS = 2
    """One published corpus: ASVspoof 2019, In-the-Wild."""


@dataclass(frozen=True)
class Reader:
    """One corpus format: how to recognise it and how to read it.

    Parameters
    ----------
    name : str
        Its name for ``--corpus-format``.
    layout : str
        What it reads, for messages: "a .csv or .parquet manifest".
    sniff : callable of Path to bool
        Return whether a path that exists looks like this format. It looks at names and first lines
        only, so that asking every reader costs next to nothing, and returns False instead of
        raising.
    read : callable of Path to Corpus
        Read the corpus: rows, in an order that does not change from one call to the next. Raise
        `CorpusError` where it cannot, with the file and the row: ``no_corpus`` for a path that is
        not there, `bonafide.corpora.schema.read_label` for labels. It may open lists and protocol
        files but no audio.
    rank : Rank
        How specific `sniff` is. Two readers of one rank should not recognise the same path:
        `bonafide.corpora.recognise` would have to ask which is meant.
    """

    name: str
    layout: str
    sniff: Callable[[Path], bool]
    read: Callable[[Path], Corpus]
    rank: Rank = Rank.CORPUS
