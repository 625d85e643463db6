"""Corpora: labelled recordings as rows of one schema, whatever their layout on disk."""

from bonafide.corpora.readers import read_corpus
from bonafide.corpora.schema import COLUMNS, Corpus, Row

__all__ = ["COLUMNS", "Corpus", "Row", "read_corpus"]
