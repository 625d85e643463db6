"""Shards in an artifact store that is not on this machine: each is kept once, under its hash.

An artifact there lists its shards. A step fetches those that it reads, once a machine: they stay in
the home, where those of a store that was made here lie from the start, as hard links.
"""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from zenml.io import fileio

from bonafide.artifact import Plain, file_sha256, link_or_copy
from bonafide.errors import BonafideError
from bonafide.home import home, home_name
from bonafide.process.lock import locked

LIST = "shards.json"  # of an artifact: its shards
PLACE = "bonafide-shards"  # in an artifact store: a folder for each home, which alone prunes it
KEPT = "by-hash"  # among the features in the home
DRAFT = ".draft"  # of one that is being fetched
CHUNK_BYTES = 1 << 22
AGAIN = "have the features stored again (docs/zenml.md): steps: {extract: {enable_cache: false}}"


@dataclass(frozen=True)
class Shard(Plain):
    """A file in an artifact store.

    Parameters
    ----------
    sha256 : str
        Of its content, and its name.
    size : int
        In bytes.
    home : str
        Name of the home that stored it.
    """

    sha256: str
    size: int
    home: str


def kept_folder(root: Path) -> Path:
    """Return the folder of a home that holds shards by their hash."""
    return root / "features" / KEPT


def place_of(store: str, home: str) -> str:
    """Return where an artifact store keeps the shards of a home."""
    return f"{store.rstrip('/')}/{PLACE}/{home}"


def store_shards(store: str, files: Mapping[str, Path]) -> bytes:
    """Store what is not there yet.

    Parameters
    ----------
    store : str
        URL of the artifact store.
    files : mapping of str to Path
        Of an artifact, by name.

    Returns
    -------
    bytes
        What its `LIST` holds.
    """
    known = _kept()
    name, listed = home_name(home()), {}
    fileio.makedirs(place_of(store, name))
    for each, path in files.items():
        status = path.stat()
        sha256 = known.get(status.st_ino) or _keep(path)
        target = f"{place_of(store, name)}/{sha256}"
        if _size(target) != status.st_size:  # it is not there, or was cut short
            fileio.copy(str(path), target, overwrite=True)
        listed[each] = Shard(sha256, status.st_size, name).to_json()
    return json.dumps(listed).encode()


def read_list(content: bytes | str) -> dict[str, Shard]:
    """Read what `store_shards` returned."""
    return {name: Shard.from_json(values) for name, values in json.loads(content).items()}


def fetcher(store: str, folder: Path) -> Callable[[Path], None]:
    """Return what brings the shards of an artifact to where they are looked for.

    Parameters
    ----------
    store : str
        URL of the artifact store.
    folder : Path
        Of the artifact on this machine, with its `LIST`.

    Returns
    -------
    callable
        Takes the path of a shard; raises what `_fetch` raises.
    """
    listed = read_list((folder / LIST).read_bytes())

    def fetch(path: Path) -> None:
        if not path.exists():
            kept = _fetch(store, listed[path.relative_to(folder).as_posix()])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(kept)

    return fetch


def _size(url: str) -> int | None:
    try:
        return fileio.size(url)
    except FileNotFoundError:
        return None


def _kept() -> dict[int, str]:
    """Return the hashes of the shards that are kept in the home, by inode."""
    folder = kept_folder(home())
    folder.mkdir(parents=True, exist_ok=True)
    with os.scandir(folder) as entries:
        return {entry.inode(): entry.name for entry in entries}


def _keep(path: Path) -> str:
    """Keep a file under its hash, which is returned."""
    sha256 = file_sha256(path)
    with _locked(sha256) as kept:
        if not kept.exists():
            link_or_copy(path, kept)
    return sha256


def _fetch(store: str, shard: Shard) -> Path:
    """Return where this machine keeps a shard, once it is there and whole.

    Raises
    ------
    BonafideError
        ``lost_shard`` if the artifact store does not have it; ``damaged_shard`` if what it has is
        not what was stored.
    """
    with _locked(shard.sha256) as kept:
        if kept.exists() and _sha256(str(kept), kept.stat().st_mtime_ns) == shard.sha256:
            return kept
        url, draft = f"{place_of(store, shard.home)}/{shard.sha256}", kept.with_suffix(DRAFT)
        seen = hashlib.sha256()
        try:
            with fileio.open(url, "rb") as source, draft.open("wb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    seen.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except FileNotFoundError as error:
            message = f"{url}: is gone from the artifact store; {AGAIN}"
            raise BonafideError("lost_shard", message) from error
        if (found := seen.hexdigest()) != shard.sha256:
            draft.unlink()
            message = f"{url}: holds {found}, not what was stored; remove it, and {AGAIN}"
            raise BonafideError("damaged_shard", message)
        draft.replace(kept)
        return kept


@functools.cache
def _sha256(path: str, _mtime_ns: int) -> str:
    """Return a file's hash, read once a process while the file stays as it is."""
    return file_sha256(Path(path))


@contextlib.contextmanager
def _locked(sha256: str) -> Iterator[Path]:
    """Yield where the home keeps a shard, while no other process or thread brings it there."""
    with locked(home() / "features" / "locks" / sha256):
        folder = kept_folder(home())
        folder.mkdir(parents=True, exist_ok=True)
        yield folder / sha256
