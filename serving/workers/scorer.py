"""The scorer: a process of its own that decodes and scores, and may die without harm.

Decoders read what strangers send. So they run here, with limits on memory, files and time: a crash
or a hang in a codec costs one process, and a deadline stops the work by ending it.

It draws tickets from the queue (`serving.workers.queue`) and answers the worker of each.
SIGTERM lets it finish what it has in hand.
"""

import gc
import json
import os
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
from bonafide.process.confine import confine
from bonafide.scoring import unusable
from serving.workers.queue import (
    ANSWER,
    HELLO,
    TICKET,
    audio_path,
    open_line,
    socket_path,
    taken_path,
)


def answer(detector: Detector, content: bytes, limits: Limits) -> tuple[dict[str, Any], bytes]:
    """Score one upload.

    Returns
    -------
    notes : dict
        ``verdict``, and ``timings`` in seconds by stage; or ``error`` with ``code`` and
        ``message``.
    body : bytes
        `Detection.to_json` as JSON; empty beside an error.
    """
    stream = AudioStream(content, limits)
    start = time.perf_counter()
    try:
        result = detector.score(stream).to_json()
    except AudioError as error:
        return {"error": {"code": error.code, "message": error.message}}, b""
    if unusable(result):  # the last word is why nothing can be said
        code, _, message = result["warnings"][-1].partition(": ")
        return {"error": {"code": code, "message": message}}, b""
    infer_s = time.perf_counter() - start - stream.decode_s - stream.resample_s
    timings = {"decode": stream.decode_s, "resample": stream.resample_s, "infer": infer_s}
    return {"verdict": result["verdict"], "timings": timings}, json.dumps(result).encode()


class Scorer:
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
            worker, number, written = TICKET.unpack(ticket)
            try:
                self._serve(worker, number, written)
            except OSError:  # that worker is gone, and who asked with it
                if connection := self._workers.pop(worker, None):
                    connection.close()

    def _serve(self, worker: int, number: int, written: float) -> None:
        audio = audio_path(self._folder, worker, number)
        taken = taken_path(audio, os.getpid())
        connection = self._workers.get(worker)
        if connection is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(socket_path(self._folder, worker)))
            connection.sendall(HELLO.pack(os.getpid()))
            self._workers[worker] = connection
        try:
            audio.rename(taken)
        except FileNotFoundError:  # nobody waits for it any more
            return
        wait_s = time.monotonic() - written
        notes, body = answer(self._detector, taken.read_bytes(), self._limits)
        taken.unlink(missing_ok=True)
        notes.setdefault("timings", {})["wait"] = wait_s
        parts = json.dumps(notes).encode(), body
        connection.sendall(ANSWER.pack(number, *map(len, parts)) + b"".join(parts))


def main() -> None:
    """Load the bundle, say so, and serve: arguments are folder, bundle, limits and memory."""
    folder, bundle, limits, memory_bytes = sys.argv[1:]
    confine(int(memory_bytes))
    detector = Detector(Path(bundle))
    detector.score(np.zeros(detector.bundle.spec.window_samples, np.float32))  # first runs are slow
    gc.freeze()  # what is loaded stays; looking through it again and again costs time
    desk = Scorer(Path(folder), detector, Limits(**json.loads(limits)))
    os.write(sys.stdout.fileno(), b"ready\n")
    desk.run()


if __name__ == "__main__":
    main()
