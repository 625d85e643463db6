"""Whether the arrays of a feature store are as they were written.

Size and time of a file say so without reading it; where they are others, as in a copy of the home,
its hash is taken again.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import file_sha256
from bonafide.errors import StorageError

STAMPS = "arrays.json"  # of a store that is complete: file -> size, time and hash
DAMAGED = "damaged_features"


def write_stamps(folder: Path, names: Sequence[str]) -> None:
    """Note what the arrays of a store are, once all of it is written.

    Parameters
    ----------
    folder : Path
        Of the store.
    names : sequence of str
        Of its arrays.
    """
    files = [folder / f"{name}.npy" for name in names]
    stamps = {path.name: [*_stamp(path), file_sha256(path)] for path in files}
    (folder / STAMPS).write_text(json.dumps(stamps))


def map_array(path: Path, *, trusted: bool = False) -> NDArray[np.float32]:
    """Map an array into memory, read-only.

    Parameters
    ----------
    path : Path
        ``<name>.npy`` in the folder of a store.
    trusted : bool
        Whether its content has been verified.

    Returns
    -------
    ndarray of float32

    Raises
    ------
    StorageError
        ``damaged_features`` if it is not there, or not what was written.
    """
    try:
        if not trusted and _is_altered(path, *_stamp(path)):
            raise StorageError(DAMAGED, f"{path}: is not what was written there")
        mapped: NDArray[np.float32] = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise StorageError(DAMAGED, f"{path}: cannot be read ({error})") from error
    return mapped


@functools.cache
def _is_altered(path: Path, size: int, time_ns: int) -> bool:
    """Return whether a file differs from its stamp; False for those of stores without any."""
    try:
        known = json.loads((path.parent / STAMPS).read_text())[path.name]
    except FileNotFoundError:
        return False
    if known[:2] == [size, time_ns]:
        return False
    return bool(known[0] != size or known[2] != file_sha256(path))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
