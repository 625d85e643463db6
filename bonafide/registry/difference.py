"""What differs between two bundles."""

from collections.abc import Iterator, Mapping
from typing import Any

from bonafide.detection import rounded

NOTHING = "-"  # the other bundle has no such entry
LONGEST = 72  # characters of a value in a table, a SHA-256 among them


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the entries of two manifests that differ.

    Parameters
    ----------
    one, other : mapping
        Manifests.

    Returns
    -------
    dict of str to tuple
        The values of both by the entry's name, with dots between the names of nested ones; those of
        a list of entries have numbers, from 0.

    Examples
    --------
    >>> difference({"metrics": {"eer": 0.2}, "seed": 1}, {"metrics": {"eer": 0.1}, "seed": 1})
    {'metrics.eer': (0.2, 0.1)}
    >>> difference({"stages": [{"slope": 1}]}, {"stages": [{"slope": 2}, {"slope": 3}]})
    {'stages.0.slope': (1, 2), 'stages.1.slope': ('-', 3)}
    """
    first, second = dict(_entries(one)), dict(_entries(other))
    pairs = {key: (first.get(key, NOTHING), second.get(key, NOTHING)) for key in first | second}
    return {key: ends for key, ends in pairs.items() if ends[0] != ends[1]}


def _entries(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entries(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def shown(value: Any) -> str:
    """Return a value as a table has room for it.

    Parameters
    ----------
    value : Any
        Of an entry.

    Returns
    -------
    str
        Five digits of a number; what is longer than `LONGEST` is cut short.

    Examples
    --------
    >>> shown(0.123456789), shown(list(range(99)))[-12:]
    ('0.12346', '7, 18, 19, …')
    """
    text = f"{value:.5g}" if isinstance(value, float) else str(rounded(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
