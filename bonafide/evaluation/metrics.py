"""Metrics of how well scores tell bona fide speech from spoofs, with bootstrap intervals.

Arrays have one row per recording: ``llr`` (n,) float, finite, the natural-log likelihood ratio,
HIGHER = more bona fide, or ``p_spoof`` (n,) float, the probability of spoof, 0 to 1; ``is_spoof``
(n,) bool; ``weights`` (n,) float, finite, at least 0, or None for ones: 2 counts as two equal rows.
A row is accepted when ``llr >= threshold``. Rates are fractions, 0 to 1: a *miss* is a bona fide
row rejected, a *false alarm* a spoof accepted. Equal scores are accepted or rejected together.

Every function raises `BonafideError`: ``bad_scores`` for arrays that are empty, differ in shape or
hold invalid values, ``one_class`` unless both classes have weight; and `ConfigError`
``bad_metric_option`` for an option out of range.

References
----------
.. [1] Wang et al., "ASVspoof 5", 2024, and its evaluation package (EER, DCF).
.. [2] Bruemmer and du Preez, "Application-independent evaluation of speaker detection", 2006
   (Cllr).
.. [3] Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015 (ECE).
.. [4] Field and Welsh, "Bootstrapping clustered data", 2007.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike

from bonafide.errors import BonafideError, ConfigError
from bonafide.types import Floats, Mask

Rows = tuple[Floats, Mask, Floats]
Curve = tuple[Floats, Floats, Floats]
Weights = ArrayLike | None
MAX_DRAWS = 100  # of one resample, before giving up on both classes being in it


def _check(ok: bool, name: str, seen: object, allowed: str) -> None:
    if not ok:
        raise BonafideError("bad_scores", f"{name}={seen!r}: must be {allowed}")


def _option(ok: bool, name: str, seen: object, allowed: str) -> None:
    if not ok:
        raise ConfigError("bad_metric_option", f"{name}={seen!r}: must be {allowed}")


def _read(scores: ArrayLike, is_spoof: ArrayLike, weights: Weights, name: str = "llr") -> Rows:
    """Check one row per recording and leave out rows of weight 0."""
    values, spoof = np.asarray(scores, dtype=np.float64), np.asarray(is_spoof)
    mass = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    _check(values.ndim == 1 and values.size > 0, f"{name}.shape", values.shape, "(n,), n >= 1")
    for other, array in (("is_spoof", spoof), ("weights", mass)):
        _check(array.shape == values.shape, f"{other}.shape", array.shape, f"{values.shape}")
    _check(spoof.dtype == np.bool_, "is_spoof.dtype", str(spoof.dtype), "bool")
    low, high = (0.0, 1.0) if name == "p_spoof" else (-np.inf, np.inf)
    for other, array, least, most in ((name, values, low, high), ("weights", mass, 0.0, np.inf)):
        bad = ~np.isfinite(array) | (array < least) | (array > most)
        _check(not bad.any(), other, array[bad][:3].tolist(), f"finite, {least} to {most}")
    kept = np.flatnonzero(mass > 0.0)
    n_spoof, n_real = np.count_nonzero(spoof[kept]), np.count_nonzero(~spoof[kept])
    if n_spoof == 0 or n_real == 0:
        seen = f"{n_real} bona fide and {n_spoof} spoof rows with weight"
        raise BonafideError("one_class", f"{seen}: each must be at least 1")
    return values[kept], spoof[kept], mass[kept]


def _by_score(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights) -> Curve:
    """Return the distinct scores, rising, and the bona fide and spoof weight at each."""
    values, spoof, mass = _read(llr, is_spoof, weights)
    order = np.argsort(values, kind="stable")  # linear in n where the rows come sorted
    values, spoof, mass = values[order], spoof[order], mass[order]
    first = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    real = np.add.reduceat(np.where(spoof, 0.0, mass), first)
    return values[first], real, np.add.reduceat(np.where(spoof, mass, 0.0), first)


def det_curve(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> Curve:
    """Return both error rates at every threshold, from accepting all rows to rejecting all.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.

    Returns
    -------
    false_alarm, miss, thresholds : ndarray of float64, shape (n_distinct + 1,)
        Falling from 1 to 0; rising from 0 to 1; the distinct scores, rising, then infinity.

    Examples
    --------
    >>> false_alarm, miss, thresholds = det_curve([1.0, -1.0], [False, True])
    >>> false_alarm.tolist(), miss.tolist(), thresholds.tolist()
    ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 1.0, inf])
    """
    scores, real, fake = _by_score(llr, is_spoof, weights)
    real_below, fake_below = np.r_[0.0, np.cumsum(real)], np.r_[0.0, np.cumsum(fake)]
    false_alarm = (fake_below[-1] - fake_below) / fake_below[-1]
    return false_alarm, real_below / real_below[-1], np.r_[scores, np.inf]


def eer(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Return the equal error rate: mean(miss, false alarm) where they first differ least [1]_.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.

    Returns
    -------
    float
        0 to 1.

    Examples
    --------
    >>> eer([2.0, 1.0, -0.5, 0.5, -1.0, -2.0], [False, False, False, True, True, True])
    0.3333333333333333
    """
    false_alarm, miss, _ = det_curve(llr, is_spoof, weights)
    nearest = np.argmin(np.abs(miss - false_alarm))
    return float((miss[nearest] + false_alarm[nearest]) / 2)


def _costs(p_spoof: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Check a prior and costs; return the expected cost of rejecting all and of accepting all."""
    _option(0.0 < p_spoof < 1.0, "p_spoof", p_spoof, "above 0 and below 1")
    positive = 0.0 < c_miss < np.inf and 0.0 < c_fa < np.inf
    _option(positive, "(c_miss, c_fa)", (c_miss, c_fa), "above 0 and finite")
    return c_miss * (1.0 - p_spoof), c_fa * p_spoof


def min_dcf(
    llr: ArrayLike,
    is_spoof: ArrayLike,
    weights: Weights = None,
    *,
    p_spoof: float = 0.05,
    c_miss: float = 1.0,
    c_fa: float = 10.0,
) -> float:
    """Return the detection cost at the best threshold for these rows [1]_.

    The cost is ``c_miss (1 - p_spoof) miss + c_fa p_spoof false_alarm``, divided by the smaller of
    its values for accepting all rows and for rejecting all: 1 is no better than deciding blindly.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.
    p_spoof : float
        Prior of spoof, above 0 and below 1.
    c_miss, c_fa : float
        Costs of a miss and of a false alarm, above 0.

    Returns
    -------
    float
        0 to 1.
    """
    reject_all, accept_all = _costs(p_spoof, c_miss, c_fa)
    false_alarm, miss, _ = det_curve(llr, is_spoof, weights)
    cost = reject_all * miss + accept_all * false_alarm
    return float(cost.min() / min(reject_all, accept_all))


def act_dcf(
    llr: ArrayLike,
    is_spoof: ArrayLike,
    weights: Weights = None,
    *,
    p_spoof: float = 0.05,
    c_miss: float = 1.0,
    c_fa: float = 10.0,
) -> float:
    """Return `min_dcf`'s cost at the threshold that calibrated scores would have [1]_.

    The threshold is ``log(c_fa p_spoof / (c_miss (1 - p_spoof)))``.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.
    p_spoof, c_miss, c_fa : float
        As in `min_dcf`.

    Returns
    -------
    float
        At least 0; above 1 is worse than deciding blindly.
    """
    reject_all, accept_all = _costs(p_spoof, c_miss, c_fa)
    rates = error_rates(llr, is_spoof, weights, threshold=float(np.log(accept_all / reject_all)))
    cost = reject_all * rates["miss"] + accept_all * rates["false_alarm"]
    return cost / min(reject_all, accept_all)


def error_rates(
    llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None, *, threshold: float = 0.0
) -> dict[str, float]:
    """Return both error rates at one threshold.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.
    threshold : float
        Rows with ``llr >= threshold`` are accepted; not NaN.

    Returns
    -------
    dict of str to float
        ``miss`` and ``false_alarm``, 0 to 1.

    Examples
    --------
    >>> error_rates([2.0, -0.5, 0.5, -2.0], [False, False, True, True])
    {'miss': 0.5, 'false_alarm': 0.5}
    """
    _option(not np.isnan(threshold), "threshold", threshold, "a number")
    values, spoof, mass = _read(llr, is_spoof, weights)
    accepted = values >= threshold
    miss = mass[~spoof & ~accepted].sum() / mass[~spoof].sum()
    false_alarm = mass[spoof & accepted].sum() / mass[spoof].sum()
    return {"miss": float(miss), "false_alarm": float(false_alarm)}


def auc(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Return the probability that a bona fide row scores above a spoof; ties count half.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.

    Returns
    -------
    float
        0 to 1; 0.5 is chance.

    Examples
    --------
    >>> auc([2.0, 1.0, 0.0], [False, True, True])
    1.0
    """
    _, real, fake = _by_score(llr, is_spoof, weights)
    return float(real @ (np.cumsum(fake) - fake / 2) / (real.sum() * fake.sum()))


def cllr(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Return the cost of the log-likelihood ratio [2]_.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.

    Returns
    -------
    float
        Bits, at least 0; uninformative scores (llr = 0) cost 1.

    Examples
    --------
    >>> cllr([0.0, 0.0], [True, False])
    1.0
    """
    values, spoof, mass = _read(llr, is_spoof, weights)
    bits = np.logaddexp(0.0, np.where(spoof, values, -values)) / np.log(2.0)
    real = np.average(bits[~spoof], weights=mass[~spoof])
    return float((real + np.average(bits[spoof], weights=mass[spoof])) / 2)


def _pool(real: Floats, fake: Floats) -> Floats:
    """Pool adjacent violators: (n_blocks, 2) weights whose share of bona fide rises."""
    first = np.flatnonzero(np.r_[True, real[1:] * fake[:-1] > real[:-1] * fake[1:]])
    runs = np.stack([np.add.reduceat(real, first), np.add.reduceat(fake, first)], axis=1)
    blocks: list[list[float]] = []
    for run in runs.tolist():
        blocks.append(run)
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append([before[0] + last[0], before[1] + last[1]])
    return np.array(blocks, dtype=np.float64)


def min_cllr(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Return `cllr` after the best rising recalibration of these rows (PAV) [2]_.

    Parameters
    ----------
    llr, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.

    Returns
    -------
    float
        Bits, 0 to 1.
    """
    blocks = _pool(*_by_score(llr, is_spoof, weights)[1:])
    share = blocks / blocks.sum(axis=0)  # (n_blocks, 2): of the bona fide and of the spoof weight
    ratio = np.ones_like(share)  # stays 1 where a block lacks a class, which then costs nothing
    np.divide(share.sum(axis=1, keepdims=True), share, out=ratio, where=share > 0.0)
    return float((share * np.log2(ratio)).sum() / 2)


def ece(
    p_spoof: ArrayLike, is_spoof: ArrayLike, weights: Weights = None, *, n_bins: int = 15
) -> float:
    """Return the expected calibration error [3]_.

    That is the mean over bins of ``|mean p_spoof - share of spoofs|``, weighted by their rows.

    Parameters
    ----------
    p_spoof, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.
    n_bins : int
        Number of bins of equal width, at least 1.

    Returns
    -------
    float
        0 to 1.

    Examples
    --------
    >>> ece([0.25, 0.75], [False, True])
    0.25
    """
    _option(n_bins >= 1, "n_bins", n_bins, "at least 1")
    values, spoof, mass = _read(p_spoof, is_spoof, weights, "p_spoof")
    in_bin = np.minimum((values * n_bins).astype(np.int64), n_bins - 1)
    return float(np.abs(np.bincount(in_bin, mass * (values - spoof))).sum() / mass.sum())


def even_weights(is_spoof: Mask) -> Floats:
    """Return a weight for each row, shape (n_rows,), by which both classes count alike."""
    share = is_spoof.mean()
    return np.where(is_spoof, 0.5 / share, 0.5 / (1 - share))


def log_loss(p_spoof: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Return the mean negative log likelihood.

    Parameters
    ----------
    p_spoof, is_spoof, weights : array_like, shape (n,)
        One row per recording, as above.

    Returns
    -------
    float
        Nats, at least 0; ``p_spoof`` is kept 2.2e-16 away from 0 and 1.
    """
    values, spoof, mass = _read(p_spoof, is_spoof, weights, "p_spoof")
    tiny = np.finfo(np.float64).eps
    of_truth = np.where(spoof, values, 1.0 - values).clip(tiny, 1.0 - tiny)
    return float(np.average(-np.log(of_truth), weights=mass))


@dataclass(frozen=True)
class Interval:
    """A metric's value with its interval.

    Parameters
    ----------
    value : float
        The metric of all rows, in its unit.
    low, high : float
        The ends of the interval.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return the three numbers by name."""
        return asdict(self)


def _resamples(counts: Floats, n_resamples: int, seed: int) -> Iterator[Floats]:
    """Draw how often each cluster counts; ``counts`` (2, n_clusters): its rows of each class."""
    rng, n = np.random.default_rng(seed), counts.shape[1]
    for _ in range(n_resamples):
        draws = (rng.multinomial(n, np.full(n, 1.0 / n)) for _ in range(MAX_DRAWS))
        times = next((draw for draw in draws if (counts @ draw > 0).all()), None)
        if times is None:
            seen = f"{MAX_DRAWS} resamples of {n} clusters had one class"
            raise BonafideError("one_class", f"{seen}: more clusters are needed")
        yield times.astype(np.float64)


def resampled(is_spoof: Mask, clusters: ArrayLike, n_resamples: int, seed: int) -> Iterator[Floats]:
    """Draw resamples of whole clusters, each with both classes.

    Parameters
    ----------
    is_spoof : ndarray of bool, shape (n,)
        Labels.
    clusters : array_like of str or int, shape (n,)
        As in `bootstrap`.
    n_resamples, seed : int
        As in `bootstrap`.

    Yields
    ------
    ndarray of float64, shape (n,)
        How often each row counts.
    """
    distinct, member = np.unique(np.asarray(clusters), return_inverse=True)
    _check(distinct.size > 1, "clusters", distinct.tolist(), "at least 2 distinct ones")
    counts = np.array([np.bincount(member, ~is_spoof), np.bincount(member, is_spoof)], np.float64)
    for times in _resamples(counts, n_resamples, seed):
        yield times[member]


def bootstrap(
    llr: ArrayLike,
    is_spoof: ArrayLike,
    clusters: ArrayLike,
    *,
    metrics: Mapping[str, Callable[..., float]],
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return percentile intervals of metrics, resampling whole clusters [4]_.

    A resample without both classes is drawn again. Resamples repeat rows, which biases their
    `min_cllr` downwards and their `ece` upwards: an interval of `ece` can lie above its value.

    Parameters
    ----------
    llr, is_spoof : array_like, shape (n,)
        One row per recording, as above.
    clusters : array_like of str or int, shape (n,)
        Each row's speaker or source: at least 2 distinct ones; trustworthy intervals need dozens.
    metrics : mapping of str to callable
        Called as ``f(llr, is_spoof, weights)``, rows by rising llr.
    n_resamples : int
        At least 1.
    seed : int
        The same seed draws the same resamples.
    level : float
        Share of the resamples within the interval, above 0 and below 1.

    Returns
    -------
    dict of str to Interval
        By the names of `metrics`.
    """
    _option(n_resamples >= 1, "n_resamples", n_resamples, "at least 1")
    _option(0.0 < level < 1.0, "level", level, "above 0 and below 1")
    values, spoof, _ = _read(llr, is_spoof, None)
    names, order = np.asarray(clusters), np.argsort(values, kind="stable")
    _check(names.shape == values.shape, "clusters.shape", names.shape, f"{values.shape}")
    _check(names.dtype.kind in "iuUTO", "clusters.dtype", str(names.dtype), "str or int")
    distinct, member = np.unique(names[order], return_inverse=True)
    _check(distinct.size > 1, "clusters", distinct.tolist(), "at least 2 distinct ones")
    values, spoof = values[order], spoof[order]
    counts = np.array([np.bincount(member, ~spoof), np.bincount(member, spoof)], dtype=np.float64)
    draws = chain([np.ones(distinct.size)], _resamples(counts, n_resamples, seed))
    drawn = [[f(values, spoof, times[member]) for f in metrics.values()] for times in draws]
    ends = np.quantile(drawn[1:], [(1.0 - level) / 2, (1.0 + level) / 2], axis=0).tolist()
    return {name: Interval(*row) for name, *row in zip(metrics, drawn[0], *ends, strict=True)}


def difference(
    llr: ArrayLike,
    other: ArrayLike,
    is_spoof: ArrayLike,
    clusters: ArrayLike,
    *,
    metric: Callable[..., float] = eer,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return how much higher a metric is of one system than of another, on the same rows.

    Both are measured on each resample of whole clusters, so that what makes rows hard for both
    cancels.

    Parameters
    ----------
    llr, other, is_spoof : array_like, shape (n,)
        The scores of both systems, and the labels of their rows.
    clusters : array_like of str or int, shape (n,)
        As in `bootstrap`.
    metric : callable
        Called as ``f(llr, is_spoof, weights)``.
    n_resamples, seed, level : int, int, float
        As in `bootstrap`.

    Returns
    -------
    Interval
        Of the metric of `llr` minus that of `other`.

    Examples
    --------
    >>> rows, spoof = np.arange(4), np.array([False, True, False, True])
    >>> difference([1.0, -1, 1, -1], [-1.0, 1, -1, 1], spoof, rows, n_resamples=10).value
    -1.0
    """
    _option(n_resamples >= 1, "n_resamples", n_resamples, "at least 1")
    _option(0.0 < level < 1.0, "level", level, "above 0 and below 1")
    ours, spoof, _ = _read(llr, is_spoof, None)
    theirs, _, _ = _read(other, is_spoof, None)
    names = np.asarray(clusters)
    _check(names.shape == ours.shape, "clusters.shape", names.shape, f"{ours.shape}")
    drawn = [
        metric(ours, spoof, weights) - metric(theirs, spoof, weights)
        for weights in resampled(spoof, names, n_resamples, seed)
    ]
    low, high = np.quantile(drawn, [(1.0 - level) / 2, (1.0 + level) / 2]).tolist()
    return Interval(metric(ours, spoof) - metric(theirs, spoof), low, high)


def _at_prior(metric: Callable[..., float], prior_spoof: float) -> Callable[..., float]:
    """Turn a metric of ``p_spoof`` into one of ``llr``, with that share of spoofs in the rows."""

    def of_llr(llr: Floats, is_spoof: Mask, weights: Floats) -> float:
        against = llr + np.log1p(-prior_spoof) - np.log(prior_spoof)  # log odds of bona fide
        real, fake = weights[~is_spoof].sum(), weights[is_spoof].sum()
        share = np.where(is_spoof, prior_spoof / fake, (1.0 - prior_spoof) / real)
        return metric(np.exp(-np.logaddexp(0.0, against)), is_spoof, weights * share)

    return of_llr


def summarise(
    llr: ArrayLike,
    is_spoof: ArrayLike,
    clusters: ArrayLike,
    *,
    prior_spoof: float = 0.5,
    threshold: float = 0.0,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return every metric of this module with its 95 % interval by `bootstrap`.

    ``ece`` and ``log_loss`` are those of ``p_spoof = sigmoid(logit(prior_spoof) - llr)``, with the
    classes weighted to a share of spoofs of `prior_spoof`: on rows with another share even perfect
    scores would look badly calibrated.

    Parameters
    ----------
    llr, is_spoof, clusters : array_like, shape (n,)
        As in `bootstrap`.
    prior_spoof : float
        Prior of spoof, above 0 and below 1.
    threshold : float
        Where ``miss`` and ``false_alarm`` are measured, in llr.
    n_resamples, seed : int
        As in `bootstrap`.

    Returns
    -------
    dict of str to Interval
        ``eer``, ``min_dcf``, ``act_dcf``, ``cllr``, ``min_cllr``, ``auc``, ``ece``, ``log_loss``,
        ``miss`` and ``false_alarm``.
    """
    _option(0.0 < prior_spoof < 1.0, "prior_spoof", prior_spoof, "above 0 and below 1")
    metrics: dict[str, Callable[..., float]] = {
        **{f.__name__: f for f in (eer, min_dcf, act_dcf, cllr, min_cllr, auc)},
        **{f.__name__: _at_prior(f, prior_spoof) for f in (ece, log_loss)},
        "miss": lambda *rows: error_rates(*rows, threshold=threshold)["miss"],
        "false_alarm": lambda *rows: error_rates(*rows, threshold=threshold)["false_alarm"],
    }
    return bootstrap(llr, is_spoof, clusters, metrics=metrics, n_resamples=n_resamples, seed=seed)
