"""The one row schema: the columns and labels that every corpus is read into."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonafide.errors import CorpusError
from bonafide.types import Mask

UNKNOWN = "-"
LABELS = ("bonafide", "spoof")
# What users write, in any case -> our label.
LABEL_NAMES = {
    **dict.fromkeys(("bonafide", "bona-fide", "real", "genuine", "human"), "bonafide"),
    **dict.fromkeys(("spoof", "fake", "deepfake", "generated"), "spoof"),
}

# What programs and people leave where they have no value. A corpus that says "unknown" means it:
# its own rows of that name are of one kind, and stay together.
UNKNOWN_WORDS = frozenset(
    (
        *("", "-", "--", "?", "na", "n/a", "n.a.", "nan", "-nan", "nat", "none", "null", "nil"),
        *("<na>", "(null)", "(blank)", "#n/a", "#n/a n/a", "#na", "#null!", "#value!", "#ref!"),
        *("#nv", "#n/d", "#name?", "#num!", "#div/0!", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
        *("n / a", r"\n", ".", "_", "\u2013", "\u2014", "missing", "undefined", "not available"),
    )
)


def read_value(text: str) -> str:
    """Return a descriptive value, or ``-`` for a word that says that it is not known.

    Such a word is no group: all the rows that hold it would be one speaker, or one source.

    Parameters
    ----------
    text : str
        As the corpus gives it; spaces around it do not count.

    Returns
    -------
    str

    Examples
    --------
    >>> [read_value(text) for text in (" Ann ", "NaN", "None", "n/a", "")]
    ['Ann', '-', '-', '-', '-']
    """
    text = text.strip()
    return UNKNOWN if text.lower() in UNKNOWN_WORDS else text


def known_label(text: str) -> str | None:
    """Return the label that a word stands for, or None; see `read_label`."""
    return LABEL_NAMES.get(re.sub(r"[\s_-]+", "", text.lower()))


def read_label(text: str, where: str) -> str:
    """Return the label that a word stands for.

    Parameters
    ----------
    text : str
        A key of `LABEL_NAMES`, in any case; spaces, hyphens and underscores do not count.
    where : str
        File and row, for the message.

    Returns
    -------
    str
        ``bonafide`` or ``spoof``.

    Raises
    ------
    CorpusError
        ``bad_label`` for any other text.

    Examples
    --------
    >>> read_label("Bona-Fide", "meta.csv, row 2")
    'bonafide'
    """
    label = known_label(text)
    if label is None:
        allowed = ", ".join(LABEL_NAMES)
        raise CorpusError(
            "bad_label", f"{where}: label {text!r} is not known; must be one of {allowed}"
        )
    return label


@dataclass(frozen=True)
class Row:
    """One labelled recording. Unknown values are ``-``.

    Parameters
    ----------
    path : str
        Relative to the corpus root, or absolute.
    label : {"bonafide", "spoof"}
        Genuine speech, or generated, vocoded or converted speech.
    attack_type : str
        ``tts``, ``vc`` or ``vocoder``.
    system : str
        The generator that made a spoof.
    speaker, source : str
        Who speaks; where the recording comes from. Folds keep both whole.
    language, corpus, licence, text_id : str
        Language spoken, name of the corpus, licence of the recording, which text is spoken.
    split : str
        The corpus's own; ``test`` and ``eval`` are held out.
    original_rate, original_codec, duration_s : str
        Hz, name and seconds, as the corpus states them; nothing is measured here.
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

    Examples
    --------
    >>> corpus = Corpus(Path("mine"), [Row("a.wav", "bonafide"), Row("b.wav", "spoof")])
    >>> len(corpus), corpus.is_spoof.tolist()
    (2, [False, True])
    >>> corpus.column("system").tolist()
    ['-', '-']
    >>> corpus.take([1]).rows[0].path
    'b.wav'
    """

    root: Path
    rows: Sequence[Row]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows in order."""
        return iter(self.rows)

    def audio_path(self, row: Row) -> Path:
        """Return the path of a row's recording on disk."""
        return self.root / row.path

    def column(self, name: str) -> NDArray[np.str_]:
        """Return one column.

        Parameters
        ----------
        name : str
            One of `COLUMNS`.

        Returns
        -------
        ndarray of str, shape (n_rows,)
        """
        return np.array([getattr(row, name) for row in self.rows], dtype=np.str_)

    @property
    def is_spoof(self) -> Mask:
        """Return whether each row is a spoof, shape (n_rows,)."""
        return np.array([row.label == "spoof" for row in self.rows], dtype=np.bool_)

    def take(self, indices: Iterable[int]) -> "Corpus":
        """Return some of the rows.

        Parameters
        ----------
        indices : iterable of int
            Positions of rows, from 0.

        Returns
        -------
        Corpus
            The rows at these positions, in this order.
        """
        return Corpus(self.root, [self.rows[int(i)] for i in indices])

    def to_csv(self) -> str:
        """Return the rows as CSV with a header, as the manifest reader reads it."""
        text = io.StringIO()
        # RFC 4180's line ends, so that a lone CR is quoted.
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        return text.getvalue()

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the rows alone: neither the folder nor the audio counts."""
        return hashlib.sha256(self.to_csv().encode(errors="surrogateescape")).hexdigest()


def describe(corpus: Corpus) -> dict[str, int]:
    """Count rows, labels and the distinct values of the descriptive columns.

    Parameters
    ----------
    corpus : Corpus
        Any corpus, an empty one too.

    Returns
    -------
    dict of str to int
        ``rows``, ``bonafide``, ``spoof``, ``sources``, ``speakers`` and ``generators``; unknown
        values are not counted.

    Examples
    --------
    >>> rows = [Row("a.wav", "bonafide", speaker="ann"), Row("b.wav", "spoof", system="A07")]
    >>> describe(Corpus(Path("mine"), rows))
    {'rows': 2, 'bonafide': 1, 'spoof': 1, 'sources': 0, 'speakers': 1, 'generators': 1}
    """
    spoofs = int(corpus.is_spoof.sum())
    columns = {"sources": "source", "speakers": "speaker", "generators": "system"}
    distinct = {
        name: len(set(corpus.column(column).tolist()) - {UNKNOWN})
        for name, column in columns.items()
    }
    return {"rows": len(corpus), "bonafide": len(corpus) - spoofs, "spoof": spoofs, **distinct}


def join(corpora: Sequence[Corpus]) -> Corpus:
    """Concatenate corpora.

    Parameters
    ----------
    corpora : sequence of Corpus
        At least one.

    Returns
    -------
    Corpus
        A single corpus unchanged. Of several: their rows in order, with absolute paths, and unknown
        sources named after the corpus's folder.

    Raises
    ------
    CorpusError
        ``no_corpus`` if there is none.

    Examples
    --------
    >>> corpora = [Corpus(Path("ours"), [Row("a.wav", "bonafide")]), Corpus(Path("theirs"), [])]
    >>> [row.source for row in join(corpora)]
    ['ours']
    """
    if not corpora:
        raise CorpusError("no_corpus", "no corpus is named; must be at least 1")
    if len(corpora) == 1:
        return corpora[0]
    rows = []
    for corpus in corpora:
        for row in corpus:
            source = corpus.root.name if row.source == UNKNOWN else row.source
            path = str(corpus.audio_path(row).resolve())
            rows.append(replace(row, path=path, source=source))
    return Corpus(Path("/"), rows)


def require_both_labels(corpus: Corpus, where: str) -> None:
    """Check that a corpus has both labels: nothing can be learned from one.

    Parameters
    ----------
    corpus : Corpus
        The rows to check.
    where : str
        The corpus's name, for the message.

    Raises
    ------
    CorpusError
        ``one_class`` if a label has no row.
    """
    seen = {row.label for row in corpus}
    missing = [label for label in LABELS if label not in seen]
    if missing:
        raise CorpusError(
            "one_class",
            f"{where}: rows 2 to {len(corpus) + 1} are all {', '.join(sorted(seen))}; "
            f"at least one {missing[0]} is needed",
        )
