"""The page's languages: one file of messages each, and how numbers and lists are written in it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bonafide.words import percent_shown

FOLDER = Path(__file__).with_name("messages")
LANGUAGES = ("en", "de", "es", "fr", "hi", "zh", "ar")
LEFT, RIGHT, END = "\u2066", "\u2067", "\u2069"  # around what has a direction of its own


class Words:
    """What the page says in one language.

    Parameters
    ----------
    language : str
        One of `LANGUAGES`.
    """

    def __init__(self, language: str) -> None:
        text = (FOLDER / f"{language}.json").read_text(encoding="utf-8")
        self.language = language
        self._messages = dict(_flat(json.loads(text)))

    def __call__(self, key: str, **fields: str | float) -> str:
        """Return a message with its fields filled in.

        Parameters
        ----------
        key : str
            Its place in the file, as ``verdict.spoof``.
        **fields : str or float
            What stands in braces.

        Raises
        ------
        KeyError
            Unknown key, or a field that is missing.
        """
        return self._messages[key].format_map(fields)

    def __contains__(self, key: str) -> bool:
        return key in self._messages

    @property
    def messages(self) -> Mapping[str, str]:
        """All messages by key, as they stand in the file."""
        return self._messages

    @property
    def direction(self) -> str:
        """``ltr`` or ``rtl``."""
        return self._messages["language.direction"]

    def foreign(self, text: str) -> str:
        r"""Return a text that is not of this language, such as a name, so that it keeps its order.

        Parameters
        ----------
        text : str
            From left to right.

        Returns
        -------
        str

        Examples
        --------
        >>> Words("en").foreign("8 kHz."), Words("ar").foreign("8 kHz.")
        ('8 kHz.', '\u20668 kHz.\u2069')
        """
        return f"{LEFT}{text}{END}" if self.direction == "rtl" else text

    def drawn(self, text: str) -> str:
        """Return a text of this language for a chart: charts go from left to right in every one."""
        return f"{RIGHT}{text}{END}" if self.direction == "rtl" else text

    def listed(self, items: Iterable[str]) -> str:
        """Return items one after the other, with what separates them in this language."""
        return self("language.comma").join(items)

    def number(self, written: str) -> str:
        """Return a number, written with a point, as this language writes it.

        Examples
        --------
        >>> Words("en").number("8.0"), Words("de").number("8.0")
        ('8.0', '8,0')
        """
        return written.replace(".", self("number.point"))

    def percent(self, share: float) -> str:
        """Return a probability as people read it: never 0 % or 100 %, as nothing is certain.

        Parameters
        ----------
        share : float
            In [0, 1].

        Returns
        -------
        str

        Examples
        --------
        >>> words = Words("en")
        >>> words.percent(0.001), words.percent(0.85), words.percent(0.999)
        ('under 1 %', '85 %', 'over 99 %')
        """
        kind, number = percent_shown(share)
        return self(f"number.{kind}", n=number)

    def interval(self, measured: Mapping[str, float]) -> str:
        """Return a share that was measured, with its interval, to one decimal place.

        Parameters
        ----------
        measured : mapping of str to float
            ``value``, ``low`` and ``high``, in [0, 1].

        Returns
        -------
        str

        Examples
        --------
        >>> Words("en").interval({"value": 0.123, "low": 0.101, "high": 0.145})
        '12.3 % [10.1, 14.5]'
        """
        value, low, high = (
            self.number(f"{100 * measured[end]:.1f}") for end in ("value", "low", "high")
        )
        return self("number.interval", value=self("number.percent", n=value), low=low, high=high)


@cache
def words_in(language: str) -> Words:
    """Return the messages of a language, read once."""
    return Words(language)


def best(wanted: str | None) -> str:
    """Return the language of the page for a browser's, English where it is not among them.

    Parameters
    ----------
    wanted : str or None
        A tag as ``de-AT``; None where the browser names none.

    Returns
    -------
    str
        One of `LANGUAGES`.

    Examples
    --------
    >>> best("de-AT"), best("pt"), best(None)
    ('de', 'en', 'en')
    """
    language = (wanted or "").partition("-")[0].lower()
    return language if language in LANGUAGES else "en"


def _flat(messages: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in messages.items():
        if isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            yield from _flat(value, f"{prefix}{key}.")
