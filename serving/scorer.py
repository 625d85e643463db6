"""The scorer: a process of its own that decodes and scores, and may die without harm.

Decoders read what strangers send. So they run here, with limits on memory, files and time: a crash
or a hang in a codec costs one process, and a deadline stops the work by ending it.

Asked over a socket: an 8-byte length and as many bytes of audio, or length 0 and an open file
passed along. Answers: a 4-byte length and JSON, ``{"result", "timings"}`` or ``{"error"}``.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from bonafide.audio import AudioStream, Limits
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.scoring import unusable

QUESTION, ANSWER = struct.Struct("<Q"), struct.Struct("<I")
PR_SET_PDEATHSIG = 1
FILES = 64


def answer(detector: Detector, source: bytes | BinaryIO, limits: Limits) -> dict[str, Any]:
    """Score one upload.

    Parameters
    ----------
    detector : Detector
    source : bytes or binary file
    limits : Limits

    Returns
    -------
    dict
        ``result`` (`Detection.to_json`) and ``timings`` in seconds by stage, or ``error`` with
        ``code`` and ``message``.
    """
    stream = AudioStream(source, limits)
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
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's to handle
    if sys.platform == "linux":  # elsewhere it ends when the socket closes
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve(connection: socket.socket, detector: Detector, limits: Limits) -> None:
    """Answer until the other side is gone."""
    while (question := _receive(connection)) is not None:
        reply = answer(detector, question, limits)
        if not isinstance(question, bytes):
            question.close()
        text = json.dumps(reply).encode()
        connection.sendall(ANSWER.pack(len(text)) + text)


def _receive(connection: socket.socket) -> bytes | BinaryIO | None:
    head, files, _, _ = socket.recv_fds(connection, QUESTION.size, 1)
    if not head:
        return None
    (size,) = QUESTION.unpack(head + _exactly(connection, QUESTION.size - len(head)))
    return os.fdopen(files[0], "rb") if files else _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        received = connection.recv_into(view[done:])
        if not received:
            raise EOFError
        done += received
    return bytes(content)


def main() -> None:
    """Load the bundle, say ready, and serve: arguments are socket, bundle, limits and memory."""
    descriptor, bundle, limits, memory_bytes = sys.argv[1:]
    confine(int(memory_bytes))
    connection = socket.socket(fileno=int(descriptor))
    detector = Detector(Path(bundle))
    ready = json.dumps(detector.bundle.identity).encode()
    connection.sendall(ANSWER.pack(len(ready)) + ready)
    serve(connection, detector, Limits(**json.loads(limits)))


if __name__ == "__main__":
    main()
