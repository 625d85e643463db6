"""What a step hands on: something kept as plain files, with a hash, facts and pages to look at."""

import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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
        """Write the files into an existing, empty folder."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""

    @abstractmethod
    def digest(self) -> str:
        """Return a hash of the content: the same for the same content, whichever run made it."""

    def facts(self) -> Mapping[str, JSON]:
        """Return counts, shapes and metrics to be shown beside the artifact."""
        return {}

    def pages(self) -> Mapping[str, str]:
        """Return pages to look at: file name -> content, of the kind that the suffix names."""
        return {}


class Plain:
    """A dataclass that becomes plain JSON values and is read back by the types of its fields.

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
        """Return what `to_json` was called on.

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
    """Return the hash of parts in order, each kept apart from the next."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Link a folder's files, which never change again; copy them where links do not reach."""
    for path in source.iterdir():
        try:
            os.link(path, target / path.name)
        except OSError:
            shutil.copyfile(path, target / path.name)
