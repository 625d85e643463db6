"""The queue of the scorers: one for all workers of a server, so that no scorer idles.

The kernel hands connections to workers, and one worker may get most of them. So requests are not
assigned to scorers, which fetch them: a request is a file with audio and a ticket in a named pipe.
Whichever scorer is free takes the next ticket, puts its own process ID into the file's name, and
sends the answer to the worker's socket.
"""

import contextlib
import os
import struct
from pathlib import Path

# process ID of the worker, number of the request, time of writing, name of the endpoint: none asks
# whether a scorer is there
TICKET = struct.Struct("<qqd32s")
HELLO = struct.Struct("<q")  # process ID of the scorer, once a connection
# number of the request, bytes of the notes and of the body: none where the audio is not there
ANSWER = struct.Struct("<qII")
PIPE = "queue"


def open_queue(folder: Path) -> int:
    """Open the pipe for both ends, so that it never reports an end; does not block.

    Parameters
    ----------
    folder : Path
        The run folder; the pipe is made if it is missing.

    Returns
    -------
    int
        Its descriptor.
    """
    with contextlib.suppress(FileExistsError):
        os.mkfifo(folder / PIPE, mode=0o600)
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
