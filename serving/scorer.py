"""The scorer: a process of its own that decodes and scores, and may die without harm.

Decoders read what strangers send. So they run here, with limits on memory, files and time: a crash
or a hang in a codec costs one process, and a deadline stops the work by ending it.

It draws tickets from the line (`serving.line`) and fetches each one's audio from its worker.
SIGTERM lets it finish what it has in hand.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bonafide.audio import AudioStream, Limits
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.scoring import unusable
from serving.line import ANSWER, SIZE, TAKE, TICKET, WITHDRAWN, open_line, socket_path

PR_SET_PDEATHSIG = 1
MAX_FILES = 256


def answer(detector: Detector, content: bytes, limits: Limits) -> dict[str, Any]:
    """Score one upload.

    Returns
    -------
    dict
        ``result`` (`Detection.to_json`) and ``timings`` in seconds by stage, or ``error`` with
        ``code`` and ``message``.
    """
    stream = AudioStream(content, limits)
    start = time.perf_counter()
    try:
        result = detector.score(stream).to_json()
    except AudioError as error:
        return {"error": {"code": error.code, "message": error.message}}
    if unusable(result):  # the last word is why nothing can be said
        code, _, message = result["warnings"][-1].partition(": ")
        return {"error": {"code": code, "message": message}}
    infer_s = time.perf_counter() - start - stream.decode_s - stream.resample_s
    timings = {"decode": stream.decode_s, "resample": stream.resample_s, "infer": infer_s}
    return {"result": result, "timings": timings}


def confine(memory_bytes: int) -> None:
    """Take from this process what scoring does not need."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's to handle
    if sys.platform == "linux":  # elsewhere a scorer that hangs outlives a killed worker
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Desk:
    """Draws tickets and serves them, until told to stop or left alone."""

    def __init__(self, folder: Path, detector: Detector, limits: Limits) -> None:
        self._folder, self._detector, self._limits = folder, detector, limits
        self._line = open_line(folder)
        self._workers: dict[int, socket.socket] = {}
        self._owner = os.getppid()
        self._bell, bell = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(bell)
        signal.signal(signal.SIGTERM, lambda *_: None)  # the bell rings

    def run(self) -> None:
        """Serve ticket after ticket."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while os.getppid() == self._owner:
            if any(descriptor == self._bell for descriptor, _ in poll.poll(1_000)):
                return
            try:
                ticket = os.read(self._line, TICKET.size)
            except BlockingIOError:  # another scorer was faster
                continue
            worker, number = TICKET.unpack(ticket)
            try:
                self._serve(worker, number)
            except OSError:  # that worker is gone, and who asked with it
                if connection := self._workers.pop(worker, None):
                    connection.close()

    def _serve(self, worker: int, number: int) -> None:
        connection = self._workers.get(worker)
        if connection is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(socket_path(self._folder, worker)))
            self._workers[worker] = connection
        connection.sendall(TAKE.pack(number, os.getpid()))
        (size,) = SIZE.unpack(_receive(connection, SIZE.size))
        if size == WITHDRAWN:
            return
        content = _receive(connection, size)
        text = json.dumps(answer(self._detector, content, self._limits)).encode()
        connection.sendall(ANSWER.pack(len(text)) + text)


def _receive(connection: socket.socket, size: int) -> bytes:
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        received = connection.recv_into(view[done:])
        if not received:
            raise ConnectionResetError
        done += received
    return bytes(content)


def main() -> None:
    """Load the bundle, say so, and serve: arguments are folder, bundle, limits and memory."""
    folder, bundle, limits, memory_bytes = sys.argv[1:]
    confine(int(memory_bytes))
    detector = Detector(Path(bundle))
    detector.score(np.zeros(detector.bundle.spec.window_samples, np.float32))  # first runs are slow
    desk = Desk(Path(folder), detector, Limits(**json.loads(limits)))
    os.write(sys.stdout.fileno(), b"ready\n")
    desk.run()


if __name__ == "__main__":
    main()
