"""Jobs while the service is killed: whether each is answered once.

    python -m benchmarks.jobs [--jobs 1000] [--kills 3] [--seed 1]

A service in a home of its own takes jobs, each with a callback to a receiver on this machine; as
they are sent and answered, it is killed with SIGKILL, all its processes at once, and started again.
Then every job is asked for. Printed: how many were accepted, answered, told to the receiver, and
told it more than once (a callback whose answer a kill cut off is sent again, with the same ID); how
many recordings are left; and the seconds that it took, killed and not. The exit code is 1 if a job
is lost, answered otherwise than `/v1/detect` does, or not told.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.sounds import encode, speech
from bonafide.process.service import Service, free_port, running_service

KINDS = 5  # recordings that differ
GIVE_UP_S = 300.0


@dataclass
class Receiver:
    """What takes callbacks; notes the ID of each, and those that are signed wrongly."""

    secret: bytes
    told: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, Any] = field(default_factory=dict)
    forged: int = 0
    url: str = ""

    def take(self, headers: Any, body: bytes) -> None:
        """Take one."""
        content = b".".join(
            (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
        )
        digest = base64.b64encode(hmac.digest(self.secret, content, hashlib.sha256)).decode()
        self.forged += headers["webhook-signature"] != f"v1,{digest}"
        said = json.loads(body)
        self.told[headers["webhook-id"]] += 1
        self.bodies[said["id"]] = said


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive callbacks on this machine until the block ends."""
    receiver = Receiver(os.urandom(32))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # its name in the library
            receiver.take(self.headers, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Report:
    """What came of it."""

    accepted: int = 0
    answered: int = 0
    wrong: int = 0
    told: int = 0
    told_again: int = 0
    forged: int = 0
    left: int = 0
    kills: int = 0
    took_s: float = 0.0

    def faults(self) -> list[str]:
        """Return what should not be."""
        counts = {
            "jobs lost": self.accepted - self.answered,
            "answered otherwise": self.wrong,
            "never told": self.accepted - self.told,
            "signed wrongly": self.forged,
            "recordings left": self.left,
        }
        return [f"{count} {name}" for name, count in counts.items() if count]


def kill_all(service: Service) -> None:
    """Kill a service and all that it started, as a machine does that runs out of memory."""
    parent = psutil.Process(service.process.pid)
    for process in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    service.process.wait()


class _Sender:
    """Sends jobs again and again until each was accepted once."""

    def __init__(self, base: str, callback: str, contents: Sequence[bytes], jobs: int) -> None:
        self._base, self._callback, self._contents = base, callback, contents
        self.ids: dict[str, int] = {}
        self._jobs = jobs

    def run(self) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            number = 0
            while number < self._jobs:
                kind = number % len(self._contents)
                try:
                    answer = client.post(
                        f"{self._base}/v1/jobs",
                        params={"callback": self._callback},
                        content=self._contents[kind],
                    )
                except httpx.HTTPError:  # it is being killed: whether it took the job is not known
                    time.sleep(0.1)
                    continue
                if answer.status_code == 202:
                    self.ids[answer.json()["id"]] = kind
                    number += 1
                else:
                    time.sleep(0.1)


def run(jobs: int, kills: int, seed: int, bundle: str = "fast") -> Report:
    """Send jobs, kill the service meanwhile, and report.

    Parameters
    ----------
    jobs : int
        How many.
    kills : int
        How often the service is killed.
    seed : int
        Of the moments.
    bundle : str
        The one that answers.

    Returns
    -------
    Report
    """
    contents = [encode(speech(1.0 + kind, seed + kind), "flac") for kind in range(KINDS)]
    report, random, port = Report(kills=kills), np.random.default_rng(seed), free_port()
    with tempfile.TemporaryDirectory() as folder, receiving() as receiver:
        place = Path(folder) / "jobs"
        known = {
            **os.environ,
            "BONAFIDE_HOME": folder,
            "BONAFIDE_JOBS": str(place),
            "BONAFIDE_CALLBACKS": receiver.url,
            "BONAFIDE_CALLBACK_SECRET": f"whsec_{base64.b64encode(receiver.secret).decode()}",
        }
        words = ("--bundle", bundle)

        def started(stack: ExitStack) -> Service:
            return stack.enter_context(running_service(*words, port=port, environment=known))

        with ExitStack() as stack:
            service = started(stack)
            expected = [_detected(service.url, each) for each in contents]
            sender = _Sender(service.url, f"{receiver.url}/told", contents, jobs)
            start = time.monotonic()
            sending = threading.Thread(target=sender.run, daemon=True)
            sending.start()
            for number in range(kills):
                share = (number + random.uniform(0.3, 0.9)) / kills
                _wait(lambda share=share: len(receiver.told) >= share * jobs, "callbacks come")
                kill_all(service)
                service = started(stack)
            sending.join(GIVE_UP_S)
            _wait(lambda: sender.ids.keys() <= receiver.bodies.keys(), "every callback came")
            report.took_s = time.monotonic() - start
            _wait(lambda: not list(place.glob("*.audio")), "no recording is left")
            for job_id, kind in sender.ids.items():
                found = httpx.get(f"{service.url}/v1/jobs/{job_id}", trust_env=False, timeout=60)
                said = found.json()
                report.answered += said.get("status") == "done"
                same = said.get("result") == receiver.bodies[job_id].get("result")
                report.wrong += not (same and said.get("result") == expected[kind])
        report.accepted = len(sender.ids)
        report.told = len(sender.ids.keys() & receiver.bodies.keys())
        report.told_again = sum(count - 1 for count in receiver.told.values())
        report.forged, report.left = receiver.forged, len(list(place.glob("*.audio")))
    return report


def _detected(url: str, content: bytes) -> Any:
    answer = httpx.post(f"{url}/v1/detect", content=content, trust_env=False, timeout=60)
    return answer.raise_for_status().json()


def _wait(condition: Any, what: str) -> None:
    end = time.monotonic() + GIVE_UP_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {GIVE_UP_S:g} s: {what}")
        time.sleep(0.05)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    faults = []
    for kills in (0, given.kills):
        report = run(given.jobs, kills, given.seed)
        faults += report.faults()
        print(
            f"killed {kills} times: {report.accepted} accepted, {report.answered} answered, "
            f"{report.told} told, {report.told_again} of these again, {report.left} recordings "
            f"left, {report.took_s:.1f} s",
            flush=True,
        )
    print("\n".join(faults) or "each answered once")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
