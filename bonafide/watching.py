"""What arrives in a folder, each recording once, and what was scored of it before."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bonafide.corpora.files import Listing, entries_below, is_audio
from bonafide.errors import MALFORMED, ConfigError

Row = dict[str, Any]
BEGINNING = b'{"path": "'  # of every row


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
    def of(cls, path: str, status: os.stat_result) -> "Mark":
        """Return the mark of a file with this status."""
        seconds, rest = divmod(abs(status.st_mtime_ns), 1_000_000_000)
        sign = "-" if status.st_mtime_ns < 0 else ""
        return cls(path, status.st_size, f"{sign}{seconds}.{rest:09d}")

    def entries(self) -> Row:
        """Return what the row of its result holds of it, beside the path."""
        return {"size_bytes": self.size_bytes, "modified": self.modified}


def mark_of(path: str) -> Mark | None:
    """Return the mark of a file as it is now; None where it is not there."""
    try:
        return Mark.of(path, os.stat(path))  # noqa: PTH116  # a name, as it stands in rows
    except OSError:
        return None


class Arrivals:
    """Recordings that come into a folder and into those below it.

    One has arrived once it is the same in two looks: what is being copied grows. A file that is
    replaced by another one of its name arrives anew.

    Parameters
    ----------
    folder : Path
        Looked through as `bonafide.corpora.files.list_folder` does.
    done : set of Mark
        What has arrived before.
    left_out : Path
        A file that does not count, wherever it lies: that of the results.

    Attributes
    ----------
    unreadable : list of Path
        Folders below it that the last look could not list.
    """

    def __init__(self, folder: Path, done: set[Mark], left_out: Path) -> None:
        self._folder, self._left_out = folder, left_out
        self._done = set(done)
        self._before = set[Mark]()
        self.unreadable = list[Path]()

    def look(self) -> list[Mark]:
        """Return what has arrived, oldest first.

        Returns
        -------
        list of Mark
            Each in every look until it is `done` with.

        Raises
        ------
        ConfigError
            ``unreadable`` if the folder cannot be listed, as one that is no longer mounted.
        """
        listing, here = Listing(), set[Mark]()
        ours = self._left_out.stat() if self._left_out.exists() else None
        for path in entries_below(self._folder, listing):
            try:
                status = path.stat()
            except OSError:  # it went, or is a link to what is not there yet
                continue
            if ours is None or not os.path.samestat(status, ours):
                here.add(Mark.of(str(path), status))
        self.unreadable = listing.unreadable
        if self._folder in listing.unreadable:
            raise ConfigError("unreadable", f"{self._folder}: this folder cannot be listed")
        rested = (here & self._before) - self._done
        self._before = here
        found = {mark for mark in rested if is_audio(Path(mark.path))}
        self._done |= rested - found
        return sorted(found, key=lambda mark: (float(mark.modified), mark.path))

    def done(self, mark: Mark) -> None:
        """Let a recording arrive no more."""
        self._done.add(mark)


@dataclass
class Scored:
    """What a file of results holds.

    Parameters
    ----------
    marks : set of Mark
        Of its rows; of what could not be read none, as it may be read by now.
    contents : dict of str to str
        The sha256 that each path had last: what was touched since, or copied once more over itself,
        is the same.
    end : int
        Position, in bytes, where its last whole row ends.
    open : bool
        Whether that row lacks the end of its line.
    """

    marks: set[Mark] = field(default_factory=set)
    contents: dict[str, str] = field(default_factory=dict)
    end: int = 0
    open: bool = False

    def add(self, row: Row) -> None:
        """Add a row; raises one of `MALFORMED` where it is none."""
        mark = Mark(str(row["path"]), int(row["size_bytes"]), str(row["modified"]))
        if sha256 := str(row["sha256"]):
            self.marks.add(mark)
            self.contents[mark.path] = sha256


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
            scored.open = not line.endswith(b"\n")
            if scored.open and is_half_row(line):
                scored.open = False
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


def is_half_row(line: bytes) -> bool:
    """Return whether a last line may be what is left of a row, and not somebody's own.

    Parameters
    ----------
    line : bytes
        Without an end.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_half_row(b'{"path": "call.w'), is_half_row(b'{"pa'), is_half_row(b'{"path": "mine"}')
    (True, True, False)
    """
    try:
        json.loads(line)
    except MALFORMED:
        return line.startswith(BEGINNING) or BEGINNING.startswith(line)
    return False
