"""Errors of sources: each source's own, their mean, and how two classes fare at one threshold."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.evaluation.metrics import Interval, bootstrap, det_curve, eer, error_rates
from bonafide.types import AnyFloats, Floats, Mask
from research.folds import MIN_ROWS

ENDS = ("value", "low", "high")


def own_eers(llr: AnyFloats, is_spoof: Mask, source: NDArray[Any]) -> Floats:
    """Return the EER of each source by itself.

    Parameters
    ----------
    llr : ndarray of float, shape (n,)
        Scores, higher for bona fide.
    is_spoof : ndarray of bool, shape (n,)
        Labels.
    source : ndarray of str or int, shape (n,)
        Source of each row.

    Returns
    -------
    ndarray of float64, shape (n_sources,)
        Of the sources with at least `MIN_ROWS` of each label, by their names.
    """
    found = []
    for name in np.unique(source):
        rows = source == name
        spoofs = int(is_spoof[rows].sum())
        if min(spoofs, int(rows.sum()) - spoofs) >= MIN_ROWS:
            found.append(eer(llr[rows], is_spoof[rows]))
    return np.array(found)


def interval_of(
    statistic: Callable[..., Any], *values: Floats, resamples: int, seed: int = 0
) -> Interval:
    """Return a statistic of values of sources, with the 95 % interval over sources.

    Parameters
    ----------
    statistic : callable
        ``(*values, axis)`` -> its value along that axis.
    *values : ndarray of float64, each of shape (n_sources,)
        Drawn together.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    Interval
    """
    from scipy.stats import bootstrap as resampled

    ends = resampled(
        values,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        method="percentile",
        rng=seed,
    ).confidence_interval
    return Interval(float(statistic(*values, axis=-1)), float(ends.low), float(ends.high))


def mean_of_sources(eers: Floats, *, resamples: int) -> Interval:
    """Return the mean of the sources' own EERs, from `own_eers`."""
    return interval_of(np.mean, eers, resamples=resamples)


def relative_gain(ours: Floats, theirs: Floats, *, resamples: int) -> Interval:
    """Return by which share the mean of the sources' own EERs is lower than another system's."""

    def gain(one: Floats, other: Floats, axis: int) -> Any:
        return 1 - np.mean(one, axis=axis) / np.mean(other, axis=axis)

    return interval_of(gain, ours, theirs, resamples=resamples)


def mean_interval(intervals: list[Interval]) -> Interval:
    """Return the mean of intervals, end by end: those of several seeds."""
    return Interval(*(float(np.mean([getattr(i, end) for i in intervals])) for end in ENDS))


def eer_threshold(llr: AnyFloats, is_spoof: Mask) -> float:
    """Return the threshold on llr at which both error rates differ least."""
    false_alarm, miss, thresholds = det_curve(llr, is_spoof)
    return float(thresholds[np.argmin(np.abs(miss - false_alarm))])


def apart(
    llr: AnyFloats, is_spoof: Mask, source: NDArray[Any], threshold: float, *, resamples: int
) -> dict[str, Interval]:
    """Return the error rate of each label at a threshold, and how far they lie apart.

    Parameters
    ----------
    llr, is_spoof, source : ndarray, shape (n,)
        As in `own_eers`; sources are resampled whole.
    threshold : float
        What is below it is called spoof.
    resamples : int
        Of the bootstrap.

    Returns
    -------
    dict of str to Interval
        ``miss`` (bona fide called spoof), ``false_alarm`` (spoofs called bona fide) and ``apart``,
        the first minus the second.
    """

    def rates(*rows: Any) -> dict[str, float]:
        return error_rates(*rows, threshold=threshold)

    metrics: dict[str, Callable[..., float]] = {
        "miss": lambda *rows: rates(*rows)["miss"],
        "false_alarm": lambda *rows: rates(*rows)["false_alarm"],
        "apart": lambda *rows: rates(*rows)["miss"] - rates(*rows)["false_alarm"],
    }
    return bootstrap(llr, is_spoof, source, metrics=metrics, n_resamples=resamples)
