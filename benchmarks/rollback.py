"""How long the way back takes: from the start of `bonafide models rollback` to the old bundle.

    python -m benchmarks.rollback --times 10 [--workers N]

A service with two bundles in a home of its own is asked without pause by one client; each time the
newer bundle is rolled back and promoted again. A line a time, in seconds from the command's start:
until it has ended, the first answer from the old bundle, the last from the new one. The exit code
is 1 if a request failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle, read_bundle
from bonafide.home import SHIPPED
from bonafide.process.service import running_service
from bonafide.registry import keep, promote, registry_of

CLIP_S, GIVE_UP_S, SETTLED_S = 4.0, 60.0, 1.0
COLUMNS = ("command", "first old", "last new")


class Client:
    """Asks without pause; knows which version each answer came from, and when.

    Parameters
    ----------
    url : str
        Of the service.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v1/detect"
        self._answers: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self._stop = threading.Event()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask until the block ends."""
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _ask(self) -> None:
        clip = encode(speech(CLIP_S), "flac")
        with httpx.Client(trust_env=False, timeout=60) as http:
            while not self._stop.is_set():
                try:
                    answer = http.post(self._url, content=clip)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != httpx.codes.OK:
                    self.failures.append(answer.text)
                    continue
                self._answers.append((time.monotonic(), answer.json()["bundle"]["version"]))

    def settled(self, bundle: Bundle, since: float) -> tuple[float, float]:
        """Wait until all answers are from a bundle; return when the first was, and the last not."""
        version = bundle.identity["version"]
        while time.monotonic() < since + GIVE_UP_S:
            seen = [each for each in self._answers if each[0] >= since]
            first = next((at for at, which in seen if which == version), None)
            last = max((at for at, which in seen if which != version), default=since)
            if first is not None and seen[-1][0] - last > SETTLED_S:
                return first, last
            time.sleep(0.05)
        raise SystemExit(f"version {version} is not served; failures: {self.failures[-3:]}")


def measure(home: Path, client: Client, old: Bundle, new: Bundle) -> tuple[float, float, float]:
    """Roll back and promote again; return what a line shows."""
    start = time.monotonic()
    words = [sys.executable, "-m", "bonafide.cli", "models", "rollback", "--why", "a benchmark"]
    environment = {**os.environ, "BONAFIDE_HOME": str(home)}
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
    command_s = time.monotonic() - start
    first, last = client.settled(old, start)
    registry_of(home).release(old)
    promoted = time.monotonic()
    promote(home, new, override="a benchmark")
    client.settled(new, promoted)
    return command_s, first - start, last - start


def main() -> None:
    """Measure, and print a line each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        old, new = (keep(home, read_bundle(SHIPPED), {"note": name}, "") for name in ("a", "b"))
        for bundle in (old, new):
            promote(home, bundle, override="a benchmark")
        environment = {**os.environ, "BONAFIDE_HOME": str(home)}
        words, log = ("--workers", str(arguments.workers)), Path(folder) / "log"
        with running_service(*words, environment=environment, log=log) as service:
            client = Client(service.url)
            with client.asking():
                client.settled(new, time.monotonic())
                print("  ".join(f"{name:>9}" for name in COLUMNS))
                lines = []
                for _ in range(arguments.times):
                    lines.append(measure(home, client, old, new))
                    print("  ".join(f"{each:9.2f}" for each in lines[-1]), flush=True)
        print("  ".join(f"{median(column):9.2f}" for column in zip(*lines, strict=True)), "median")
    if client.failures:
        sys.exit(f"{len(client.failures)} requests failed: {client.failures[:3]}")


if __name__ == "__main__":
    main()
