"""Likelihood ratios in the words of forensic science.

The scale is that of the ENFSI Guideline for Evaluative Reporting in Forensic Science, 2015.
"""

import math

NONE = "no support"
LIMITLESS = 1_000_000  # from here on the scale has one word, and nothing measured has a number
# From which likelihood ratio on each word holds.
SCALE: tuple[tuple[int, str], ...] = (
    (1, NONE),
    (2, "weak support"),
    (10, "moderate support"),
    (100, "moderately strong support"),
    (1_000, "strong support"),
    (10_000, "very strong support"),
    (LIMITLESS, "extremely strong support"),
)
DIGITS = 3  # of a ratio that is shown


def strength(llr: float) -> str:
    """Return how strongly a score supports one proposition over the other, in words.

    Parameters
    ----------
    llr : float
        Natural-log likelihood ratio, of either sign.

    Returns
    -------
    str
        One of `SCALE`.

    Examples
    --------
    >>> strength(-2.5274), strength(0.69)
    ('moderate support', 'no support')
    """
    return next(words for least, words in reversed(SCALE) if abs(llr) >= math.log(least))


def ratio(llr: float) -> str:
    """Return the likelihood ratio of a score: how many times more probable the sound is.

    Parameters
    ----------
    llr : float
        Natural-log likelihood ratio, of either sign.

    Returns
    -------
    str
        e to the power of its size, at least 1, rounded down to three digits, so that it never
        seems to reach a word of the `SCALE` that it does not reach.

    Examples
    --------
    >>> ratio(-2.5274), ratio(2.30258), ratio(-9.0), ratio(20.0)
    ('12.5', '9.99', '8,100', '1,000,000 or more')
    """
    if abs(llr) >= math.log(LIMITLESS):
        return f"{LIMITLESS:,} or more"
    value = math.exp(abs(llr))
    decimals = DIGITS - 1 - math.floor(math.log10(value))
    return f"{math.floor(value * 10**decimals) / 10**decimals:,.{max(decimals, 0)}f}"


def supported(llr: float) -> str:
    """Return which of the two propositions a score supports, and how strongly, in a sentence.

    Parameters
    ----------
    llr : float
        Above 0 for genuine speech, below 0 for a deepfake.

    Returns
    -------
    str

    Examples
    --------
    >>> supported(0.1)
    'The findings do not support one proposition over the other.'
    """
    if (words := strength(llr)) == NONE:
        return "The findings do not support one proposition over the other."
    first, other = ("a machine", "a person") if llr < 0 else ("a person", "a machine")
    return (
        f"The findings give {words} to the proposition that {first} made the speech, rather than "
        f"that {other} did."
    )
