"""A file of this machine that is named by its path, within the one folder that is open to it."""

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from bonafide.errors import BonafideError

LINK = re.compile("file:(//(localhost)?)?/", re.IGNORECASE)  # RFC 8089: of this machine
SHOWN = 200  # characters of a name, in an error


def read_local(folder: Path, named: str, most_bytes: int) -> tuple[str, bytes]:
    """Read a file that lies in a folder.

    Parameters
    ----------
    folder : Path
        The folder; what leads out of it, by ``..`` or by a symbolic link, is not in it.
    named : str
        A path, from the root or from the folder, or a link ``file:///...``.
    most_bytes : int
        The largest file that is read.

    Returns
    -------
    str
        The file's name.
    bytes
        What it holds.

    Raises
    ------
    BonafideError
        ``outside_folder``; ``no_file`` where no file that can be read is there; ``too_large``.
    """
    if link := LINK.match(named):
        named = unquote(named[link.end() - 1 :])
    top = folder.resolve()
    try:
        path = (top / named).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle; a zero byte
        raise BonafideError("no_file", f"{_short(named)}: no path: {error}") from error
    if not path.is_relative_to(top):  # first: it is not told what there is elsewhere
        raise BonafideError("outside_folder", f"{_short(named)}: must lie in {top}")
    try:
        content = _content(top, path, most_bytes)
    except OSError as error:
        raise BonafideError("no_file", f"{_short(named)}: {error.strerror}") from error
    return path.name, content


def _content(top: Path, path: Path, most_bytes: int) -> bytes:
    """Read a regular file; no pipe is waited for."""
    descriptor = _opened(top, path)
    try:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise BonafideError("no_file", f"{_short(path.name)}: must be a file")
        with open(descriptor, "rb", closefd=False) as file:  # a descriptor
            content = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        seen_and_allowed = f"{seen.st_size} bytes: must have at most {most_bytes}"
        raise BonafideError("too_large", f"{_short(path.name)}: {seen_and_allowed}")
    return content


def _opened(top: Path, path: Path) -> int:
    """Open a file from its folder downwards, where no link is followed: one may just have come."""
    *folders, name = path.relative_to(top).parts or (".",)
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(folder, flags, dir_fd=at)
            os.close(at)
            at = inner
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=at)
    finally:
        os.close(at)


def _short(named: str) -> str:
    """Return a name as an error shows it."""
    return repr(named if len(named) <= SHOWN else f"{named[:SHOWN]}...")
