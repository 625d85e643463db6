"""A reader that Bonafide does not bring: the In-the-Wild corpus, as another package would add it.

Layout: ``0.wav``, ``1.wav`` ... beside ``meta.csv`` with the header ``file,speaker,label``.
"""

import csv
from pathlib import Path

from bonafide.corpora import Corpus, Reader, Row
from bonafide.corpora.schema import read_label
from bonafide.errors import CorpusError

HEADER = ["file", "speaker", "label"]


def sniff(path: Path) -> bool:
    meta = path / "meta.csv"
    if not meta.is_file():
        return False
    with meta.open("rb") as file:
        return file.readline(100).strip() == ",".join(HEADER).encode()


def read(path: Path) -> Corpus:
    meta = path / "meta.csv"
    if not meta.is_file():
        raise CorpusError("no_corpus", f"{meta}: no such file")
    with meta.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        rows = [
            Row(
                path=line["file"],
                label=read_label(line["label"], f"{meta}, row {number}"),
                speaker=line["speaker"],
                corpus="In-the-Wild",
            )
            for number, line in enumerate(lines, start=2)
        ]
    return Corpus(path, rows)


READER = Reader("in_the_wild", "a folder with the In-the-Wild meta.csv", sniff, read)
