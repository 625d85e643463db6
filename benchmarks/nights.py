"""What a night of retraining costs: in decoded files, extracted rows, time, and room in the home.

    python -m benchmarks.nights --folder DIR [--rows 10000] [--nights 30] [--share 0.01]

A corpus of synthetic sound grows by a share of its rows every night; each night trains on all of it
(trees alone) as `bonafide schedule run` does, and prunes all but the last run. A line a night: the
rows, the files that were decoded, the rows whose features were extracted, seconds, and the bytes of
the home, ZenML's records included. The exit code is 1 if a night decoded or extracted more than
its new rows, or the home came to twice the size that the first night left.
"""

import argparse
import csv
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile

from benchmarks.sounds import speech
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import DEMO
from bonafide.process.pool import worker_count
from bonafide.training.store import JOINED, FeatureStore

SECONDS = 1.5
PER_SOURCE = 50
COLUMNS = ("path", "label", "speaker", "source", "system")
HEADINGS = ("night", "rows", "decoded", "extracted", "seconds", "home, MB")
CONFIG = """
name: nights
resamples: 50
folds: {count: 3, test_share: 0.2}
augmentation: {channels: {clean: 1}}
models: {xgboost: {trees: 20}}
gate: {max_eer: 1.0}
"""


@dataclass(frozen=True)
class Night:
    """What a night came to; see `HEADINGS`."""

    rows: int
    decoded: int
    extracted: int
    seconds: float
    bytes: int

    def line(self, number: int) -> str:
        """Return a row of the table."""
        cells = (number, self.rows, self.decoded, self.extracted)
        return " | ".join([*map(str, cells), f"{self.seconds:.0f}", f"{self.bytes / 1e6:.1f}"])


def write_clip(folder: Path, number: int) -> None:
    """Write a recording; every other one with the notches of a comb filter."""
    sound = speech(SECONDS, seed=number)
    if number % 2:
        sound[8:] -= 0.9 * sound[:-8].copy()
    soundfile.write(folder / f"{number}.flac", 0.7 * sound, SAMPLE_RATE_HZ)


def row(number: int) -> list[str]:
    """Return a row of the manifest."""
    source, is_spoof = f"source {number // PER_SOURCE}", number % 2 == 1
    label, system = ("spoof", "comb") if is_spoof else ("bonafide", "-")
    return [f"{number}.flac", label, f"speaker of {source}", source, system]


class Home:
    """A home, and what is counted in it.

    Parameters
    ----------
    folder : Path
        Made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / DEMO).touch()  # synthetic sound may be promoted here
        self.folder = folder

    def train(self, config: Path, manifest: Path) -> float:
        """Train, prune, and return how long that took, in seconds."""
        command = [sys.executable, "-m", "bonafide.cli", "train", "--quiet", "--keep", "1"]
        given = {"BONAFIDE_HOME": self.folder, "ZENML_CONFIG_PATH": self.folder / "zenml"}
        begun = time.monotonic()
        done = subprocess.run(
            [*command, "--config", config, "--corpus", manifest],
            env={**os.environ, **{name: str(path) for name, path in given.items()}},
            stdout=subprocess.DEVNULL,
        )
        if done.returncode not in (0, 1):  # 1: the gate refuses what it made
            done.check_returncode()
        return time.monotonic() - begun

    def decoded(self) -> int:
        """Count the files that were ever decoded."""
        with closing(sqlite3.connect(self.folder / "examined.sqlite")) as database:
            return int(database.execute("SELECT count(*) FROM examined").fetchone()[0])

    def extracted(self) -> set[str]:
        """Name the sounds whose features are kept."""
        found = set[str]()
        for spec in self.folder.glob("features/*/**/spec.json"):
            if not (spec.parent / JOINED).exists():
                found.update(FeatureStore(spec.parent).sounds.values())
        return found

    def bytes(self) -> int:
        """Count the bytes of all files, each once however often it is linked."""
        files = (path.lstat() for path in self.folder.rglob("*") if path.is_file())
        return sum({file.st_ino: file.st_size for file in files}.values())


def nights(folder: Path, rows: int, count: int, share: float) -> Iterator[Night]:
    """Yield the first training, and each night after it."""
    audio, home = folder / "corpus", Home(folder / "home")
    audio.mkdir()
    config, manifest = folder / "nights.yaml", audio / "manifest.csv"
    config.write_text(CONFIG)
    new, done, decoded, extracted = round(rows * share), 0, 0, set[str]()
    with ProcessPoolExecutor(worker_count()) as pool:
        for number in range(count + 1):
            there = rows + number * new
            list(pool.map(partial(write_clip, audio), range(done, there), chunksize=64))
            with manifest.open("w", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *map(row, range(there))])
            seconds = home.train(config, manifest)
            seen, kept = home.decoded(), home.extracted()
            yield Night(there, seen - decoded, len(kept - extracted), seconds, home.bytes())
            done, decoded, extracted = there, seen, kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a night; return 1 if one cost more than it should."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="new; for corpus and home")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--share", type=float, default=0.01, help="new rows a night, of the first")
    chosen = parser.parse_args(arguments)
    print(" | ".join(HEADINGS), flush=True)
    found = list[Night]()
    for night in nights(chosen.folder, chosen.rows, chosen.nights, chosen.share):
        print(night.line(len(found)), flush=True)
        found.append(night)
    first, *later = found
    new = [after.rows - before.rows for before, after in zip(found, later, strict=False)]
    work = all(max(n.decoded, n.extracted) <= rows for n, rows in zip(later, new, strict=True))
    largest = max(night.bytes for night in found) / first.bytes
    print(f"largest home: {largest:.2f} times the first night's; new work alone: {work}")
    return int(not work or largest >= 2)


if __name__ == "__main__":
    sys.exit(main())
