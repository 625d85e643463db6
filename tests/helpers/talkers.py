"""Small corpora whose spoofs are told by their sound alone; nothing marks them as simulated.

What learned from them is promoted only in homes of tests, which are demo homes besides.
"""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.sounds import speech
from bonafide.features.spec import SAMPLE_RATE_HZ

COLUMNS = ("path", "label", "speaker", "source", "system")
LABELS = ("bonafide", "spoof")
SECONDS = 1.5


def generated(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sound with the notches of a comb filter, at the level that it had."""
    combed = sound.copy()
    combed[8:] -= 0.9 * sound[:-8]
    return combed * np.float32(np.std(sound) / np.std(combed))


def write_corpus(folder: Path, sources: Iterable[str], *, each: int) -> Path:
    """Write recordings of sources into a new folder, half of them generated.

    Parameters
    ----------
    folder : Path
        New.
    sources : iterable of str
        Their names; each has a speaker of its own.
    each : int
        Recordings of either label of a source.

    Returns
    -------
    Path
        The manifest.
    """
    folder.mkdir()
    rows = []
    for source in sources:
        for number in range(2 * each):
            is_spoof = number % 2 == 1
            name = f"{source}-{number:02d}.flac"
            sound = speech(SECONDS, seed=crc32(name.encode()))
            soundfile.write(folder / name, generated(sound) if is_spoof else sound, SAMPLE_RATE_HZ)
            system = "comb" if is_spoof else "-"
            rows.append([name, LABELS[is_spoof], f"speaker of {source}", source, system])
    return _written(folder / "manifest.csv", rows)


def changed(manifest: Path, name: str, change: Callable[[list[str]], list[str]]) -> Path:
    """Write a manifest of the same recordings beside another, with other rows; return it."""
    with manifest.open(newline="") as file:
        _, *rows = csv.reader(file)
    return _written(manifest.with_name(name), [change(row) for row in rows])


def _written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return path
