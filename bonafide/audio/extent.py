"""How far a recording reaches in its file."""

from dataclasses import dataclass

from bonafide.audio.view import Piece

SLACK = 1 << 16


@dataclass(frozen=True)
class Extent:
    """How far a recording reaches in its file.

    Parameters
    ----------
    pieces : list of bytes or tuple of int
        What a decoder is to read.
    end : int
        Where the next one may begin.
    missing : str
        What is stated and not there; empty if nothing.
    samples : int
        How many its header promises; 0 if it is not known.
    kind : str
        What it is besides what it begins with; empty if nothing.
    """

    pieces: list[Piece]
    end: int
    missing: str = ""
    samples: int = 0
    kind: str = ""


def is_placeholder(size: int, bits: int) -> bool:
    """Return whether a stated size is one that programs write while they do not know it.

    Parameters
    ----------
    size : int
        What is stated.
    bits : int
        Of the field.

    Returns
    -------
    bool
        True for zero and for the largest number of the field, signed or not, give or take a header.

    Examples
    --------
    >>> [is_placeholder(size, 32) for size in (0, 0x7FFFF000, 0xFFFFFFFF, 1_000)]
    [True, True, True, False]
    """
    largest = (1 << bits) - 1
    return not size or any(abs(size - most) <= SLACK for most in (largest, largest >> 1))


def lacking(stated: int, held: int) -> str:
    """Return what a container states and the file does not hold; empty if it holds it."""
    held = max(0, held)
    return f"{stated} bytes of sound are stated and {held} are there" if held < stated else ""
