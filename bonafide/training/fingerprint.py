"""The fingerprint of corpora: their rows and what their files hold, each file hashed once.

A file is hashed again when its size, time, number or change time differ, which no copying tool can
set back, and when it changed so shortly before it was hashed that a later change might carry the
same times (Git calls such a file racily clean).
"""

import hashlib
import json
import stat
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from bonafide.artifact import sha256_of
from bonafide.bundle import file_sha256
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus, join, require_both_labels
from bonafide.display import reporter
from bonafide.errors import AudioError, BonafideError, CorpusError
from bonafide.home import home
from bonafide.process.pool import Progress, worker_count

FINEST_NS = 2_000_000_000  # the coarsest clock of a file system: FAT's
BATCH = 4096
CHANGED = "changed"  # the code of a file that is not what it was
Stamp: TypeAlias = list[int]
Known: TypeAlias = dict[str, tuple[Stamp, str]]


def fingerprint(corpora: Sequence[str], corpus_format: str | None, verify: bool = False) -> str:
    """Hash rows and files.

    Parameters
    ----------
    corpora : sequence of str
        Manifests or folders.
    corpus_format : str or None
        Name of their reader; None to recognise it.
    verify : bool
        Hash every file, whatever is remembered of it.

    Returns
    -------
    str
        SHA-256, hexadecimal.

    Raises
    ------
    CorpusError
        As in `read_corpora`.
    """
    corpus = read_corpora(corpora, corpus_format)
    found = _file_hashes(corpora, corpus, verify)
    digest = hashlib.sha256(corpus.to_csv().encode(errors="surrogateescape"))
    for path in (str(corpus.audio_path(row)) for row in corpus):  # a missing one is set aside later
        digest.update(found[path][1].encode() if path in found else b"-")
    return digest.hexdigest()


def read_corpora(corpora: Sequence[str], corpus_format: str | None) -> Corpus:
    """Read what is to be trained on, files aside.

    Parameters
    ----------
    corpora : sequence of str
        Manifests or folders.
    corpus_format : str or None
        Name of their reader; None to recognise it.

    Returns
    -------
    Corpus
        All rows.

    Raises
    ------
    CorpusError
        If a corpus cannot be read; ``one_class`` if a label has no row.
    """
    corpus = _joined(corpora, corpus_format)
    require_both_labels(corpus, ", ".join(corpora))
    return corpus


def _joined(corpora: Sequence[str], corpus_format: str | None) -> Corpus:
    return join([read_corpus(path, corpus_format) for path in _resolved(corpora)])


def _resolved(corpora: Sequence[str]) -> list[Path]:
    return [Path(path).resolve() for path in corpora]


def file_hashes(corpora: Sequence[str], corpus_format: str | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file of corpora that can be read; those that are known are kept.

    Parameters
    ----------
    corpora : sequence of str
        Manifests or folders.
    corpus_format : str or None
        Name of their reader; None to recognise it.

    Returns
    -------
    dict of str to str
        By path.

    Raises
    ------
    CorpusError
        If a corpus cannot be read.
    """
    found = _file_hashes(corpora, _joined(corpora, corpus_format), verify=False)
    return {path: sha256 for path, (_, sha256) in found.items()}


def _file_hashes(corpora: Sequence[str], corpus: Corpus, verify: bool) -> Known:
    """Return the stamp and the hash of each file, and remember them."""
    memory = home() / "hashes" / f"{sha256_of(*map(str, _resolved(corpora)))[:12]}.json"
    known = {} if verify else _remembered(memory)
    found = _hash_files([str(corpus.audio_path(row)) for row in corpus], known, reporter("hash"))
    if found != known:
        _remember(memory, found)
    return found


def require_unchanged(expected: str, corpora: Sequence[str], corpus_format: str | None) -> None:
    """Require that the corpora are what a fingerprint was taken of.

    Parameters
    ----------
    expected : str
        As `fingerprint` returned it; what follows a space does not count.
    corpora, corpus_format
        As for `fingerprint`.

    Raises
    ------
    CorpusError
        ``changed`` if they are not.
    """
    if fingerprint(corpora, corpus_format) != expected.partition(" ")[0]:
        raise CorpusError(
            CHANGED, f"{', '.join(corpora)}: files changed while they were ingested; run again"
        )


def is_change(error: BonafideError) -> bool:
    """Return whether an error of extraction says that a file changed since it was ingested."""
    return error.code == CHANGED or isinstance(error, AudioError)


def _hash_files(paths: Sequence[str], known: Known, progress: Progress) -> Known:
    """Return the stamp and the hash of every file that can be read; what is known is kept."""
    found: Known = {}
    with ThreadPoolExecutor(worker_count()) as pool:  # hashing lets other threads run
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            entries = pool.map(lambda path: _entry(path, known.get(path)), batch)
            pairs = zip(batch, entries, strict=True)
            found.update({path: entry for path, entry in pairs if entry is not None})
            progress(start + len(batch), len(paths))
    return found


def _entry(path: str, known: tuple[Stamp, str] | None) -> tuple[Stamp, str] | None:
    now = time.time_ns()
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        times = status.st_mtime_ns, status.st_ctime_ns
        settled = max(times) + FINEST_NS < now  # else a change might leave the same times
        stamp = [status.st_size, *times, status.st_ino, int(settled)]
        if known is not None and settled and known[0] == stamp:
            return known
        return stamp, file_sha256(Path(path))
    except (OSError, ValueError):  # ingestion says why, and sets it aside
        return None


def _remembered(memory: Path) -> Known:
    try:
        entries = json.loads(memory.read_text())
        return {path: (stamp, sha256) for path, (stamp, sha256) in entries.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}  # nothing yet, or not a whole file: everything is hashed


def _remember(memory: Path, found: Known) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=memory.parent) as folder:
        draft = Path(folder) / memory.name
        draft.write_text(json.dumps(found))
        draft.replace(memory)
