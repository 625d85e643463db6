"""The scorer: a separate process that decodes and scores, and may die without harm.

Decoders read what strangers send. So they run here, with limits on memory, files and time: a crash
or a hang in a codec costs one process, and a deadline stops the work by killing it.

It takes tickets from the queue (`serving.workers.queue`) and answers the worker of each.
On SIGTERM it finishes the request that it works on, and ends.
"""

import gc
import hashlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bonafide.audio import AudioStream, Limits
from bonafide.detection import rounded
from bonafide.detector import Detector
from bonafide.errors import AudioError, BundleError
from bonafide.process.confine import READY, confine
from bonafide.registry import Version
from serving.http.endpoints import Endpoint, find_endpoints, plain
from serving.settings import Settings
from serving.workers.queue import (
    ANSWER,
    HELLO,
    TICKET,
    audio_path,
    open_queue,
    socket_path,
    taken_path,
)
from serving.workers.windows import WINDOWS, scores_of_windows


def answer(
    endpoint: Endpoint, detector: Detector, content: bytes, limits: Limits
) -> tuple[dict[str, Any], bytes]:
    """Answer one upload.

    Parameters
    ----------
    endpoint : Endpoint
        The scoring endpoint that it was sent to.
    detector : Detector
        Scores.
    content : bytes
        The upload.
    limits : Limits
        Checked while decoding.

    Returns
    -------
    notes : dict
        ``verdict`` (None where the answer has none) and ``timings`` in seconds by stage; or
        ``error`` with ``code`` and ``message``.
    body : bytes
        The endpoint's answer as JSON; empty beside an error.
    """
    stream = AudioStream(content, limits)
    start = time.perf_counter()
    try:
        result = rounded(plain(endpoint.answer(detector, stream)))
    except AudioError as error:
        return {"error": {"code": error.code, "message": error.message}}, b""
    except BundleError as error:  # a part of it that is not read before somebody asks
        return {"error": {"code": "not_ready", "message": error.message}}, b""
    infer_s = time.perf_counter() - start - stream.decode_s - stream.resample_s
    timings = {"decode": stream.decode_s, "resample": stream.resample_s, "infer": infer_s}
    verdict = result.get("verdict") if isinstance(result, dict) else None
    return {"verdict": verdict, "timings": timings}, json.dumps(result).encode()


class Scorer:
    """Takes tickets and answers them, until it is told to stop or its worker ends.

    Parameters
    ----------
    folder : Path
        Where the queue is.
    endpoints : mapping of str to Endpoint
        By name, as tickets name them.
    detector : Detector
        Scores.
    limits : Limits
        Checked while decoding.
    hashes : bool
        Whether files are hashed, as a record of answers needs it.
    """

    def __init__(
        self,
        folder: Path,
        endpoints: Mapping[str, Endpoint],
        detector: Detector,
        limits: Limits,
        *,
        hashes: bool,
    ) -> None:
        self._folder, self._endpoints = folder, endpoints
        self._detector, self._limits, self._hashes = detector, limits, hashes
        self._bundle = str(Version.of(detector.bundle))
        self._queue = open_queue(folder)
        self._workers: dict[int, socket.socket] = {}
        self._owner = os.getppid()
        self._stop, woken = os.pipe2(os.O_NONBLOCK)
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGTERM, lambda *_: None)  # the pipe wakes `run`

    def run(self) -> None:
        """Answer ticket after ticket."""
        poll = select.poll()
        poll.register(self._queue, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while os.getppid() == self._owner:
            if any(descriptor == self._stop for descriptor, _ in poll.poll(1_000)):
                return
            try:
                ticket = os.read(self._queue, TICKET.size)
            except BlockingIOError:  # another scorer was faster
                continue
            worker, *request = TICKET.unpack(ticket)
            try:
                self._serve(worker, *request)
            except OSError:  # that worker is gone, and its client with it
                if connection := self._workers.pop(worker, None):
                    connection.close()

    def _connect(self, worker: int) -> socket.socket:
        connection = self._workers.get(worker)
        if connection is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(socket_path(self._folder, worker)))
            connection.sendall(HELLO.pack(os.getpid()))
            self._workers[worker] = connection
        return connection

    def _serve(self, worker: int, number: int, written: float, name: bytes) -> None:
        connection = self._connect(worker)
        audio = audio_path(self._folder, worker, number)
        taken = taken_path(audio, os.getpid())
        try:
            audio.rename(taken)
        except FileNotFoundError:  # it asks for a sign of life, or nobody waits for it any longer
            connection.sendall(ANSWER.pack(number, 0, 0))
            return
        wait_s = time.monotonic() - written
        start = time.process_time()
        content = taken.read_bytes()
        notes, body = self._answer(name.rstrip(b"\0").decode(), content)
        notes["bundle"] = self._bundle
        if self._hashes:
            notes["sha256"] = hashlib.sha256(content).hexdigest()
        notes["work_s"] = time.process_time() - start
        notes.setdefault("timings", {})["wait"] = wait_s
        parts = json.dumps(notes).encode(), body
        connection.sendall(ANSWER.pack(number, *map(len, parts)) + b"".join(parts))

    def _answer(self, name: str, content: bytes) -> tuple[dict[str, Any], bytes]:
        if name == WINDOWS:
            return {}, scores_of_windows(self._detector, content)
        return answer(self._endpoints[name], self._detector, content, self._limits)


def main() -> None:
    """Load the bundle, report ready, and serve: arguments are those of `_load`."""
    try:
        scorer = _load(*sys.argv[1:])
    except Exception as error:  # whatever it is: the worker says why no scorer starts
        os.write(sys.stdout.fileno(), f"{str(error) or type(error).__name__}\n".encode())
        sys.exit(1)
    os.write(sys.stdout.fileno(), READY)
    scorer.run()


def _load(folder: str, bundle: str, limits: str, memory_bytes: str, niceness: str) -> Scorer:
    os.nice(int(niceness))
    settings = Settings.from_environment()
    endpoints = find_endpoints(settings.endpoint_names)
    confine(int(memory_bytes))
    detector = Detector(Path(bundle))
    detector.score(np.zeros(detector.bundle.spec.window_samples, np.float32))  # the first is slow
    gc.freeze()  # what is loaded stays: the collector need not look at it
    known = Limits(**json.loads(limits))
    return Scorer(Path(folder), endpoints, detector, known, hashes=bool(settings.record))


if __name__ == "__main__":
    main()
