"""What arrives in a folder, each recording once, and what was scored of it before."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bonafide.corpora.files import Listing, entries_below, is_audio
from bonafide.errors import MALFORMED, ConfigError

Row = dict[str, Any]


class Mark(NamedTuple):
    """What tells a file from another one of the same name.

    Parameters
    ----------
    path : str
    size_bytes : int
    modified : str
        When it was last changed: seconds since 1970, with nine decimals.
    """

    path: str
    size_bytes: int
    modified: str

    @classmethod
    def of(cls, path: Path) -> "Mark":
        """Return the mark of a file, as it is now; raises `OSError` where it is not there."""
        status = path.stat()
        seconds, rest = divmod(status.st_mtime_ns, 1_000_000_000)
        return cls(str(path), status.st_size, f"{seconds}.{rest:09d}")

    def entries(self) -> Row:
        """Return what the row of its result holds of it, beside the path."""
        return {"size_bytes": self.size_bytes, "modified": self.modified}


class Arrivals:
    """Recordings that come into a folder and into those below it.

    One has arrived once it is the same in two looks: what is being copied grows. A file that is
    replaced by another one of its name arrives anew.

    Parameters
    ----------
    folder : Path
        Looked through as `bonafide.corpora.files.list_folder` does.
    scored : iterable of Mark
        What has arrived before.
    """

    def __init__(self, folder: Path, scored: Iterable[Mark] = ()) -> None:
        self._folder = folder
        self._done = set(scored)
        self._before = set[Mark]()

    def look(self) -> list[Mark]:
        """Return what has arrived since the last look, oldest first.

        Returns
        -------
        list of Mark
            Each is returned once.

        Raises
        ------
        ConfigError
            ``unreadable`` if the folder cannot be listed, as one that is no longer mounted.
        """
        listing, here = Listing(), set[Mark]()
        for path in entries_below(self._folder, listing):
            try:
                here.add(Mark.of(path))
            except OSError:  # it went, or is a link to what is not there yet
                continue
        if self._folder in listing.unreadable:
            raise ConfigError("unreadable", f"{self._folder}: this folder cannot be listed")
        rested = (here & self._before) - self._done
        self._before = here
        self._done |= rested
        found = [mark for mark in rested if is_audio(Path(mark.path))]
        return sorted(found, key=lambda mark: (float(mark.modified), mark.path))


@dataclass
class Scored:
    """What a file of results holds.

    Parameters
    ----------
    marks : set of Mark
        Of its rows.
    contents : set of tuple of str
        Path and sha256: what was touched, or copied once more over itself, is the same.
    end : int
        Position, in bytes, where its last whole row ends.
    """

    marks: set[Mark] = field(default_factory=set)
    contents: set[tuple[str, str]] = field(default_factory=set)
    end: int = 0

    def add(self, row: Row) -> None:
        """Add a row; raises one of `MALFORMED` where it is none."""
        path = str(row["path"])
        self.marks.add(Mark(path, int(row["size_bytes"]), str(row["modified"])))
        self.contents.add((path, str(row["sha256"])))


def scored_before(path: Path) -> Scored:
    """Read which recordings a file of results holds.

    Parameters
    ----------
    path : Path
        As `bonafide watch` writes it; read line by line.

    Returns
    -------
    Scored

    Raises
    ------
    ConfigError
        ``output_exists`` if the file holds anything else.
    """
    scored = Scored()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n") and (number > 1 or line.startswith(b"{")):
                break  # what was killed wrote it; its recording is scored again
            try:
                scored.add(json.loads(line))
            except MALFORMED as error:
                raise ConfigError(
                    "output_exists",
                    f"{path}: exists, and line {number} is no result of `bonafide watch`; name "
                    "another file by --output",
                ) from error
            scored.end += len(line)
    return scored


def is_there(mark: Mark) -> bool:
    """Return whether a file is still what it was."""
    try:
        return Mark.of(Path(mark.path)) == mark
    except OSError:
        return False
