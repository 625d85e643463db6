"""What a file says, quoted: one line, of a length that one reads."""

import re

from bonafide.errors import printable

LONGEST = 120


_PLAIN_NAME = re.compile(r"[a-z0-9_.:/-]{1,40}", re.I)


def name(text: str) -> str:
    """Return a name of a file's own: as it is if one word, between quotation marks if not.

    Parameters
    ----------
    text : str
        Of any length, with whatever is in it.

    Returns
    -------
    str

    Examples
    --------
    >>> print(name("title"), name("x, and more"))
    title "x, and more"
    """
    return text if _PLAIN_NAME.fullmatch(text) else quoted(text)


def quoted(text: str) -> str:
    r"""Return text of a file between quotation marks.

    Parameters
    ----------
    text : str
        Of any length, with whatever is in it.

    Returns
    -------
    str
        At most `LONGEST` characters of it, with what a terminal obeys as escapes, and quotation
        marks as well: nothing in it ends the quotation.

    Examples
    --------
    >>> print(quoted("Lavf61.7.100\n"))
    "Lavf61.7.100\n"
    >>> print(quoted('x", and more'))
    "x\", and more"
    """
    escaped = text[: LONGEST + 1].replace("\\", "\\\\").replace('"', '\\"')
    shown = printable(escaped)
    return f'"{shown[:LONGEST]}..."' if len(shown) > LONGEST else f'"{shown}"'
