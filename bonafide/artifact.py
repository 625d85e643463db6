"""Artifacts: what steps pass on, kept as plain files, with a hash, facts and pages to look at."""

import errno
import hashlib
import json
import os
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

JSON: TypeAlias = str | int | float | bool | Sequence["JSON"] | Mapping[str, "JSON"] | None


class Artifact(ABC):
    """The base of what steps return; a subclass is stored wherever it is defined.

    Formats are native (Parquet, CSV, NumPy, JSON, a model's own), never pickle.
    """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files.

        Parameters
        ----------
        folder : Path
            Exists and is empty.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : Path
            Where it wrote.

        Returns
        -------
        Self
            With the same `digest`.
        """

    @abstractmethod
    def digest(self) -> str:
        """Return a hash of the content.

        Returns
        -------
        str
            The same for equal content, whichever run made it.
        """

    def facts(self) -> Mapping[str, JSON]:
        """Return what to show beside the artifact.

        Returns
        -------
        mapping of str to JSON
            Counts, shapes, metrics and the like, by name.
        """
        return {}

    def pages(self) -> Mapping[str, str]:
        """Return pages to look at.

        Returns
        -------
        mapping of str to str
            File name -> content, of the kind that the suffix names.
        """
        return {}


class Sharded(Artifact):
    """An artifact with large files, its shards, that never change and may be another's too.

    A store that is not on this machine's disks keeps each of them once, under its hash, and hands
    out those alone that are read.
    """

    @abstractmethod
    def shards(self) -> Mapping[str, Path]:
        """Return the shards.

        Returns
        -------
        mapping of str to Path
            Name in the folder that `save` writes, such as ``shards/0/mfcc.npy`` -> file.
        """

    @abstractmethod
    def save_rest(self, folder: Path) -> None:
        """Write the files that are no shards.

        Parameters
        ----------
        folder : Path
            Exists and is empty.
        """

    @abstractmethod
    def fetching(self, fetch: Callable[[Path], None]) -> Self:
        """Have shards fetched before they are read.

        Parameters
        ----------
        fetch : callable
            Called with the path of a shard, which it brings there.

        Returns
        -------
        Self
            With the same content.
        """

    def save(self, folder: Path) -> None:
        """Write the files that are no shards, and link or copy the shards."""
        self.save_rest(folder)
        for name, shard in self.shards().items():
            link_or_copy(shard, folder / name)


class Plain:
    """A dataclass that converts to plain JSON values, and back by the types of its fields.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Point(Plain):
    ...     x: float
    ...     names: tuple[str, ...]
    >>> Point.from_json(Point(1.0, ("a",)).to_json())
    Point(x=1.0, names=('a',))
    """

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, by name."""
        values: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild an instance from its JSON values.

        Parameters
        ----------
        values : mapping of str to JSON
            As `to_json` returns them.

        Returns
        -------
        Self
            Equal to what `to_json` was called on.

        Raises
        ------
        pydantic.ValidationError
            If a field is missing or of another type.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_python(values)


class JsonArtifact(Plain, Artifact):
    """A dataclass kept as one JSON file, `FILE`."""

    FILE: ClassVar[str]

    def save(self, folder: Path) -> None:
        """Write `FILE`."""
        (folder / self.FILE).write_text(json.dumps(self.to_json()))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `FILE`."""
        return cls.from_json(json.loads((folder / cls.FILE).read_text()))

    def digest(self) -> str:
        """Return a hash of the JSON."""
        return sha256_of(json.dumps(self.to_json()))


def sha256_of(*parts: bytes | str) -> str:
    """Return the SHA-256 of several parts, in order.

    Parameters
    ----------
    *parts : bytes or str
        Each is terminated, so that two of them cannot run together.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> sha256_of("ab", "c") == sha256_of("a", "bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file: a pipe might never end, or never begin.
    """
    with open(path, "rb", opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or all files of a folder; copy where links are not possible.

    Parameters
    ----------
    source : Path
        A file that never changes again, or a folder of such files.
    target : Path
        Where the file is to be; an existing folder for those of a folder.
    """
    if source.is_dir():
        for path in source.iterdir():
            link_or_copy(path, target / path.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
