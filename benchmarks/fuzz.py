"""Damaged audio against the service: it may be rejected, but must not bring anything down.

    python -m benchmarks.fuzz --uploads 20000 --seed 0 [--endpoint explain] [--keep DIR]

The files are of the usual formats, and one of packets of one sample each. Bytes in them are
changed, lost, inserted and repeated, they are cut short, stated sizes become what programs write
that do not know them, and several are joined. Every upload is determined by the seed and its
number. Uploads that end a scorer or run into the
deadline are written to the folder that ``--keep`` names. The exit code is 1 if an answer is the
service's own fault, a worker died, or a file is left.
"""

import argparse
import contextlib
import http.client
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving import Running, memory_mb, service
from benchmarks.sounds import encode, packets, speech
from bonafide.bundle import Bundle
from bonafide.home import home
from bonafide.registry import find_bundle

KINDS = ("wav", "flac", "mp3", "ogg", "m4a", "webm")
ENDPOINTS = ("detect", "explain", "provenance")
CLIENTS, WORKERS = 4, 2
LOOK_EVERY = 25
LONG_S = 80.0
TELLING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PLACEHOLDERS = (0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
SIZED = (b"RIFF", b"data", b"fLaC", b"mdat", b"moov", b"Xing", b"\x18S\x80g")
IDLE_S = 1.0  # after which a connection is opened anew
BROKEN = 0  # in place of a status: the connection ended

Generator = np.random.Generator


def _flip(rng: Generator, content: bytes) -> bytes:
    damaged = bytearray(content)
    for place in rng.integers(0, len(content), rng.integers(1, 65)):
        damaged[place] = rng.integers(0, 256)
    return bytes(damaged)


def _cut(rng: Generator, content: bytes) -> bytes:
    start, end = sorted(rng.integers(0, len(content) + 1, 2))
    return [content[:end], content[start:], content[:start] + content[end:]][rng.integers(0, 3)]


def _insert(rng: Generator, content: bytes) -> bytes:
    place, size = rng.integers(0, len(content) + 1), rng.integers(1, 4_000)
    block = rng.bytes(size) if rng.random() < 0.5 else bytes(size)
    return content[:place] + block + content[place:]


def _repeat(rng: Generator, content: bytes) -> bytes:
    start, end = sorted(rng.integers(0, len(content) + 1, 2))
    times = rng.integers(2, 6)
    return content[:end] + content[start:end] * times + content[end:]


def _edit_header(rng: Generator, content: bytes) -> bytes:
    """Overwrite one of the first fields with a number of the kind that overflows."""
    damaged, size = bytearray(content), int(rng.choice([1, 2, 4, 8]))
    reach = min(len(content), int(rng.choice([64, 512, 4_096])))
    place = int(rng.integers(0, max(1, reach - size)))
    value = int(rng.choice(TELLING)) % (1 << 8 * size)
    damaged[place : place + size] = value.to_bytes(size, "little" if rng.random() < 0.5 else "big")
    return bytes(damaged)


def _truncate(rng: Generator, content: bytes) -> bytes:
    return content[: rng.integers(0, len(content) + 1)]


def _forget_size(rng: Generator, content: bytes) -> bytes:
    """Overwrite the bytes around one of the names that sizes stand at with a placeholder."""
    places = [place for name in SIZED if (place := content.find(name)) >= 0]
    if not places:
        return _edit_header(rng, content)
    damaged, place = bytearray(content), int(rng.choice(places)) + int(rng.choice((-4, 4, 17)))
    size = int(rng.choice((4, 8)))
    value = int(rng.choice(PLACEHOLDERS)) % (1 << 8 * size)
    damaged[max(0, place) : max(0, place) + size] = value.to_bytes(size, "little")
    return bytes(damaged)


ALONE = (_flip, _cut, _insert, _repeat, _edit_header, _truncate, _forget_size)


def damage(rng: Generator, files: list[bytes]) -> bytes:
    """Return one of the files, damaged one to four times, and now and then joined to others."""
    content = files[rng.integers(0, len(files))]
    if (kind := rng.random()) < 0.1:
        content = _cut(rng, content) + _cut(rng, files[rng.integers(0, len(files))])
    elif kind < 0.2:
        content += b"".join(files[n] for n in rng.integers(0, len(files), rng.integers(1, 4)))
    for _ in range(rng.integers(1, 5)):
        if content:
            content = ALONE[rng.integers(0, len(ALONE))](rng, content)
    return content


@dataclass
class Report:
    """What came of the uploads."""

    statuses: Counter[int] = field(default_factory=Counter)
    scorers: set[int] = field(default_factory=set)
    workers_lost: int = 0
    files_left: list[str] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def restarts(self) -> int:
        """Number of scorers that had to be replaced."""
        return len(self.scorers) - WORKERS

    def faults(self) -> list[str]:
        """Return what went wrong, a line each."""
        expected = {200, 400, 413, 415, 422, 429, 503, 504}
        faults = [
            f"{count} answers {status or 'broken off'}"
            for status, count in sorted(self.statuses.items())
            if status not in expected
        ]
        if self.workers_lost:
            faults.append(f"{self.workers_lost} workers died")
        return faults + [f"left: {name}" for name in self.files_left]

    def lines(self) -> list[str]:
        """Return what is printed."""
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        before, after = self.memory_mb
        return [
            f"answers by status: {counts}",
            f"scorers restarted: {self.restarts}",
            f"files left: {len(self.files_left)}",
            f"memory of workers and scorers: {before:.0f} MB before, {after:.0f} MB after",
            f"seconds: {self.seconds:.0f}",
        ]


class _Senders:
    """Threads that send, each over a connection of its own."""

    def __init__(self, running: Running, endpoint: str, report: Report, keep: Path | None) -> None:
        self._running, self._endpoint = running, endpoint
        self._report, self._keep = report, keep
        self._own, self._lock = threading.local(), threading.Lock()
        self._opened: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        """Close every connection."""
        for connection in self._opened:
            connection.close()

    def send(self, content: bytes, number: int) -> None:
        """Send one upload and note what came of it."""
        status, answer = self.ask(content)
        ended = status in (BROKEN, 504) or b'"decoder_crashed"' in answer
        with self._lock:
            self._report.statuses[status] += 1
            if ended or number % LOOK_EVERY == 0:
                self._report.scorers.update(self._running.scorers())
            if ended and self._keep:
                (self._keep / f"{number}-{status}").write_bytes(content)

    def ask(self, content: bytes) -> tuple[int, bytes]:
        """Send one upload; return status and body."""
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._running.port, timeout=90)
            self._own.connection = connection
            self._opened.append(connection)
        elif time.monotonic() - self._own.answered > IDLE_S:
            connection.close()  # the service may close it as the request is sent
        try:
            connection.request("POST", f"/v1/{self._endpoint}", content)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # the next request opens it again
            return BROKEN, b""
        finally:
            self._own.answered = time.monotonic()


def _uploads_in(folder: Path, workers: Iterable[int]) -> Iterator[str]:
    """Yield the uploads that a service still holds: files in its folder, and open nameless ones."""
    yield from (path.name for path in folder.glob("bonafide-*/[0-9]*-*"))
    for pid in workers:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if link.is_symlink() and str(target := link.readlink()).startswith(f"{folder}/#"):
                yield str(target)


def _memory_mb(running: Running) -> float:
    """Return what workers and scorers take at present."""
    return sum(memory_mb(pid, "VmRSS") for pid in (*running.workers(), *running.scorers()))


def fuzz(
    bundle: Bundle,
    uploads: int,
    seed: int,
    keep: Path | None = None,
    endpoint: str = ENDPOINTS[0],
) -> Report:
    """Start a service, send it damaged files, and report what came of it.

    Parameters
    ----------
    bundle : Bundle
        The one to serve.
    uploads : int
        How many files are sent.
    seed : int
        Determines every upload.
    keep : Path or None
        Folder for the uploads that ended a scorer.
    endpoint : str
        One of `ENDPOINTS`, which is sent them.

    Returns
    -------
    Report
    """
    files = [encode(speech(2.0 + index, seed + index), kind) for kind in KINDS for index in (0, 1)]
    files.append(packets("matroska", speech(1.0, seed), 1))
    report = Report()
    with tempfile.TemporaryDirectory(prefix="fz") as name:
        temp = Path(name)
        with (
            service(bundle.folder, WORKERS, TMPDIR=name, BONAFIDE_QUEUE=str(CLIENTS)) as running,
            contextlib.closing(_Senders(running, endpoint, report, keep)) as senders,
        ):
            workers = running.workers()

            def send(number: int) -> None:
                senders.send(damage(np.random.default_rng((seed, number)), files), number)

            with ThreadPoolExecutor(CLIENTS) as pool:
                # onnxruntime keeps the memory of its largest batch: a long file takes it up front
                long = encode(speech(LONG_S, seed), "flac")
                for status, _ in pool.map(senders.ask, [*files, *[long] * CLIENTS] * WORKERS):
                    assert status == 200, "the files are sound before"
                report.memory_mb.append(_memory_mb(running))
                start = time.perf_counter()
                list(pool.map(send, range(uploads)))
            report.seconds = time.perf_counter() - start
            report.workers_lost = len(set(workers) - set(running.workers()))
            report.memory_mb.append(
                _memory_mb(running) if not report.workers_lost else float("nan")
            )
            report.files_left += _uploads_in(temp, running.workers())
        report.files_left += [str(path.relative_to(temp)) for path in temp.rglob("*")]
    return report


def main() -> int:
    """Fuzz and print the report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--endpoint", choices=ENDPOINTS, default=ENDPOINTS[0])
    parser.add_argument("--bundle", type=Path, metavar="DIR")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="for uploads that end a scorer")
    arguments = parser.parse_args()
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    bundle = find_bundle(home(), arguments.bundle)
    uploads, seed, keep = arguments.uploads, arguments.seed, arguments.keep
    report = fuzz(bundle, uploads, seed, keep, arguments.endpoint)
    print("\n".join([*report.lines(), *(f"FAULT {fault}" for fault in report.faults())]))
    return bool(report.faults())


if __name__ == "__main__":
    sys.exit(main())
