"""A decision while a recording still goes on: a sequential test, with numpy alone.

A verdict that is asked again after every window is wrong more often than one that is asked once. So
bars of their own are held against what the windows say together: set so that at most a stated share
of either label is decided wrongly in a minute of speech, however often one looks.
"""

from typing import Any

import numpy as np

from bonafide.bundle import Bundle
from bonafide.channel import channel_heard, unlike_all
from bonafide.detection import Decision
from bonafide.manifest import SEQUENTIAL
from bonafide.types import AnyFloats, Floats, WindowScores

WINDOWS = 15  # looks at most: after a minute of speech without a decision there is none


def evidence(llr: AnyFloats, correlation: float) -> Floats:
    """Return what windows of one recording say together, after each of them.

    Windows of one voice and one generator err alike: n of them, equally correlated, are worth
    n / (1 + (n - 1) * correlation) that are not. Without correlation this is the sum of Wald's
    test.

    Parameters
    ----------
    llr : ndarray of float, shape (..., n_windows)
        In order; higher for bona fide.
    correlation : float
        Of the windows of one recording, given its label; in [0, 1].

    Returns
    -------
    ndarray of float64
        In nats, of the same shape.

    References
    ----------
    Wald, "Sequential tests of statistical hypotheses", 1945.

    Examples
    --------
    >>> evidence(np.array([1.0, 2.0, 3.0]), 0.0).tolist()
    [1.0, 3.0, 6.0]
    >>> evidence(np.array([1.0, 2.0, 3.0]), 1.0).tolist()  # the mean, and no more
    [1.0, 1.5, 2.0]
    """
    counted = 1 + np.arange(llr.shape[-1]) * correlation
    return np.asarray(np.cumsum(llr, axis=-1, dtype=np.float64) / counted)


def decision_of(bundle: Bundle, scores: WindowScores, at_s: float) -> Decision | None:
    """Return what is decided after the newest window, if anything is.

    Parameters
    ----------
    bundle : Bundle
        Has the bars of each channel, or none.
    scores : WindowScores
        Of all windows so far, at least one and at most `WINDOWS`, in order: whole ones that do
        not overlap.
    at_s : float
        Seconds heard so far.

    Returns
    -------
    Decision or None
        None while the evidence lies between the bars, and on a channel without bars or unlike all
        known ones.
    """
    test: dict[str, Any] | None = bundle.manifest["thresholds"].get(SEQUENTIAL)
    channel = channel_heard(bundle, scores)
    if test is None or channel is None:
        return None
    bars = test["channels"].get(channel.name)
    if bars is None or unlike_all(bundle.manifest["thresholds"], scores):
        return None
    found = float(evidence(scores.llr, test["correlation"])[-1])
    if found <= bars["spoof_to"]:
        return Decision("spoof", at_s, test["wrong_at_most"])
    if found >= bars["bonafide_from"]:
        return Decision("bonafide", at_s, test["wrong_at_most"])
    return None
