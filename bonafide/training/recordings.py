"""What ingestion ends in: the usable recordings, and the rows that were set aside."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus

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
    """A row that was set aside: which, where, and why."""

    row: int
    path: str
    code: str
    message: str


@dataclass(frozen=True)
class Recordings:
    """The usable rows of a corpus with what was found in their audio.

    Parameters
    ----------
    corpus : Corpus
        The usable rows.
    sha256 : ndarray of str, shape (n_rows,)
        Hash of the decoded sound: 16 kHz, rounded to 16 bits.
    measures : ndarray of float64, shape (n_rows, len(MEASURES))
        What the shortcut audit looks at; nothing of it goes into a detector.
    """

    corpus: Corpus
    sha256: NDArray[np.str_]
    measures: NDArray[np.float64]

    @property
    def rows_sha256(self) -> str:
        """Hash of rows and sound together: what the models were made from."""
        text = self.corpus.to_csv() + "\n".join(self.sha256)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Quarantine:
    """What was set aside out of how many."""

    rejected: Sequence[Rejected] = field(default_factory=list)
    n_rows: int = 0

    def counts(self) -> dict[str, int]:
        """Count the reasons."""
        codes = [item.code for item in self.rejected]
        return {code: codes.count(code) for code in sorted(set(codes))}
