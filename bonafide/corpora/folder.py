"""Reader of a folder with one subfolder for each class, such as ``real/`` and ``fake/``."""

from pathlib import Path

from bonafide.corpora.files import audio_files
from bonafide.corpora.reader import Rank, Reader
from bonafide.corpora.schema import LABEL_NAMES, UNKNOWN, Corpus, Row
from bonafide.errors import CorpusError


def sniff(path: Path) -> bool:
    """Return whether the path is a folder at all; `read` reports what is wrong with it."""
    return path.is_dir()


def read(path: Path) -> Corpus:
    """Read a folder of classes.

    Below the class, a first folder names the speaker of a bona fide recording and the system of a
    spoof.

    Parameters
    ----------
    path : Path
        The folder that holds the classes' folders.

    Returns
    -------
    Corpus
        Class by class, each sorted; paths are relative to `path`.

    Raises
    ------
    CorpusError
        ``no_corpus`` if it is not a folder, ``bad_folder`` if no subfolder names a class.
    """
    if not path.is_dir():
        raise CorpusError("no_corpus", f"{path}: no such folder")
    classes = sorted(d for d in path.iterdir() if d.is_dir() and d.name.lower() in LABEL_NAMES)
    if not classes:
        raise CorpusError(
            "bad_folder", f"{path}: no subfolder names a class, one of {', '.join(LABEL_NAMES)}"
        )
    return Corpus(path, [_row(f, folder, path) for folder in classes for f in audio_files(folder)])


def _row(file: Path, folder: Path, root: Path) -> Row:
    label = LABEL_NAMES[folder.name.lower()]
    inner = file.relative_to(folder).parts
    group = inner[0] if len(inner) > 1 else UNKNOWN
    return Row(
        path=file.relative_to(root).as_posix(),
        label=label,
        system=group if label == "spoof" else UNKNOWN,
        speaker=group if label == "bonafide" else UNKNOWN,
        corpus=root.name,
    )


READER = Reader("folder", "a folder with one subfolder for each class", sniff, read, Rank.SHAPE)
