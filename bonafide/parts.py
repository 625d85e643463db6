"""Parts of a recording that sound generated, found among the scores of its windows."""

import numpy as np

from bonafide.types import AnyFloats

MIN_WINDOWS = 4  # recordings with fewer have no parts: there is too little to compare with
DRIFT = 1.0  # nats that each window of a part must exceed


def evidence(llr: AnyFloats, spoof_llr: float) -> AnyFloats:
    """Return what each window says for standing in a part that is generated.

    A source may sound suspicious as a whole, by its channel or its voice. So a recording whose
    median leans to spoof is moved up until it does not, but by no more than a recording that is
    judged as a whole.

    Parameters
    ----------
    llr : ndarray of float, shape (n,)
        Of the windows, in order; higher for bona fide.
    spoof_llr : float
        The llr up to which a whole recording is judged a spoof.

    Returns
    -------
    ndarray of float, shape (n,)
        In nats; negative on average in genuine speech.

    Examples
    --------
    >>> evidence(np.array([3.0, -4.0, 2.0]), -2.0)
    array([-4.,  3., -3.])
    """
    level = np.clip(np.median(llr), spoof_llr, 0.0)
    return np.asarray(level - llr - DRIFT)


def runs(evidence: AnyFloats, at_least: float) -> list[tuple[int, int, float]]:
    """Return the runs of windows whose evidence sums to most, from the highest sum down to a bar.

    The sum over a run is a log-likelihood ratio of its being generated (Page's scan, with a drift),
    and its maximum over all runs is a scan statistic: the bar sets how often genuine speech
    exceeds it, in however long a recording. Runs do not touch: what the sum gains by joining them
    is joined.

    Parameters
    ----------
    evidence : ndarray of float, shape (n,)
        As `evidence` returns it.
    at_least : float
        Lowest sum, above 0.

    Returns
    -------
    list of tuple of int, int and float
        First window, window after the last, and sum, in order.

    References
    ----------
    Page, "Continuous inspection schemes", 1954.
    Ruzzo & Tompa, "A linear time algorithm for finding all maximal scoring subsequences", 1999.

    Examples
    --------
    >>> runs(np.array([-1.0, 2.0, -0.5, 2.0, -9.0, 3.0]), 2.5)
    [(1, 4, 3.5), (5, 6, 3.0)]
    """
    sums = np.concatenate([[0.0], np.cumsum(evidence)])
    found, pending = [], [(0, len(sums))]
    while pending:
        start, end = pending.pop()
        some = sums[start:end]
        gains = some - np.minimum.accumulate(some)
        last = int(gains.argmax()) if len(gains) else 0
        if len(gains) and gains[last] >= at_least:
            first = int(some[: last + 1].argmin())
            found.append((start + first, start + last, float(gains[last])))
            pending += [(start, start + first + 1), (start + last, end)]
    return sorted(found)


def suspicious_runs(llr: AnyFloats, spoof_llr: float, parts_from: float) -> list[tuple[int, int]]:
    """Return the runs of windows that are reported as parts.

    Parameters
    ----------
    llr : ndarray of float, shape (n,)
        Of the windows of a recording, in order.
    spoof_llr : float
        The llr up to which a whole recording is judged a spoof.
    parts_from : float
        The bar of `runs`, in nats.

    Returns
    -------
    list of tuple of int and int
        First window, and window after the last. Empty for recordings of under `MIN_WINDOWS`
        windows, and for those that are judged a spoof as a whole.

    Examples
    --------
    >>> human, fake = 2.5, -3.5
    >>> suspicious_runs(np.array([human] * 4 + [fake] * 2 + [human] * 5), -1.7, 3.5)
    [(4, 6)]
    """
    if len(llr) < MIN_WINDOWS or llr.mean() <= spoof_llr:
        return []
    return [run[:2] for run in runs(evidence(llr, spoof_llr), parts_from)]
