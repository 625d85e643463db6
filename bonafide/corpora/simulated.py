"""Which rows of a corpus are simulated: nobody speaks in them, whatever the corpus is called."""

import os
import re
from functools import cache
from pathlib import Path

import numpy as np

from bonafide.corpora.schema import Corpus, Row
from bonafide.types import Mask

NAME = "simulated"  # in the column ``corpus``; begins every ``source``
MARKER = "simulated.json"  # lies beside the manifest
TAG = "bonafide corpus simulate"  # the comment in every file
HEAD_BYTES = 4096  # comments come first in FLAC, Ogg and MP3
_CLIP = re.compile(r"(^|[/\\])sim_\d{5,}\.\w+$", re.IGNORECASE)


def simulated_rows(corpus: Corpus) -> Mask:
    """Return which rows `bonafide corpus simulate` made.

    Any one mark will do, so that a copy under another name is known as long as it keeps one: the
    corpus, the source or the speaker that the rows name, the file's name, the comment in it, or a
    ``simulated.json`` in its folder or the one above.

    Parameters
    ----------
    corpus : Corpus
        Any corpus.

    Returns
    -------
    ndarray of bool, shape (n_rows,)

    Examples
    --------
    >>> rows = [Row("a.wav", "spoof", corpus="simulated"), Row("b.wav", "bonafide")]
    >>> simulated_rows(Corpus(Path("mine"), rows)).tolist()
    [True, False]
    """

    @cache
    def marked(folder: Path) -> bool:
        return any(_is_file(place / MARKER) for place in (folder, folder.parent))

    def made_here(row: Row) -> bool:
        path = corpus.audio_path(row)
        return _says_so(row) or marked(path.parent) or _is_tagged(path)

    return np.array([made_here(row) for row in corpus], dtype=np.bool_)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises for a name that is too long


def _is_tagged(path: Path) -> bool:
    """Return whether the comment in a file tells that it is simulated."""
    if not _is_file(path):
        return False
    try:
        with path.open("rb") as file:
            return TAG.encode() in file.read(HEAD_BYTES)
    except OSError:  # nothing is learned from a file that cannot be read
        return False


def _says_so(row: Row) -> bool:
    """Return whether a row's own values tell that it is simulated."""
    source = row.source.strip().lower()
    return (
        row.corpus.strip().lower() == NAME
        or source == NAME
        or source.startswith(f"{NAME}/")
        or row.speaker.strip().lower().startswith("sim:")
        or _CLIP.search(row.path) is not None
    )
