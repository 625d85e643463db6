"""Numbers as a report shows them: each carries, for programs, the number that it comes from."""

import json
from collections.abc import Sequence

from markupsafe import Markup

from bonafide.report.scale import ratio
from bonafide.report.words import percent
from bonafide.words import clock


def _data(number: float, text: str, kind: str = "") -> Markup:
    told = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<data{} value="{}">{}</data>').format(told, json.dumps(number), text)


def exact(number: float) -> Markup:
    """Return a number as JSON prints it."""
    return _data(number, json.dumps(number), "exact")


def share(number: float) -> Markup:
    """Return a share in [0, 1] as a percentage."""
    return _data(number, percent(number))


def moment(seconds: float) -> Markup:
    """Return a time as minutes and seconds."""
    return _data(seconds, clock(seconds))


def likelihood(llr: float) -> Markup:
    """Return the likelihood ratio of a score."""
    return _data(llr, ratio(llr))


def kilohertz(hertz: float) -> Markup:
    """Return a frequency in kHz."""
    return _data(hertz, f"{hertz / 1000:g}")


def bar(start: float, end: float, domain: Sequence[float]) -> Markup:
    """Return a bar between two values, for the eye alone: the values stand beside it.

    Parameters
    ----------
    start, end : float
        Where it begins and ends; to the left of its beginning it has another colour.
    domain : sequence of float
        The values at the left and at the right end of its room; 0 is marked.

    Returns
    -------
    Markup
    """
    low, high = domain
    span = (high - low) or 1.0
    places = [100 * (min(max(each, low), high) - low) / span for each in (start, end, 0.0)]
    left, width = min(places[:2]), abs(places[1] - places[0])
    return Markup(
        '<div class="bar" aria-hidden="true"><i class="{}" style="left:{:.2f}%;width:{:.2f}%"></i>'
        '<b style="left:{:.2f}%"></b></div>'
    ).format("down" if end < start else "up", left, width, places[2])
