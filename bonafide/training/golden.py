"""Golden sets: recordings that no bundle is trained on, frozen below the home, kept by hash."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import file_sha256, sha256_of
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import UNKNOWN, Corpus, describe
from bonafide.errors import CorpusError
from bonafide.process.lock import locked
from bonafide.training.fingerprint import fingerprint
from bonafide.training.folds import GoldenRows, connected_groups
from bonafide.training.ingest import ingest
from bonafide.training.recordings import Recordings
from bonafide.types import Mask

FOLDER = "golden"
FACTS, ROWS, SOUNDS = "golden.json", "rows.csv", "sounds.txt"


@dataclass(frozen=True)
class GoldenSet:
    """A frozen evaluation set.

    Parameters
    ----------
    version : int
        From 1; the newest of a home is the one that is used.
    sha256 : str
        Hash of its rows, its sounds and its files.
    origin : str
        Where its recordings come from, in words.
    corpus : Corpus
        Its rows; the recordings lie in the set's own folder.
    sounds : ndarray of str, shape (n_rows,)
        Hash of each decoded sound, as in `Recordings`.
    """

    version: int
    sha256: str
    origin: str
    corpus: Corpus
    sounds: NDArray[np.str_]

    @property
    def name(self) -> str:
        """Version and hash, for people."""
        return f"golden set {self.version} ({self.sha256[:8]})"

    def holds(self, recordings: Recordings) -> Mask:
        """Return which recordings are in it, by their sound, shape (n_rows,)."""
        return np.isin(recordings.sha256, self.sounds)

    def rows(self, recordings: Recordings) -> GoldenRows:
        """Return which recordings have to be held out, since it holds them."""
        return GoldenRows(self.sha256, np.flatnonzero(self.holds(recordings)).tolist())


def golden_set(root: Path, golden: str | None) -> GoldenSet | None:
    """Return the golden set to judge on.

    Parameters
    ----------
    root : Path
        The home folder.
    golden : str or None
        The user's own corpus, which is frozen first where it is not yet; None for the newest set.

    Returns
    -------
    GoldenSet or None
        None where none is named and none is kept.

    Raises
    ------
    CorpusError
        ``altered`` if a kept set is not what it was; else as in `read_corpus` and `ingest`.
    """
    if golden is None:
        return _read(kept[-1]) if (kept := _kept(root)) else None
    seen = fingerprint([golden], None)
    with locked(root / "golden.lock"):
        for folder in _kept(root):
            if _facts(folder).get("fingerprint") == seen:
                return _read(folder)
        recordings, _ = ingest(read_corpus(Path(golden)))
        return _freeze(root, recordings, f"corpus {Path(golden).resolve().name}", fingerprint=seen)


def held_rows(root: Path, sha256: str, recordings: Recordings) -> GoldenRows | None:
    """Return which recordings must be held out because a golden set holds them.

    Parameters
    ----------
    root : Path
        The home folder.
    sha256 : str
        Hash of the golden set; empty for none.
    recordings : Recordings
        Of a corpus.

    Returns
    -------
    GoldenRows or None
        None without a golden set.

    Raises
    ------
    CorpusError
        ``altered`` if the set is not what it was, or has gone.
    """
    if not sha256:
        return None
    for folder in _kept(root):
        if _facts(folder)["sha256"] == sha256:
            return _read(folder).rows(recordings)
    raise CorpusError("altered", f"{root / FOLDER}: holds no golden set {sha256}")


def freeze_held_out(
    root: Path, recordings: Recordings, rows: NDArray[np.intp], origin: str, *, most: int, seed: int
) -> GoldenSet | None:
    """Freeze held-out recordings as the home's first golden set.

    Parameters
    ----------
    root : Path
        The home folder.
    recordings : Recordings
        Of the corpus.
    rows : ndarray of int, shape (n,)
        Those of known sources or speakers of which nothing was trained on.
    origin : str
        What they were held out from, in words.
    most : int
        About how many recordings to take: whole groups, in a random order.
    seed : int
        Of that order.

    Returns
    -------
    GoldenSet or None
        None where a home has one already.
    """
    with locked(root / "golden.lock"):
        if _kept(root):
            return None
        group = connected_groups(recordings.corpus.take(rows))
        order = np.random.default_rng(seed).permutation(np.unique(group))
        sizes = np.cumsum(np.bincount(group)[order])
        chosen = order[: max(1, int((sizes <= most).sum()))]
        return _freeze(root, recordings.take(rows[np.isin(group, chosen)]), origin)


def _kept(root: Path) -> list[Path]:
    """Return the folders of all versions, the newest last."""
    folders = [path for path in (root / FOLDER).glob("*") if path.name.isdecimal()]
    return sorted(folders, key=lambda path: int(path.name))


def _freeze(root: Path, recordings: Recordings, origin: str, **facts: str) -> GoldenSet:
    """Copy recordings and their rows into a new version, whole or not at all."""
    version = max((int(path.name) for path in _kept(root)), default=0) + 1
    draft = root / FOLDER / f".{version}"
    shutil.rmtree(draft, ignore_errors=True)  # of a run that was killed
    (draft / "audio").mkdir(parents=True)
    rows = []
    for row in recordings.corpus:
        path = recordings.corpus.audio_path(row)
        kept = f"audio/{file_sha256(path)}{path.suffix.lower()}"
        shutil.copyfile(path, draft / kept)
        rows.append(replace(row, path=kept, split=UNKNOWN))
    corpus = Corpus(draft, rows)
    # Bytes, not text: RFC 4180's line ends must stay what they are.
    (draft / ROWS).write_bytes(corpus.to_csv().encode(errors="surrogateescape"))
    (draft / SOUNDS).write_text("".join(f"{sound}\n" for sound in recordings.sha256))
    described: dict[str, Any] = {
        "version": version,
        "sha256": _sha256(draft),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "origin": origin,
        **facts,
        **describe(corpus),
    }
    (draft / FACTS).write_text(json.dumps(described, indent=1) + "\n")
    folder = draft.with_name(str(version))
    draft.rename(folder)
    return _read(folder)


def _sha256(folder: Path) -> str:
    """Hash rows and sounds; rows name each file by its hash."""
    return sha256_of(*((folder / name).read_bytes() for name in (ROWS, SOUNDS)))


def _facts(folder: Path) -> Mapping[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
        return {**facts, "version": int(facts["version"]), "sha256": str(facts["sha256"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError("altered", f"{folder / FACTS}: cannot be read: {error!r}") from error


def _read(folder: Path) -> GoldenSet:
    """Read a version, and verify every file of it."""
    facts = _facts(folder)
    try:
        seen = _sha256(folder)
        sounds = (folder / SOUNDS).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError("altered", f"{folder}: cannot be read: {error!r}") from error
    if seen != facts["sha256"]:
        raise CorpusError("altered", f"{folder}: its hash is {seen}; it was {facts['sha256']}")
    corpus = read_corpus(folder / ROWS)
    for path in {corpus.audio_path(row) for row in corpus}:
        if not path.is_file() or file_sha256(path) != path.stem:
            raise CorpusError("altered", f"{path}: is missing, or not the file that was frozen")
    return GoldenSet(
        facts["version"], seen, str(facts.get("origin", "-")), corpus, np.array(sounds)
    )
