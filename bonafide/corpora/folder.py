"""Reader of a folder with one subfolder for each class, such as ``real/`` and ``fake/``."""

import re
from pathlib import Path

from bonafide.corpora.files import audio_files
from bonafide.corpora.reader import Rank, Reader
from bonafide.corpora.schema import LABEL_NAMES, UNKNOWN, Corpus, Row, known_label, read_value
from bonafide.errors import CorpusError

# The two-letter codes of ISO 639.
LANGUAGES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu "
    "hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb "
    "lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
    "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)


def sniff(path: Path) -> bool:
    """Return whether the path is a folder at all; `read` reports what is wrong with it."""
    return path.is_dir()


def read(path: Path) -> Corpus:
    """Read a folder of classes.

    Below the class, a first folder names the speaker of a bona fide recording and the system of a
    spoof; a level of languages may come before it, as in MLAAD's ``fake/de/vits/``.

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
    classes = sorted(d for d in path.iterdir() if d.is_dir() and known_label(d.name))
    if not classes:
        raise CorpusError(
            "bad_folder", f"{path}: no subfolder names a class, one of {', '.join(LABEL_NAMES)}"
        )
    return Corpus(path, [row for folder in classes for row in _rows(folder, path)])


def _rows(folder: Path, root: Path) -> list[Row]:
    """Return the rows of one class."""
    label, by_language = known_label(folder.name), _is_by_language(folder)
    rows = []
    for file in audio_files(folder):
        levels = [read_value(name) for name in file.relative_to(folder).parts[:-1]]
        language = levels.pop(0) if by_language and levels else UNKNOWN
        group = levels[0] if levels else UNKNOWN
        rows.append(
            Row(
                path=file.relative_to(root).as_posix(),
                label=str(label),
                language=language,
                system=group if label == "spoof" else UNKNOWN,
                speaker=group if label == "bonafide" else UNKNOWN,
                corpus=root.name,
            )
        )
    return rows


def _is_by_language(folder: Path) -> bool:
    """Return whether all folders of a class are languages; one such name may be a speaker's."""
    inner = [each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")]
    return bool(inner) and all(map(_is_language, inner))


def _is_language(folder: Path) -> bool:
    """Return whether a folder is a language: by its code, or by MLAAD's lists in its models."""
    code = re.fullmatch(r"([a-z]{2})([-_][a-z]{2,4})?", folder.name.lower())
    return bool(code and code[1] in LANGUAGES.split()) or any(folder.glob("*/meta.csv"))


READER = Reader("folder", "a folder with one subfolder for each class", sniff, read, Rank.SHAPE)
