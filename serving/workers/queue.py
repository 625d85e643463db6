"""The queue of the scorers: one for all workers of a server, so that no scorer idles.

The kernel hands connections to workers, and one worker may get most of them. So requests are not
assigned to scorers, which fetch them: a request is a file with audio and a ticket in a named pipe.
Whichever scorer is free takes the next ticket, puts its own process ID into the file's name, and
sends the answer to the worker's socket.
"""

import contextlib
import os
import stat
import struct
import tempfile
from collections.abc import Set
from pathlib import Path

from bonafide.errors import ConfigError
from bonafide.process.lifetime import process_is_gone

# process ID of the worker, number of the request, time of writing, name of the endpoint
TICKET = struct.Struct("<qqd32s")
HELLO = struct.Struct("<q")  # process ID of the scorer, once a connection
ANSWER = struct.Struct("<qII")  # number of the request, bytes of the notes and of the body
PREFIX = "bonafide-"
PIPE = "queue"


def run_folder(server: int) -> Path:
    """Return the folder that the workers of a server share; create it if it is missing.

    Parameters
    ----------
    server : int
        Process ID of the server.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        ``bad_run_folder`` if it is another user's, or open to others.
    """
    # Not in the home folder: the path of a socket has to be short.
    folder = Path(tempfile.gettempdir()) / f"{PREFIX}{os.getuid()}-{server}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        seen = folder.lstat()
        private = stat.S_ISDIR(seen.st_mode) and not stat.S_IMODE(seen.st_mode) & 0o077
        if not private or seen.st_uid != os.getuid():
            raise ConfigError(
                "bad_run_folder", f"{folder}: must be a folder of this user alone; remove it"
            ) from None
    pipe = folder / PIPE
    if not pipe.exists():
        with contextlib.suppress(FileExistsError):  # the other worker was faster
            os.mkfifo(pipe, mode=0o600)
    return folder


def open_queue(folder: Path) -> int:
    """Open the pipe for both ends, so that it never reports an end; does not block."""
    return os.open(folder / PIPE, os.O_RDWR | os.O_NONBLOCK)


def socket_path(folder: Path, worker: int) -> Path:
    """Return the socket where a worker receives answers."""
    return folder / f"{worker}.sock"


def audio_path(folder: Path, worker: int, number: int) -> Path:
    """Return the file of a request's audio, as the worker writes it."""
    return folder / f"{worker}-{number}.audio"


def taken_path(audio: Path, scorer: int) -> Path:
    """Return the name that a request's file has while a scorer works on it."""
    return audio.with_suffix(f".{scorer}")


def taken_by(audio: Path) -> dict[int, Path]:
    """Return the path of a request's file by the scorer that works on it."""
    found = audio.parent.glob(f"{audio.stem}.*")
    return {int(path.suffix[1:]): path for path in found if path.suffix[1:].isdecimal()}


def leave(folder: Path, worker: int) -> None:
    """Remove what a worker has in the folder; the last worker removes the folder."""
    clear(folder, {worker})
    if not list(folder.glob("*.sock")):
        (folder / PIPE).unlink(missing_ok=True)
        (folder / "rates").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another worker left as well, or one came
            folder.rmdir()


def clear(folder: Path, leaving: Set[int] = frozenset()) -> None:
    """Remove sockets and audio of workers that are gone or leaving."""
    for path in folder.glob("[0-9]*"):
        worker = path.stem.partition("-")[0]
        if int(worker) in leaving or process_is_gone(worker):
            path.unlink(missing_ok=True)


def sweep() -> None:
    """Remove the folders of this user's servers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{os.getuid()}-*"):
        if process_is_gone(folder.name.rpartition("-")[2]) and folder.lstat().st_uid == os.getuid():
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
            folder.rmdir()
