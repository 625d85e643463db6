"""Which rows of a corpus are simulated: nobody speaks in them, whatever the corpus is called."""

import re
from functools import cache
from pathlib import Path

import numpy as np

from bonafide.corpora.schema import Corpus, Row
from bonafide.types import Mask

NAME = "simulated"  # in the column ``corpus``; begins every ``source``
MARKER = "simulated.json"  # lies beside the manifest
_CLIP = re.compile(r"(^|[/\\])sim_\d{5,}\.\w+$", re.IGNORECASE)


def simulated_rows(corpus: Corpus) -> Mask:
    """Return which rows `bonafide corpus simulate` made.

    Any one mark will do, so that a copy under another name is known as long as it keeps one: the
    corpus, the source or the speaker that the rows name, the file's name, or a ``simulated.json``
    in its folder or the one above.

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
        return any(Path(place / MARKER).is_file() for place in (folder, folder.parent))

    return np.array(
        [_says_so(row) or marked(corpus.audio_path(row).parent) for row in corpus], dtype=np.bool_
    )


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
