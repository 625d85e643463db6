"""The one row schema: the columns that every corpus is read into."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "-"
LABELS = ("bonafide", "spoof")


@dataclass(frozen=True)
class Row:
    """One labelled recording.

    Texts that are not known are ``-``. ``path`` is relative to the corpus root or absolute;
    ``original_rate`` is in Hz and ``duration_s`` in seconds, both as written in the manifest.
    """

    path: str
    label: str
    attack_type: str = UNKNOWN
    system: str = UNKNOWN
    speaker: str = UNKNOWN
    language: str = UNKNOWN
    source: str = UNKNOWN
    corpus: str = UNKNOWN
    split: str = UNKNOWN
    original_rate: str = UNKNOWN
    original_codec: str = UNKNOWN
    duration_s: str = UNKNOWN
    licence: str = UNKNOWN
    text_id: str = UNKNOWN


COLUMNS = tuple(column.name for column in fields(Row))


@dataclass(frozen=True)
class Corpus:
    """Rows and the folder that their paths start from.

    Parameters
    ----------
    root : Path
        Folder that relative paths start from.
    rows : sequence of Row
        In the order of the manifest or of the sorted folder.
    """

    root: Path
    rows: Sequence[Row]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows in order."""
        return iter(self.rows)

    def audio_path(self, row: Row) -> Path:
        """Return the place of a row's recording on disk."""
        return self.root / row.path

    def column(self, name: str) -> NDArray[np.str_]:
        """Return one column as an array of texts, shape (n_rows,)."""
        return np.array([getattr(row, name) for row in self.rows], dtype=np.str_)

    @property
    def is_spoof(self) -> NDArray[np.bool_]:
        """True where the label is spoof, shape (n_rows,)."""
        return np.array([row.label == "spoof" for row in self.rows], dtype=np.bool_)

    def take(self, indices: Iterable[int]) -> "Corpus":
        """Return the rows at these positions, in their order."""
        return Corpus(self.root, [self.rows[int(i)] for i in indices])

    def to_csv(self) -> str:
        """Write the rows as CSV with a header."""
        text = io.StringIO()
        writer = csv.DictWriter(
            text, COLUMNS, lineterminator="\r\n"
        )  # RFC 4180, so that a lone CR is quoted
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        return text.getvalue()

    @property
    def sha256(self) -> str:
        """Hash of the rows (not of the audio, which has its own), whatever folder holds them."""
        return hashlib.sha256(self.to_csv().encode()).hexdigest()


def describe(corpus: Corpus) -> dict[str, int]:
    """Count rows, labels and the distinct values of the descriptive columns."""
    spoofs = int(corpus.is_spoof.sum())
    columns = {"sources": "source", "speakers": "speaker", "generators": "system"}
    distinct = {
        name: len(set(corpus.column(column).tolist()) - {UNKNOWN})
        for name, column in columns.items()
    }
    return {"rows": len(corpus), "bonafide": len(corpus) - spoofs, "spoof": spoofs, **distinct}
