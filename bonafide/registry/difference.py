"""What differs between two bundles."""

from collections.abc import Iterator, Mapping
from typing import Any

NOTHING = "-"  # the other bundle has no such entry


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the entries of two manifests that differ.

    Parameters
    ----------
    one, other : mapping
        Manifests.

    Returns
    -------
    dict of str to tuple
        The values of both by the entry's name, with dots between the names of nested ones.

    Examples
    --------
    >>> difference({"metrics": {"eer": 0.2}, "seed": 1}, {"metrics": {"eer": 0.1}, "seed": 1})
    {'metrics.eer': (0.2, 0.1)}
    """
    first, second = dict(_entries(one)), dict(_entries(other))
    pairs = {key: (first.get(key, NOTHING), second.get(key, NOTHING)) for key in first | second}
    return {key: ends for key, ends in pairs.items() if ends[0] != ends[1]}


def _entries(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entries(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
