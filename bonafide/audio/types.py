"""What a decoder yields, and what it found out on the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

BLOCK_S = 1.0

Samples: TypeAlias = NDArray[np.float32]
"""Shape (n, channels): sound at its own rate, full scale 1."""

Blocks: TypeAlias = Iterator[tuple[int, Samples]]
"""Rate in Hz and samples, each of `BLOCK_S` seconds or more; the rate may change on the way."""


@dataclass
class Findings:
    """What a decoder found out about one recording.

    Parameters
    ----------
    codec : str
        Libsndfile's name for the file's container, or FFmpeg's for its codec.
    n_tracks : int
        Audio tracks in it, those that cannot be decoded too.
    damage : str
        What is wrong with a recording that broke off; empty if nothing.
    reached_bytes : int
        Where in the file the last sound was; 0 if that is not known.
    """

    codec: str = ""
    n_tracks: int = 1
    damage: str = ""
    reached_bytes: int = 0
