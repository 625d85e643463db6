"""Results in words, for people: the same in a table, a CSV file, a message and on the page."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Result = Mapping[str, Any]


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, or hours, minutes and seconds.

    Parameters
    ----------
    seconds : float
        At least 0; rounded to whole seconds.

    Returns
    -------
    str

    Examples
    --------
    >>> clock(16.0), clock(75.4), clock(3725)
    ('0:16', '1:15', '1:02:05')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def parts_in_words(result: Result) -> str:
    """Return where the parts of a recording lie that sound generated.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Judged` is written to JSON.

    Returns
    -------
    str
        Empty if there are none.

    Examples
    --------
    >>> parts_in_words({"parts": [{"start_s": 16.0, "end_s": 24.0, "p_spoof": 0.97}]})
    '0:16-0:24'
    """
    parts = result.get("parts", ())
    return ", ".join(f"{clock(part['start_s'])}-{clock(part['end_s'])}" for part in parts)


def track_in_words(track: Result) -> str:
    """Return which track, or which channel of it, a result is of.

    Parameters
    ----------
    track : mapping
        As `bonafide.detection.Track` is written to JSON.

    Returns
    -------
    str

    Examples
    --------
    >>> track_in_words({"track": 2, "channel_number": None})
    'track 2'
    >>> track_in_words({"track": 1, "channel_number": 2})
    'track 1, channel 2'
    """
    number = track["channel_number"]
    return f"track {track['track']}" + (f", channel {number}" if number else "")


def by_reason(codes: Iterable[str]) -> str:
    """Return how often each code of an error stands among them.

    Parameters
    ----------
    codes : iterable of str
        In any order.

    Returns
    -------
    str
        Sorted by code.

    Examples
    --------
    >>> by_reason(["too_short", "not_audio", "too_short"])
    'not_audio 1, too_short 2'
    """
    return ", ".join(f"{code} {count}" for code, count in sorted(Counter(codes).items()))
