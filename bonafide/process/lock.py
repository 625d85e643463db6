"""Locks between processes, which the kernel lets go when their holder ends, however it ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Take a lock until the block ends; wait while any other process or thread has it.

    Parameters
    ----------
    path : Path
        A file to lock, made with its folder if it is not there; it stays, and holds nothing.
    shared : bool
        Others may hold it too, but only shared.
    """
    with open_lock(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def open_lock(path: Path) -> IO[bytes]:
    """Open the file of a lock for `try_lock`; whoever inherits it shares the lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def try_lock(file: IO[Any], *, shared: bool = False) -> bool:
    """Take a lock that is free.

    Parameters
    ----------
    file : file
        Open; the lock is held until it is closed here and in every process that inherited it.
    shared : bool
        Others may hold it too, but only shared.

    Returns
    -------
    bool
        False, at once, if another holds it.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Return whether anyone holds a lock; False where there is no such file."""
    try:
        with path.open("rb") as file:
            return not try_lock(file, shared=True)
    except FileNotFoundError:
        return False
