"""Where what speaks most for an answer lies, in numbers and in words."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from bonafide.explanation.types import Band, Focus, Second
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.words import clock

HALF = 0.5
NEARLY_ALL = 0.75  # of a recording, or of all bands: then there is no place to name
TOUCHING_S = 0.001  # between the end of a second and the start of the next, by rounding
SAID = {"bonafide": "genuine speech", "spoof": "a deepfake"}
OPEN = "The answer is inconclusive, so this is no hint either way. "


def shortest_run(
    values: Sequence[float], places: Sequence[tuple[float, float]], share: float = HALF
) -> tuple[float, float]:
    """Return the shortest stretch that holds a share of all that is above 0.

    Parameters
    ----------
    values : sequence of float
        At least one; those below 0 count as 0.
    places : sequence of tuple of float
        Start and end of what each is of, in order; they may overlap, and need not touch.
    share : float
        In (0, 1].

    Returns
    -------
    tuple of float
        Its start and end; of equally short ones the one that holds most. From the first start to
        the last end where no value is above 0.

    Examples
    --------
    >>> shortest_run([0.1, 2.0, 1.5, -1.0], [(0, 1), (1, 2), (2, 3), (3, 4)])
    (1, 2)
    """
    positive = np.maximum(np.asarray(values, dtype=np.float64), 0.0)
    needed = share * positive.sum() * (1 - 1e-9)  # less what a sum may lose by rounding
    if needed <= 0:
        return places[0][0], places[-1][1]
    runs = [
        (places[end][1] - places[first][0], -positive[first : end + 1].sum(), first, end)
        for first in range(len(positive))
        for end in range(first, len(positive))
    ]
    _, _, first, end = min(run for run in runs if -run[1] >= needed)
    return places[first][0], places[end][1]


def focus_of(seconds: Sequence[Second], bands: Sequence[Band], towards: float) -> Focus:
    """Return where what speaks for an answer lies.

    Parameters
    ----------
    seconds : sequence of Second
        At least one, in order.
    bands : sequence of Band
        At least one, in order.
    towards : float
        Above 0 for genuine speech, below 0 for a deepfake.

    Returns
    -------
    Focus
    """
    leaning: Literal["bonafide", "spoof"] = "bonafide" if towards > 0 else "spoof"
    ranges = [(each.low_hz, each.high_hz) for each in bands]
    together = _strongest(seconds, towards)
    times = [(each.start_s, each.end_s) for each in together]
    return Focus(
        leaning,
        *shortest_run([towards * each.llr for each in together], times),
        *shortest_run([towards * each.unusual for each in bands], ranges),
    )


def _strongest(seconds: Sequence[Second], towards: float) -> list[Second]:
    """Return, of the stretches in which seconds touch each other, the one that says most."""
    stretches: list[list[Second]] = []
    for second in seconds:
        if stretches and second.start_s <= stretches[-1][-1].end_s + TOUCHING_S:
            stretches[-1].append(second)
        else:
            stretches.append([second])
    return max(stretches, key=lambda each: sum(max(0.0, towards * second.llr) for second in each))


def in_words(
    focus: Focus | None, duration_s: float, n_explained: int, n_windows: int, *, is_open: bool
) -> str:
    """Return a focus as a sentence, and of which windows it is said where that is not all.

    Parameters
    ----------
    focus : Focus or None
        None where nothing could be scored.
    duration_s : float
        Of the recording, in seconds.
    n_explained, n_windows : int
        How many windows are explained, those that speak most for the answer, and how many were
        scored.
    is_open : bool
        Whether the answer takes no side.

    Returns
    -------
    str

    Examples
    --------
    >>> in_words(Focus("spoof", 3.0, 5.0, 4000.0, 7000.0), 20.0, 5, 5, is_open=False)
    'What speaks most for a deepfake lies between 0:03 and 0:05, at 4-7 kHz.'
    """
    if focus is None:
        return "Nothing could be scored, so there is nothing to explain."
    place = []
    if focus.end_s - focus.start_s < NEARLY_ALL * duration_s:
        place.append(f"between {clock(focus.start_s)} and {clock(focus.end_s)}")
    if focus.high_hz - focus.low_hz < NEARLY_ALL * SAMPLE_RATE_HZ / 2:
        place.append(f"at {focus.low_hz / 1000:g}-{focus.high_hz / 1000:g} kHz")
    everywhere = "is spread over all of it"
    looked_at = ""
    if n_explained < n_windows:
        everywhere = "is spread over all of them"
        looked_at = (
            "Looked at for seconds and bands: the windows that speak most for the answer, "
            f"{n_explained} of {n_windows}. "
        )
    where = f"lies {', '.join(place)}" if place else everywhere
    most = "most " if place else ""
    said = f"What speaks {most}for {SAID[focus.towards]} {where}."
    return f"{OPEN if is_open else ''}{looked_at}{said}"
