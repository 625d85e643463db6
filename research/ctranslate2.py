"""Weights out of a file of CTranslate2, the format that faster-whisper reads."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)  # by their number in the file
VERSION = 6


def read_weights(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the named arrays of a model.

    A file holds its version, the name and revision of the architecture, and then one variable
    after another: name, shape, type, size in bytes and the numbers, all little-endian. What
    follows them, other names of the same arrays, is left out.

    Parameters
    ----------
    content : bytes
        Of the file, usually ``model.bin``.

    Returns
    -------
    dict of str to ndarray
        In the order of the file; views of `content`.

    Raises
    ------
    ValueError
        For another version, a type that is not known, or a file that breaks off.
    """
    place = 0

    def take(form: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{form}", content, place)
        place += struct.calcsize(form)
        return int(value)

    def text() -> str:
        nonlocal place
        length = take("H")
        place += length
        return content[place - length : place].rstrip(b"\0").decode()

    try:
        if (version := take("I")) != VERSION:
            raise ValueError(f"version {version}: must be {VERSION}")
        text(), take("I")  # the architecture
        weights = {}
        for _ in range(take("I")):
            name, shape = text(), [take("I") for _ in range(take("B"))]
            kind, n_bytes = np.dtype(TYPES[take("B")]), take("I")
            values = np.frombuffer(content, kind, n_bytes // kind.itemsize, place)
            weights[name] = values.reshape(shape)
            place += n_bytes
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"not a CTranslate2 model: {error}") from error
    return weights
