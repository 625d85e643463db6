"""Stretches of time in words."""

from collections.abc import Sequence
from typing import Protocol

NAMED = 5  # places that are named, before the rest are counted alone


class Stretch(Protocol):
    """What has a start and an end, in seconds."""

    @property
    def start_s(self) -> float:
        """Where it begins."""

    @property
    def end_s(self) -> float:
        """Where it ends."""


def moment(seconds: float) -> str:
    """Return a time to hundredths of a second.

    Parameters
    ----------
    seconds : float
        At least 0.

    Returns
    -------
    str

    Examples
    --------
    >>> moment(3.2), moment(75.456), moment(3725)
    ('0:03.20', '1:15.46', '1:02:05.00')
    """
    hundredths = round(100 * seconds)
    minutes, rest = divmod(hundredths, 6_000)
    hours, minute = divmod(minutes, 60)
    second = f"{rest / 100:05.2f}"
    return f"{hours}:{minute:02}:{second}" if hours else f"{minute}:{second}"


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
    first = ", ".join(f"{moment(s.start_s)}-{moment(s.end_s)}" for s in stretches[:NAMED])
    more = len(stretches) - NAMED
    return f"{first} and {more} more" if more > 0 else first
