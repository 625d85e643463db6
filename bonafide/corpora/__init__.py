"""Corpora: labelled recordings as rows of one schema, whatever their layout on disk."""

from bonafide.corpora.reader import Rank, Reader
from bonafide.corpora.registry import READERS, read_corpus, recognise
from bonafide.corpora.schema import COLUMNS, Corpus, Row

__all__ = [
    "COLUMNS",
    "READERS",
    "Corpus",
    "Rank",
    "Reader",
    "Row",
    "read_corpus",
    "recognise",
]
