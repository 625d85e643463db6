"""Where a registry lies: a folder on a disk, or a prefix of an object store.

Both offer one thing that everything else stands on: `create` writes an object whole, and only where
none is. On a disk that is a lock, a draft, fsync and a rename; an object store must do it itself,
by a conditional write (``If-None-Match: *`` of S3, ``ifGenerationMatch=0`` of Google's).
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from bonafide.bundle import MANIFEST, SIGNATURE
from bonafide.errors import ConfigError, RegistryError, missing_extra, storing
from bonafide.process.lock import locked

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Protocols of fsspec whose `pipe_file(mode="create")` is a conditional write; memory is for tests.
CONDITIONAL = ("s3", "gs", "memory")
LIBRARIES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}  # by protocol: module and extra
CLAIM = ".claim"  # the content hash of a version in an object store, written before its files
PROBE = "registry.json"  # shows whether a store keeps to conditions


class Store(Protocol):
    """What a registry needs of the place where it lies; paths are relative, with ``/``."""

    url: str

    def place(self, path: str) -> str:
        """Return where an object is, for people."""

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, none that begins with a dot; empty without the folder."""

    def read(self, path: str) -> bytes:
        """Return an object; raise FileNotFoundError where there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Write an object whole, over one that is there."""

    def create(self, path: str, data: bytes) -> bool:
        """Write an object whole where none is; return False if another's is there."""

    def remove(self, path: str) -> None:
        """Remove an object if it is there."""

    def fetch(self, folder: str, cache: Path) -> Path:
        """Return a folder of this machine that holds the objects of `folder`."""

    def drafting(self, folder: str) -> contextlib.AbstractContextManager[Path]:
        """Yield a path on which to make and fill a folder; what is left there is removed."""

    def content(self, folder: str) -> str | None:
        """Return the content hash that a version was claimed with; None where that is not said."""

    def publish(self, draft: Path, folder: str, sha256: str) -> bool:
        """Make a draft the content of `folder`, whole or not at all; False if it is another's."""


def open_store(url: str | Path) -> Store:
    """Return the store of a URL.

    Parameters
    ----------
    url : str or Path
        A folder, ``file://``, or a URL of a protocol of `CONDITIONAL`.

    Returns
    -------
    Store

    Raises
    ------
    ConfigError
        ``unsupported_store`` for another protocol, or an empty text; ``not_installed`` if its
        library is missing.
    """
    if not str(url):
        raise ConfigError("unsupported_store", "a registry's folder or URL must not be empty")
    protocol, separator, rest = str(url).partition("://")
    if not separator or protocol == "file":
        return LocalStore(Path(rest or protocol).resolve())
    if protocol not in CONDITIONAL:
        raise ConfigError(
            "unsupported_store",
            f"{url}: must be a folder or begin with one of {', '.join(CONDITIONAL[:-1])}: a "
            "registry needs a store that writes an object only where none is",
        )
    from fsspec.core import url_to_fs

    try:
        files, prefix = url_to_fs(str(url), use_listings_cache=False)
    except ImportError as error:
        missing: ConfigError = missing_extra(*LIBRARIES[protocol])
        raise missing from error
    return ObjectStore(str(url).rstrip("/"), files, prefix.rstrip("/"))


class LocalStore:
    """A folder; those that change it wait for each other.

    Parameters
    ----------
    root : Path
        The folder; made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.url = root, str(root)

    def _changing(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.root / "bundles.lock")

    def place(self, path: str) -> str:
        """See `Store`."""
        return str(self.root / path)

    def names(self, folder: str) -> list[str]:
        """See `Store`."""
        try:
            return [name for name in os.listdir(self.root / folder) if name[0] != "."]  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, path: str) -> bytes:
        """See `Store`."""
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """See `Store`."""
        with storing(self.root), self._changing():
            replace_file(self.root / path, data)

    def create(self, path: str, data: bytes) -> bool:
        """See `Store`."""
        target = self.root / path
        with storing(self.root), self._changing():
            if target.exists():
                return False
            replace_file(target, data)
            return True

    def remove(self, path: str) -> None:
        """See `Store`."""
        (self.root / path).unlink(missing_ok=True)

    def fetch(self, folder: str, cache: Path) -> Path:
        """See `Store`; it is here already."""
        return self.root / folder

    @contextlib.contextmanager
    def drafting(self, folder: str) -> Iterator[Path]:
        """See `Store`; no other changes the registry meanwhile."""
        parent = self.root / folder
        with storing(self.root), self._changing():
            draft = parent / ".draft"
            if draft.exists():  # left by a run that was killed: no other holds the lock
                shutil.rmtree(draft)
            try:
                yield draft
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def content(self, folder: str) -> str | None:
        """See `Store`; None: whether a version is whole, only reading it all tells."""
        return None

    def publish(self, draft: Path, folder: str, sha256: str) -> bool:
        """See `Store`; what is there already has this content: no other could write since."""
        target = self.root / folder
        if not target.exists():
            sync(*draft.iterdir(), draft)
            draft.rename(target)  # whole or not at all
            sync(target.parent, target.parent.parent)
        return True


def replace_file(target: Path, data: bytes) -> None:
    """Write a file whole or not at all, over one that is there."""
    if is_new := not target.parent.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}")
    try:
        draft.write_bytes(data)
        sync(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    sync(target.parent, *([target.parent.parent] if is_new else []))


def sync(*paths: Path) -> None:
    """Have the disk hold files and folders before anything points to them."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


class ObjectStore:
    """A prefix of an object store that writes conditionally.

    A version is claimed by its content hash before its files are written, so that no other content
    mixes with them, and is there once its manifest is, which is written last.

    Parameters
    ----------
    url : str
        As the user names it.
    files : fsspec.AbstractFileSystem
        Of a protocol of `CONDITIONAL`, without a cache of listings.
    prefix : str
        Where the registry begins, as `files` names it.
    """

    def __init__(self, url: str, files: "AbstractFileSystem", prefix: str) -> None:
        self.url, self._files, self._prefix = url, files, prefix
        self._is_conditional = False

    def place(self, path: str) -> str:
        """See `Store`."""
        return f"{self.url}/{path}"

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}"

    def names(self, folder: str) -> list[str]:
        """See `Store`."""
        with self._reaching(folder), contextlib.suppress(FileNotFoundError):
            listed = self._files.ls(self._key(folder), detail=False)
            found = [str(each).rstrip("/").rpartition("/")[2] for each in listed]
            return [name for name in found if name and name[0] != "."]
        return []

    def read(self, path: str) -> bytes:
        """See `Store`."""
        with self._reaching(path):
            return bytes(self._files.cat_file(self._key(path)))

    def write(self, path: str, data: bytes) -> None:
        """See `Store`."""
        with self._reaching(path):
            self._files.pipe_file(self._key(path), data)

    def create(self, path: str, data: bytes) -> bool:
        """See `Store`."""
        self._require_conditions()
        return self._create(path, data)

    def _create(self, path: str, data: bytes) -> bool:
        with self._reaching(path):
            try:
                self._files.pipe_file(self._key(path), data, mode="create")
            except OSError as error:  # each store refuses with another: what lies there decides
                with contextlib.suppress(FileNotFoundError):
                    # Ours, if an answer was lost on its way and the request was sent again.
                    return bool(self._files.cat_file(self._key(path)) == data)
                raise self._unreachable(path, error) from error
            return True

    def _require_conditions(self) -> None:
        """Check once that the store refuses a second object: else it could lose the first."""
        if self._is_conditional:
            return
        for _ in range(2):
            if not self._create(PROBE, uuid4().hex.encode()):
                self._is_conditional = True
                return
        raise ConfigError(
            "unsupported_store",
            f"{self.url}: the store wrote an object where one was; a registry needs conditional "
            "writes (If-None-Match), which it does not keep to",
        )

    def remove(self, path: str) -> None:
        """See `Store`."""
        with self._reaching(path), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._key(path))

    def fetch(self, folder: str, cache: Path) -> Path:
        """See `Store`; fetched once, since versions never change, but for a later signature."""
        target = cache / folder
        if (target / MANIFEST).is_file():
            with storing(cache):
                try:
                    replace_file(target / SIGNATURE, self.read(f"{folder}/{SIGNATURE}"))
                except FileNotFoundError:  # or it was withdrawn
                    (target / SIGNATURE).unlink(missing_ok=True)
            return target
        with storing(cache):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as work:
                draft = Path(work) / "draft"
                draft.mkdir()
                for name in self.names(folder):
                    (draft / name).write_bytes(self.read(f"{folder}/{name}"))
                    sync(draft / name)
                sync(draft)
                with contextlib.suppress(FileExistsError):  # another process was first
                    self._move(draft, target)
        return target

    @staticmethod
    def _move(draft: Path, target: Path) -> None:
        if not any(draft.iterdir()):
            return  # its reader says what is missing
        try:
            draft.rename(target)
        except OSError as error:
            if not (target / MANIFEST).is_file():
                raise
            raise FileExistsError(str(target)) from error

    @contextlib.contextmanager
    def drafting(self, folder: str) -> Iterator[Path]:
        """See `Store`; on this machine, while others do as they like."""
        with tempfile.TemporaryDirectory(prefix="bonafide-") as work, storing(Path(work)):
            yield Path(work) / "draft"

    def content(self, folder: str) -> str | None:
        """See `Store`."""
        try:
            return self.read(f"{folder}/{CLAIM}").decode()
        except FileNotFoundError:
            return None

    def publish(self, draft: Path, folder: str, sha256: str) -> bool:
        """See `Store`; one that was broken off is gone on with."""
        claim = f"{folder}/{CLAIM}"
        if self.names(folder) and self.content(folder) is None:
            return False  # copied here by other means
        if not self.create(claim, sha256.encode()) and self.content(folder) != sha256:
            return False
        for path in sorted(draft.iterdir()):
            if path.name != MANIFEST:
                with self._reaching(folder):
                    self._files.put_file(str(path), self._key(f"{folder}/{path.name}"))
        self.create(f"{folder}/{MANIFEST}", (draft / MANIFEST).read_bytes())
        return True

    @contextlib.contextmanager
    def _reaching(self, path: str) -> Iterator[None]:
        """Raise ``unreachable`` for what a store's library raises, but for a missing object."""
        try:
            yield
        except (FileNotFoundError, RegistryError):
            raise
        except Exception as error:  # theirs are no tree that can be named here
            raise self._unreachable(path, error) from error

    def _unreachable(self, path: str, error: Exception) -> RegistryError:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return RegistryError("unreachable", f"{self.place(path)}: {reason}")
