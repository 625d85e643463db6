"""The known readers, and the choice of one for a path."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bonafide.corpora import folder, manifest
from bonafide.corpora.reader import Reader
from bonafide.corpora.schema import Corpus
from bonafide.errors import BonafideError, CorpusError
from bonafide.plugins import Registry

# A reader of ours is a file beside this one, named here; another package's is an entry point.
READERS = Registry("bonafide.readers", Reader, (manifest.READER, folder.READER))

Answer = TypeVar("Answer")


def _ask(reader: Reader, ask: Callable[[Path], Answer], path: Path) -> Answer:
    """Call a reader's function; an unexpected error names the reader, which may be anyone's."""
    try:
        return ask(path)
    except BonafideError:
        raise
    except Exception as error:
        raise CorpusError(
            "reader_failed", f"{path}: the reader {reader.name!r} failed: {error!r}"
        ) from error


def recognise(path: Path) -> str:
    """Return the name of a corpus's format.

    Every reader sniffs the path. Of those that recognise it, the one of the highest
    `bonafide.corpora.reader.Rank` is chosen: a published corpus before a general format, and that
    before any folder or table. Two of the same rank are an error, never a guess.

    Parameters
    ----------
    path : Path
        A file or a folder.

    Returns
    -------
    str
        A name in `READERS`.

    Raises
    ------
    CorpusError
        ``no_corpus`` if nothing is there, ``unknown_format`` if no reader recognises it,
        ``ambiguous_format`` if two of the same rank do, ``reader_failed`` if one breaks.
    ConfigError
        ``bad_plugin`` if a reader of another package cannot be loaded.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = Path(folder) / "mine.csv"
    ...     manifest.touch()
    ...     recognise(manifest)
    'manifest'
    """
    if not path.exists():
        raise CorpusError("no_corpus", f"{path}: no such file or folder")
    readers = READERS.all()
    fitting = [reader for reader in readers if _ask(reader, reader.sniff, path)]
    if not fitting:
        layouts = " or ".join(reader.layout for reader in readers)
        raise CorpusError("unknown_format", f"{path}: no corpus format fits; must be {layouts}")
    highest = max(reader.rank for reader in fitting)
    names = [reader.name for reader in fitting if reader.rank == highest]
    if len(names) > 1:
        raise CorpusError(
            "ambiguous_format",
            f"{path}: fits the corpus formats {', '.join(names)} equally; name the one you mean",
        )
    return names[0]


def read_corpus(path: Path | str, corpus_format: str | None = None) -> Corpus:
    r"""Read a corpus in any known format.

    Parameters
    ----------
    path : Path or str
        A file or a folder. A folder with a ``manifest.csv`` is read by it, whatever else it looks
        like, unless the format is given.
    corpus_format : str or None
        A name in `READERS`, such as ``manifest`` or ``folder``; None: `recognise` it.

    Returns
    -------
    Corpus
        At least one row.

    Raises
    ------
    CorpusError
        As in the reader and in `recognise`; ``unknown_format`` for an unknown name; ``no_rows`` if
        there is no recording in it.
    ConfigError
        ``bad_plugin`` if a reader of another package cannot be loaded.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = Path(folder) / "mine.csv"
    ...     _ = manifest.write_text("path,label\na.wav,real\nb.wav,fake\n")
    ...     corpus = read_corpus(manifest)
    >>> [(row.path, row.label) for row in corpus]
    [('a.wav', 'bonafide'), ('b.wav', 'spoof')]
    """
    path = Path(path)
    if corpus_format is None and (path / "manifest.csv").is_file():
        path = path / "manifest.csv"
    name = corpus_format or recognise(path)
    reader = READERS.find(name)
    if reader is None:
        allowed = ", ".join(READERS.names())
        raise CorpusError("unknown_format", f"corpus format {name!r}: must be one of {allowed}")
    corpus = _ask(reader, reader.read, path)
    if not len(corpus):
        raise CorpusError("no_rows", f"{path}: holds no recording")
    return corpus
