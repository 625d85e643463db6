"""Commands as forks of a process that has imported what is heavy: `python -m tests.helpers.forge`.

An interpreter imports ZenML and the training libraries for seconds, many times in a test run. A
fork has them, and shares nothing else with other commands. Fresh interpreters are what first runs,
schedules, killed processes and the base install are tested with.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

REQUEST_BYTES = 1 << 20
PATHS = os.environ.get("PYTHONPATH")  # what is found there is imported once, plug-ins too
_starting = threading.Lock()


def run(
    words: Sequence[str], environment: Mapping[str, str], limit_s: float
) -> "subprocess.CompletedProcess[str]":
    """Run a command of `bonafide` in an environment, as `subprocess.run` does."""
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        socket.socket(socket.AF_UNIX) as forge,
    ):
        forge.settimeout(limit_s)
        forge.connect(_address())
        asked = json.dumps({"words": list(words), "environment": dict(environment)}).encode()
        assert len(asked) < REQUEST_BYTES
        socket.send_fds(forge, [asked], [out.fileno(), err.fileno()])
        forge.shutdown(socket.SHUT_WR)
        status = int(forge.recv(16))
        return subprocess.CompletedProcess(list(words), status, *map(_whole, (out, err)))


def _whole(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _address() -> str:
    """Return the path of the socket of this test process's forge, which is started once."""
    with _starting:
        return _start()


@functools.cache
def _start() -> str:
    folder = tempfile.TemporaryDirectory(prefix="forge-")  # goes with this process
    atexit.register(folder.cleanup)
    address = f"{folder.name}/socket"
    command = [sys.executable, "-m", "tests.helpers.forge", address]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, start_new_session=True, cwd=Path(__file__).parents[2]
    )
    atexit.register(_end, process)
    assert process.stdout and process.stdout.readline() == b"ready\n"
    return address


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def main() -> None:
    """Serve commands, each in a process of its own, until the test process ends."""
    from bonafide.cli.orchestrator import prepare_zenml

    prepare_zenml()
    import pipelines.prune  # noqa: F401
    import pipelines.training  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen()
        print("ready", flush=True)  # noqa: T201
        while True:
            asking, _ = listening.accept()
            with asking:
                if os.fork() == 0:
                    _serve(asking)


def _serve(asking: socket.socket) -> None:
    """Have a child of one's own run the command, and tell its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, streams, *_ = socket.recv_fds(asking, REQUEST_BYTES, 2)
    while more := asking.recv(REQUEST_BYTES):
        asked += more
    if (pid := os.fork()) == 0:
        asking.close()
        _become(streams, **json.loads(asked))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    asking.sendall(str(status).encode())
    os._exit(0)


def _become(streams: list[int], words: list[str], environment: dict[str, str]) -> None:
    from bonafide.cli.root import main as command

    status = 1
    try:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["bonafide", *words]
        status = command()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
