"""The run folder: what the processes of one server share, in ``TMPDIR``, and no other server.

Its name is random: servers in two containers may share a ``TMPDIR`` and have one process ID. That
its server lives shows in a lock (flock) on the folder itself, which ends with the last process that
holds it: process IDs mean nothing to another container, times are changed by whoever cleans up, and
cleaners such as systemd-tmpfiles leave a folder alone that is locked.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Set
from pathlib import Path

from bonafide.errors import ConfigError
from bonafide.process.lifetime import process_is_gone

VARIABLE = "BONAFIDE_RUN_FOLDER"  # the folder of the server that this process belongs to
PREFIX = "bonafide-"
BESIDE = "c123456"  # the longest name of a folder in it: a socket's path must be short
SOCKET_BYTES = 107 if sys.platform == "linux" else 103  # longest path of a socket


def temporary_folder() -> Path:
    """Return the folder for temporary files that the user has chosen, and no other.

    Returns
    -------
    Path
        ``$TMPDIR``, else ``/tmp``; absolute.

    Raises
    ------
    ConfigError
        ``bad_tmpdir`` if it is missing or no folder, or if its path is too long for a socket's.
    """
    folder = Path(os.environ.get("TMPDIR") or "/tmp").absolute()  # noqa: S108
    if not folder.is_dir():
        raise ConfigError("bad_tmpdir", f"TMPDIR={folder}: must be a folder that is there")
    longest = f"/{PREFIX}{os.getuid()}-12345678/{BESIDE}/4194304.sock"
    size, most = len(os.fsencode(folder)), SOCKET_BYTES - len(longest)
    if size > most:
        message = f"TMPDIR={folder}: its {size} bytes leave no room for a socket's name; must be at"
        raise ConfigError("bad_tmpdir", f"{message} most {most}")
    return folder


def make_run_folder() -> Path:
    """Make a run folder, and hold it for as long as this process and those it becomes live.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        ``bad_tmpdir`` if it cannot be made in `temporary_folder`.
    """
    temp = temporary_folder()
    try:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getuid()}-", dir=temp))
            with contextlib.suppress(FileNotFoundError):  # swept before it was held
                os.set_inheritable(_hold(folder), True)
                return folder
    except OSError as error:
        raise ConfigError("bad_tmpdir", f"TMPDIR={temp}: {error.strerror}") from error


def run_folder() -> Path:
    """Return the run folder of the server that this process belongs to."""
    return Path(os.environ[VARIABLE])


def enter(folder: Path) -> int:
    """Take part in a run folder, which is made again if it has vanished.

    Parameters
    ----------
    folder : Path
        From `run_folder`.

    Returns
    -------
    int
        Descriptor of the folder; holds it until it is closed.

    Raises
    ------
    ConfigError
        ``bad_run_folder`` if it is another user's, or open to others.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    seen = folder.lstat()
    private = stat.S_ISDIR(seen.st_mode) and not stat.S_IMODE(seen.st_mode) & 0o077
    if not private or seen.st_uid != os.getuid():
        raise ConfigError(
            "bad_run_folder", f"{folder}: must be a folder of this user alone; remove it"
        )
    return _hold(folder)


def _hold(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if is_at(descriptor, folder):
            return descriptor
        raise FileNotFoundError(f"{folder} was removed meanwhile")
    except BaseException:
        os.close(descriptor)
        raise


def is_at(descriptor: int, path: Path) -> bool:
    """Return whether what is open is still what is there under its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def clear(folder: Path, leaving: Set[int] = frozenset()) -> None:
    """Remove sockets and audio of workers that are gone or leaving."""
    for path in folder.glob("[0-9]*"):
        worker = path.stem.partition("-")[0]
        if int(worker) in leaving or process_is_gone(worker):
            path.unlink(missing_ok=True)


def leave(folder: Path, worker: int, server_is_gone: bool) -> None:
    """Remove what a worker has in the folder; the last one of a server that is gone removes all."""
    clear(folder, {worker})
    if server_is_gone and not list(folder.glob("*.sock")):
        shutil.rmtree(folder, ignore_errors=True)


def sweep(temp: Path) -> None:
    """Remove the folders of this user's servers that were killed.

    Parameters
    ----------
    temp : Path
        Where they are.
    """
    for folder in temp.glob(f"{PREFIX}{os.getuid()}-*"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # gone meanwhile, or not what we leave behind
            continue
        with contextlib.suppress(BlockingIOError):  # its server lives
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
