"""Stretches of time in words."""

from collections.abc import Sequence
from typing import Protocol

from bonafide.words import clock

NAMED = 5  # places that are named, before the rest are counted alone
DIGITS = 2  # of the seconds of a place


class Stretch(Protocol):
    """What has a start and an end, in seconds."""

    @property
    def start_s(self) -> float:
        """Where it begins."""

    @property
    def end_s(self) -> float:
        """Where it ends."""


def named(stretches: Sequence[Stretch]) -> str:
    """Return where stretches lie: the first few, and how many more there are.

    Parameters
    ----------
    stretches : sequence
        At least one, in order.

    Returns
    -------
    str
        Such as ``0:01.00-0:01.50, 0:07.25-0:08.00 and 3 more``.
    """
    first = ", ".join(
        f"{clock(s.start_s, DIGITS)}-{clock(s.end_s, DIGITS)}" for s in stretches[:NAMED]
    )
    more = len(stretches) - NAMED
    return f"{first} and {more} more" if more > 0 else first
