"""What a file says, quoted: one line, of a length that one reads."""

from bonafide.errors import printable

LONGEST = 120


def quoted(text: str) -> str:
    r"""Return text of a file between quotation marks.

    Parameters
    ----------
    text : str
        Of any length, with whatever is in it.

    Returns
    -------
    str
        At most `LONGEST` characters of it, with what a terminal obeys as escapes.

    Examples
    --------
    >>> print(quoted("Lavf61.7.100\n"))
    "Lavf61.7.100\n"
    """
    shown = printable(text[: LONGEST + 1])
    return f'"{shown[:LONGEST]}..."' if len(shown) > LONGEST else f'"{shown}"'
