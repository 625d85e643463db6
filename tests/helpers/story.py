"""A small corpus whose spoofs are told by their sound alone, a caller that never pauses, nights.

Nothing marks the corpus as simulated, so that the gate judges what learned from it like any other.
It is promoted only in homes of tests, which are demo homes.
"""

import csv
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx
import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.sounds import speech
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.history import read_history
from tests.helpers.homes import LIMIT_S, Home
from tests.helpers.servers import Server, wait_for

COLUMNS = ("path", "label", "speaker", "source", "system")
LABELS = ("bonafide", "spoof")
OTHER = dict(zip(LABELS, LABELS[::-1], strict=True))
SECONDS = 1.5
EARLY = [f"early{number:02d}" for number in range(18)]
LATE = [f"late{number}" for number in range(4)]
Row = list[str]  # of COLUMNS


def generated(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sound with the notches of a comb filter, at the level that it had."""
    combed = sound.copy()
    combed[8:] -= 0.9 * sound[:-8]
    return combed * np.float32(np.std(sound) / np.std(combed))


def _rows(folder: Path, source: str, each: int) -> list[Row]:
    """Write `each` recordings of either label of a source, which has a speaker of its own."""
    rows = []
    for number in range(2 * each):
        is_spoof = number % 2 == 1
        name = f"{source}-{number:02d}.flac"
        sound = speech(SECONDS, seed=crc32(name.encode()))
        soundfile.write(folder / name, generated(sound) if is_spoof else sound, SAMPLE_RATE_HZ)
        system = "comb" if is_spoof else "-"
        rows.append([name, LABELS[is_spoof], f"speaker of {source}", source, system])
    return rows


def _write(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path


def _exchange(row: Row) -> Row:
    path, label, *more = row
    return [path, OTHER[label] if row[3] == LATE[2] else label, *more]


class Corpora:
    """The corpus at four times: early, as it grew, and poisoned in two ways.

    Parameters
    ----------
    folder : Path
        New.

    Attributes
    ----------
    early, grown, exchanged, doubled : Path
        Manifests. In `exchanged` the labels of one source are, in `doubled` the recordings of one
        source are there again under the name of another.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        early = [row for source in EARLY for row in _rows(folder, source, 3)]
        grown = early + [row for source in LATE for row in _rows(folder, source, 8)]
        copies = []
        for path, label, _, source, system in grown:
            if source == LATE[2]:
                shutil.copy(folder / path, folder / f"copy-{path}")
                copies.append([f"copy-{path}", label, "another", "copied", system])
        self.early = _write(folder / "early.csv", early)
        self.grown = _write(folder / "manifest.csv", grown)
        self.exchanged = _write(folder / "exchanged.csv", [_exchange(row) for row in grown])
        self.doubled = _write(folder / "doubled.csv", grown + copies)


class Caller:
    """Asks a service without pause, while a block lasts, and keeps what it answered.

    Parameters
    ----------
    service : Server
        The service.
    clip : Path
        The recording to ask about.
    """

    def __init__(self, service: Server, clip: Path) -> None:
        self._url, self._clip = f"{service.url}/v1/detect", clip.read_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.versions: list[str] = []
        self.failures: list[str] = []

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=60) as http:
            while not self._stop.wait(0.25):  # leaves the training most of the machine
                try:
                    answer = http.post(self._url, content=self._clip)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.is_error:
                    self.failures.append(answer.text)
                else:
                    self.versions.append("{name}:{version}".format(**answer.json()["bundle"]))

    def __enter__(self) -> "Caller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, version: str) -> None:
        """Wait until it is a version that answers."""
        wait_for(lambda: self.versions[-1:] == [version], f"{version} answers", limit_s=60)

    def wait_more(self) -> None:
        """Wait until it was answered three times more."""
        asked = len(self.versions)
        wait_for(lambda: len(self.versions) >= asked + 3, "more answers", limit_s=60)


class Nights:
    """`bonafide schedule run`, while a block lasts, and what it comes to.

    Parameters
    ----------
    home : Home
        Whose history it is.
    *words : str or Path
        What follows the command.
    """

    def __init__(self, home: Home, *words: str | Path) -> None:
        self._home = home
        self._seen = len(self._ended())
        self._log = (home.folder.parent / "nights.log").open("a")
        self._process = subprocess.Popen(
            home.command("schedule", "run", *words),
            env=home.environment,
            stdout=self._log,
            stderr=self._log,
        )

    def _ended(self) -> list[dict[str, Any]]:
        return [run for run in read_history(self._home.folder) if run["ended"] != "-"]

    def __enter__(self) -> "Nights":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(timeout=60) == 0
        self._log.close()

    def next(self, *statuses: str) -> dict[str, Any]:
        """Wait for the next run, or the next skip, that ended so; others in between are passed."""

        def found() -> dict[str, Any] | None:
            assert self._process.poll() is None
            runs = self._ended()
            while self._seen < len(runs):
                self._seen += 1
                if (run := runs[self._seen - 1])["status"] in statuses:
                    return run
            return None

        run: dict[str, Any] = wait_for(found, f"a run that is {statuses}", limit_s=LIMIT_S)
        return run

    def more(self) -> list[str]:
        """Return how the runs ended that nobody waited for."""
        return [run["status"] for run in self._ended()[self._seen :]]
