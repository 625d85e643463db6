"""A file of this machine that is named by its path, within the one folder that is open to it."""

import mimetypes
import os
import stat
from pathlib import Path
from urllib.parse import unquote

from bonafide.errors import BonafideError
from serving.app.recording import Recording

LINK = "file://"


def read_local(folder: Path, named: str, most_bytes: int) -> Recording:
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
    Recording

    Raises
    ------
    BonafideError
        ``outside_folder``; ``no_file`` where no file that can be read is there; ``too_large``.
    """
    if named.startswith(LINK):
        named = unquote(named.removeprefix(LINK))
    top = folder.resolve()
    try:
        path = (top / named).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle; a zero byte
        raise BonafideError("no_file", f"{named!r}: no path: {error}") from error
    if not path.is_relative_to(top):  # first: it is not told what there is elsewhere
        raise BonafideError("outside_folder", f"{named!r}: must lie in {top}")
    try:
        content = _content(path, most_bytes)
    except OSError as error:
        raise BonafideError("no_file", f"{named!r}: {error.strerror}") from error
    return Recording(path.name, content, mimetypes.guess_type(path.name)[0] or "")


def _content(path: Path, most_bytes: int) -> bytes:
    """Read a regular file; no pipe is waited for, and no link followed that came meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            raise BonafideError("no_file", f"{path.name!r}: must be a file")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise BonafideError("too_large", f"must have at most {most_bytes} bytes")
    return content
