"""The service, measured from outside: latency and throughput under load, memory, cold starts."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bonafide.process.lifetime import descendants
from bonafide.process.service import Service, running_service


def command_line(pid: int) -> str:
    """Return a process's command line; an empty one once it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def memory_mb(pid: int, field: str = "VmHWM") -> float:
    """Return a process's peak (VmHWM) or current (VmRSS) resident memory, in 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"process {pid} has no {field}")


@dataclass(frozen=True)
class Running:
    """A running service, and how long it took to be ready."""

    service: Service
    ready_s: float

    @property
    def port(self) -> int:
        """Its port on this machine."""
        return self.service.port

    @property
    def pid(self) -> int:
        """The process ID of its first process."""
        return self.service.process.pid

    def workers(self) -> list[int]:
        """Return the IDs of the processes that take requests."""
        return [p for p in descendants(self.pid) if "worker.service" in command_line(p)]

    def scorers(self) -> list[int]:
        """Return the IDs of the processes that decode and score."""
        return [p for p in descendants(self.pid) if "serving.workers.scorer" in command_line(p)]

    def is_ready(self) -> bool:
        """Ask /readyz."""
        return self.service.is_ready()

    def load(self, clip: Path, *words: str) -> dict[str, Any]:
        """Send load from another process; return what `benchmarks.load` prints."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.load"),
                *("--port", str(self.port), "--file", str(clip), *words),
            ],
            stdout=subprocess.PIPE,
            check=True,
        )
        return dict(json.loads(done.stdout))


@contextlib.contextmanager
def service(bundle: Path, workers: int, **settings: str) -> Iterator[Running]:
    """Run `bonafide serve` until the block ends."""
    words = ("--bundle", str(bundle.resolve()), "--workers", str(workers))
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "BONAFIDE_HOME": home, **settings}
        log, start = Path(home) / "service.log", time.perf_counter()
        with running_service(*words, environment=environment, log=log) as started:
            running = Running(started, time.perf_counter() - start)
            while len(running.scorers()) < workers:
                time.sleep(0.1)
            yield running


def seconds_of(words: Sequence[str]) -> float:
    """Return how long a command takes, in seconds."""
    start = time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start
