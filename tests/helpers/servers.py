"""The real service for tests: `bonafide serve` in a home and a temporary folder of its own."""

import contextlib
import http.client
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psutil

from bonafide.process.service import SERVE, STOP_S, Service, running_service


def wait_for(condition: Callable[[], Any], what: str, *, limit_s: float = 60.0) -> Any:
    """Wait until the condition holds; return what it gave."""
    end = time.monotonic() + limit_s
    while not (seen := condition()):
        assert time.monotonic() < end, f"not within {limit_s:g} s: {what}"
        time.sleep(0.02)
    return seen


def private_home(shared: Path, folder: Path) -> Path:
    """Copy a home's bundles, so that what a server writes stays its own."""
    shutil.copytree(shared / "bundles", folder / "bundles")
    shutil.copytree(shared / "journal", folder / "journal")
    return folder


@contextlib.contextmanager
def load(
    running: "Server", clip: Path, *flags: str, **arguments: object
) -> Iterator[dict[str, Any]]:
    """Run `benchmarks.load` meanwhile; what it printed is in the dictionary at the end."""
    words = [*flags, *(f"--{name}={value}" for name, value in arguments.items())]
    command = [sys.executable, "-m", "benchmarks.load", f"--port={running.port}", *words]
    result: dict[str, Any] = {}
    with subprocess.Popen([*command, f"--file={clip}"], stdout=subprocess.PIPE) as process:
        try:
            yield result
            output, _ = process.communicate(timeout=120)
            result |= json.loads(output)
        finally:
            process.kill()


@dataclass
class Server:
    """A running service."""

    service: Service
    home: Path
    temp: Path  # its TMPDIR
    log_path: Path

    @property
    def port(self) -> int:
        return self.service.port

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.service.process.pid).children(recursive=True)

    def _named(self, name: str) -> list[psutil.Process]:
        found = []
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                if name in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        return self._named("_bentoml_impl.worker.service")

    def scorers(self) -> list[psutil.Process]:
        return self._named("serving.workers.scorer")

    def detect(self, content: bytes, **more: Any) -> httpx.Response:
        """Post a form with the audio."""
        return httpx.post(
            f"{self.url}/v1/detect", files={"audio": content}, timeout=60, trust_env=False, **more
        )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, trust_env=False, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=60, trust_env=False, **more)

    def raw(self, *pieces: bytes | Iterator[bytes]) -> tuple[int, dict[str, Any]]:
        """Send bytes as they are until an answer comes; return its status and JSON."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            for piece in chain.from_iterable([p] if isinstance(p, bytes) else p for p in pieces):
                if select.select([connection], [], [], 0)[0]:
                    break
                with contextlib.suppress(ConnectionError):  # the answer may lie there already
                    connection.sendall(piece)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, json.loads(answer.read())

    def metric(self, line: str) -> float:
        """Return the value of a metric, named as /metrics prints it; 0 if absent."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def upload_files(self) -> list[str]:
        """Name the uploads that the service keeps: files in its folder, and nameless open ones."""
        kept = [str(path) for path in self.temp.glob("bonafide-*/[0-9]*-*")]
        for worker in self.workers():
            for link in Path(f"/proc/{worker.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    target = str(link.readlink())
                    if target.startswith(f"{self.temp}/#"):
                        kept.append(target)
        return kept

    def stop(self) -> None:
        """Stop it, and see that nothing is left: no process, no file."""
        before = self.tree()
        status = self.service.end(STOP_S)
        _, alive = psutil.wait_procs(before, timeout=5)
        for folder in self.temp.glob("bentoml-client-*"):  # of a worker that was killed
            folder.rmdir()
        left = sorted(str(path.relative_to(self.temp)) for path in self.temp.rglob("*"))
        assert (status, alive, left) == (0, [], []), f"{status}, {alive}, {left}, {self.log}"


@contextlib.contextmanager
def server(
    home: Path,
    *words: str,
    ready: bool = True,
    command: Sequence[str] = SERVE,
    environment: Mapping[str, str] = MappingProxyType({}),
    **settings: object,
) -> Iterator[Server]:
    """Run the service; settings are named as in `serving.settings`."""
    temp = Path(tempfile.mkdtemp(prefix="bf"))  # short: sockets lie in it
    log = temp.with_suffix(".log")
    inherited = {name: value for name, value in os.environ.items() if "BONAFIDE_" not in name}
    environment = {**inherited, **environment}
    environment |= {f"BONAFIDE_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"BONAFIDE_HOME": str(home), "TMPDIR": str(temp), "HOME": str(temp)}
    try:
        with running_service(
            *words, command=command, environment=environment, folder=temp, log=log, ready=ready
        ) as service:
            running = Server(service, home, temp, log)
            yield running
            running.stop()
    finally:
        shutil.rmtree(temp)
        log.unlink()
