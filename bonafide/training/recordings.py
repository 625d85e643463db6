"""The results of ingestion: the usable recordings, and the rows that were set aside."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, JsonArtifact
from bonafide.corpora.schema import COLUMNS, Corpus, Row, describe

FILE = "recordings.parquet"
SHOWN = ("source", "system", "attack_type", "language", "original_codec", "licence")
MAX_SHOWN = 40

MEASURES = (
    "duration_s",
    "level_db",
    "peak_db",
    "noise_floor_db",
    "digital_zeros",
    "leading_silence_s",
    "trailing_silence_s",
    "silence_share",
    "bandwidth_hz",
    "bytes_per_s",
    "file_rate_hz",
    "channels",
    "codec",
)


@dataclass(frozen=True)
class Rejected:
    """A row that was set aside: which, where, and why.

    Parameters
    ----------
    row : int
        Its position in the corpus, from 0.
    path, code, message : str
        Its path as it can be printed, and the reason.
    entry : Row or None
        The row itself, for the lineage.
    file_sha256 : str
        Hash of its file; empty if that cannot be read.
    """

    row: int
    path: str
    code: str
    message: str
    entry: Row | None = None
    file_sha256: str = ""


@dataclass(frozen=True)
class Recordings(Artifact):
    """The usable rows of a corpus with what was found in their audio.

    Parameters
    ----------
    corpus : Corpus
        The usable rows.
    sha256 : ndarray of str, shape (n_rows,)
        Hash of the decoded sound: 16 kHz, rounded to 16 bits.
    measures : ndarray of float64, shape (n_rows, len(MEASURES))
        For the shortcut audit; no detector sees them.
    file_sha256 : ndarray of str, shape (n_rows,) or (0,)
        Hash of each file, for the lineage; none where they were not taken.
    """

    corpus: Corpus
    sha256: NDArray[np.str_]
    measures: NDArray[np.float64]
    file_sha256: NDArray[np.str_] = field(default_factory=lambda: np.array([], np.str_))

    @property
    def rows_sha256(self) -> str:
        """Hash of rows and sounds together: the identity of what models are trained on."""
        text = self.corpus.to_csv() + "\n".join(self.sha256)
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write one Parquet table; the corpus root goes into its metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: self.corpus.column(name).tolist() for name in COLUMNS}
        columns["sha256"] = self.sha256.tolist()
        if len(self.file_sha256):
            columns["file_sha256"] = self.file_sha256.tolist()
        measures = {f"measured_{name}": self.measures[:, i] for i, name in enumerate(MEASURES)}
        table = pa.table({**columns, **measures})
        table = table.replace_schema_metadata({"root": str(self.corpus.root)})
        pq.write_table(table, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the table."""
        import pyarrow.parquet as pq

        table = pq.read_table(folder / FILE)
        rows = [Row(**row) for row in table.select(list(COLUMNS)).to_pylist()]
        measures = [table.column(f"measured_{name}").to_numpy() for name in MEASURES]
        root = Path(table.schema.metadata[b"root"].decode())
        sha256 = np.array(table.column("sha256").to_pylist())
        corpus, stacked = Corpus(root, rows), np.stack(measures, axis=1)
        if "file_sha256" not in table.column_names:
            return cls(corpus, sha256, stacked)
        return cls(corpus, sha256, stacked, np.array(table.column("file_sha256").to_pylist()))

    def take(self, rows: NDArray[np.intp]) -> "Recordings":
        """Return some of the rows, in this order."""
        files = self.file_sha256[rows] if len(self.file_sha256) else self.file_sha256
        return Recordings(self.corpus.take(rows), self.sha256[rows], self.measures[rows], files)

    def digest(self) -> str:
        """Return the hash of rows and sounds."""
        return self.rows_sha256

    def facts(self) -> dict[str, JSON]:
        """Count rows, labels, sources, speakers, generators and hours."""
        return {
            **describe(self.corpus),
            "rows_sha256": self.rows_sha256,
            "root": str(self.corpus.root),
            "hours": float(self.measures[:, 0].sum() / 3600),
        }

    def pages(self) -> dict[str, str]:
        """Show the corpus by label and each descriptive column."""
        from bonafide.evaluation.report import tables_page

        spoof, tables = self.corpus.is_spoof, {}
        for name in SHOWN:
            values = self.corpus.column(name)
            groups = sorted(set(values.tolist()), key=lambda v: -int((values == v).sum()))
            lines = [
                [group, str(int((rows & ~spoof).sum())), str(int((rows & spoof).sum()))]
                for group in groups[:MAX_SHOWN]
                for rows in [values == group]
            ]
            tables[f"By {name}"] = ((name, "bona fide", "spoof"), lines)
        return {"corpus.html": tables_page("Corpus", tables)}


@dataclass(frozen=True)
class Quarantine(JsonArtifact):
    """The rows that were set aside, and how many were read.

    Parameters
    ----------
    rejected : sequence of Rejected
        The rows.
    n_rows : int
        How many were read.
    repeated : dict of str to dict of str to int
        Source -> source of the same sounds, which came first -> how many of them there are.
    """

    FILE: ClassVar = "quarantine.json"

    rejected: Sequence[Rejected] = field(default_factory=list)
    n_rows: int = 0
    repeated: dict[str, dict[str, int]] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Count the reasons."""
        codes = [item.code for item in self.rejected]
        return {code: codes.count(code) for code in sorted(set(codes))}

    def facts(self) -> dict[str, JSON]:
        """Count rows by reason."""
        return {"rows": self.n_rows, "set_aside": len(self.rejected), **self.counts()}

    def pages(self) -> dict[str, str]:
        """Show every row that was set aside."""
        from bonafide.evaluation.report import tables_page

        lines = [[str(r.row + 2), r.path, r.code, r.message] for r in self.rejected]
        table = (("row", "path", "code", "reason"), lines)
        return {"quarantine.html": tables_page("Quarantine", {"": table})}
