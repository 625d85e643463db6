"""How well scores tell bona fide speech from spoofs, with bootstrap intervals.

Every function takes one row per recording:

- ``llr``: (n,) float, natural-log likelihood ratio, finite, HIGHER = more bona fide; or
  ``p_spoof``: (n,) float, probability of spoof, 0 to 1;
- ``is_spoof``: (n,) bool;
- ``weights``: (n,) float, finite, 0 or more, or None for ones. An integer weight counts as that
  many equal rows, 0 as none.

A row is accepted when ``llr >= threshold``. Rates are fractions, 0 to 1: a *miss* is a bona fide
row rejected, a *false alarm* a spoof accepted. Equal scores are accepted or rejected together.

Every function raises `BonafideError`: ``bad_scores`` for arrays that are empty, differ in shape or
hold values not allowed, ``one_class`` where not both classes have weight; and `ConfigError`
``bad_metric_option`` for an option out of range.

References: [1] Wang et al., "ASVspoof 5", 2024, and its evaluation package (EER, DCF);
[2] Bruemmer and du Preez, "Application-independent evaluation of speaker detection", 2006 (Cllr);
[3] Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015 (ECE);
[4] Field and Welsh, "Bootstrapping clustered data", 2007.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bonafide.errors import BonafideError, ConfigError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Weights = ArrayLike | None
MAX_DRAWS = 100  # of one resample, before giving up on both classes being in it


def _check(ok: bool, name: str, seen: object, allowed: str) -> None:
    if not ok:
        raise BonafideError("bad_scores", f"{name}={seen!r}: allowed is {allowed}")


def _option(ok: bool, name: str, seen: object, allowed: str) -> None:
    if not ok:
        raise ConfigError("bad_metric_option", f"{name}={seen!r}: allowed is {allowed}")


def _read(
    scores: ArrayLike, is_spoof: ArrayLike, weights: Weights, name: str = "llr"
) -> tuple[Floats, Bools, Floats]:
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
    kept = mass > 0.0
    if not kept.all():
        values, spoof, mass = values[kept], spoof[kept], mass[kept]
    n_spoof = int(np.count_nonzero(spoof))
    if n_spoof in (0, spoof.size):
        seen = f"{spoof.size - n_spoof} bona fide and {n_spoof} spoof rows"
        raise BonafideError("one_class", f"{seen} with weight: allowed is at least 1 of each")
    return values, spoof, mass


def _by_score(
    llr: ArrayLike, is_spoof: ArrayLike, weights: Weights
) -> tuple[Floats, Floats, Floats]:
    """Give the distinct scores, rising, and the bona fide and spoof weight at each."""
    values, spoof, mass = _read(llr, is_spoof, weights)
    order = np.argsort(values, kind="stable")  # linear in n where the rows come sorted
    values, spoof, mass = values[order], spoof[order], mass[order]
    first = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    real = np.add.reduceat(np.where(spoof, 0.0, mass), first)
    return values[first], real, np.add.reduceat(np.where(spoof, mass, 0.0), first)


def det_curve(
    llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None
) -> tuple[Floats, Floats, Floats]:
    """Give every operating point, from accepting all rows to rejecting all.

    Returns
    -------
    false_alarm, miss, thresholds : (n_distinct + 1,) float64
        Falling from 1 to 0; rising from 0 to 1; the distinct scores, rising, then infinity.
    """
    scores, real, fake = _by_score(llr, is_spoof, weights)
    real_below, fake_below = np.r_[0.0, np.cumsum(real)], np.r_[0.0, np.cumsum(fake)]
    false_alarm = (fake_below[-1] - fake_below) / fake_below[-1]
    return false_alarm, real_below / real_below[-1], np.r_[scores, np.inf]


def eer(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Give the equal error rate, 0 to 1: mean(miss, false alarm) where they differ least [1].

    Where several thresholds differ as little, the lowest is taken; no interpolation.
    """
    false_alarm, miss, _ = det_curve(llr, is_spoof, weights)
    nearest = np.argmin(np.abs(miss - false_alarm))
    return float((miss[nearest] + false_alarm[nearest]) / 2)


def _costs(p_spoof: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """Check a prior and costs; give the expected cost of rejecting all and of accepting all."""
    _option(0.0 < p_spoof < 1.0, "p_spoof", p_spoof, "above 0 and below 1")
    for name, cost in (("c_miss", c_miss), ("c_fa", c_fa)):
        _option(0.0 < cost < np.inf, name, cost, "above 0 and finite")
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
    """Give the detection cost at the best threshold for these rows, 0 to 1 [1].

    The cost is ``c_miss (1 - p_spoof) miss + c_fa p_spoof false_alarm`` over the smaller of its
    values for accepting all rows and for rejecting all: 1 is no better than not listening.
    ``p_spoof`` is the prior of spoof, above 0 and below 1; the costs are above 0.
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
    """Give `min_dcf`'s cost, 0 or more, at the Bayes threshold of the same parameters [1].

    The threshold is ``log(c_fa p_spoof / (c_miss (1 - p_spoof)))``.
    """
    reject_all, accept_all = _costs(p_spoof, c_miss, c_fa)
    rates = error_rates(llr, is_spoof, weights, threshold=float(np.log(accept_all / reject_all)))
    cost = reject_all * rates["miss"] + accept_all * rates["false_alarm"]
    return cost / min(reject_all, accept_all)


def error_rates(
    llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None, *, threshold: float = 0.0
) -> dict[str, float]:
    """Give ``miss`` and ``false_alarm``, 0 to 1, accepting at ``llr >= threshold`` (not NaN)."""
    _option(not np.isnan(threshold), "threshold", threshold, "a number")
    values, spoof, mass = _read(llr, is_spoof, weights)
    accepted = values >= threshold
    miss = mass[~spoof & ~accepted].sum() / mass[~spoof].sum()
    false_alarm = mass[spoof & accepted].sum() / mass[spoof].sum()
    return {"miss": float(miss), "false_alarm": float(false_alarm)}


def auc(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Give the probability, 0 to 1, that a bona fide row scores above a spoof; ties half."""
    _, real, fake = _by_score(llr, is_spoof, weights)
    return float(real @ (np.cumsum(fake) - fake / 2) / (real.sum() * fake.sum()))


def cllr(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Give the cost of the log-likelihood ratio, 0 or more bits; llr = 0 throughout gives 1 [2]."""
    values, spoof, mass = _read(llr, is_spoof, weights)
    bits = np.logaddexp(0.0, np.where(spoof, values, -values)) / np.log(2.0)
    real = np.average(bits[~spoof], weights=mass[~spoof])
    return float((real + np.average(bits[spoof], weights=mass[spoof])) / 2)


def _pool(real: Floats, fake: Floats) -> Floats:
    """Pool adjacent violators: (n_blocks, 2) weights whose share of bona fide rises."""
    first = np.flatnonzero(np.r_[True, real[1:] * fake[:-1] > real[:-1] * fake[1:]])
    runs = np.stack([np.add.reduceat(real, first), np.add.reduceat(fake, first)], axis=1)
    blocks: list[tuple[float, float]] = []
    for in_real, in_fake in runs.tolist():
        block = (in_real, in_fake)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1])
        blocks.append(block)
    return np.array(blocks, dtype=np.float64)


def min_cllr(llr: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Give `cllr`, 0 to 1 bits, after the best rising recalibration of these rows (PAV) [2]."""
    blocks = _pool(*_by_score(llr, is_spoof, weights)[1:])
    share = blocks / blocks.sum(axis=0)  # (n_blocks, 2): of the bona fide and of the spoof weight
    ratio = np.ones_like(share)  # kept where a class is absent from a block: it pays nothing there
    np.divide(share.sum(axis=1, keepdims=True), share, out=ratio, where=share > 0.0)
    return float((share * np.log2(ratio)).sum() / 2)


def ece(
    p_spoof: ArrayLike, is_spoof: ArrayLike, weights: Weights = None, *, n_bins: int = 15
) -> float:
    """Give the expected calibration error of ``p_spoof``, 0 to 1 [3].

    The mean over rows of ``|mean p_spoof - share of spoofs|`` of the row's bin, in ``n_bins``
    (1 or more) bins of equal width. It is biased upwards where bins hold few rows.
    """
    _option(n_bins >= 1, "n_bins", n_bins, "1 or more")
    values, spoof, mass = _read(p_spoof, is_spoof, weights, "p_spoof")
    in_bin = np.minimum((values * n_bins).astype(np.int64), n_bins - 1)
    return float(np.abs(np.bincount(in_bin, mass * (values - spoof))).sum() / mass.sum())


def log_loss(p_spoof: ArrayLike, is_spoof: ArrayLike, weights: Weights = None) -> float:
    """Give the mean negative log likelihood in nats; ``p_spoof`` is kept 2.2e-16 from 0 and 1."""
    values, spoof, mass = _read(p_spoof, is_spoof, weights, "p_spoof")
    tiny = np.finfo(np.float64).eps
    of_truth = np.where(spoof, values, 1.0 - values).clip(tiny, 1.0 - tiny)
    return float(np.average(-np.log(of_truth), weights=mass))


@dataclass(frozen=True)
class Interval:
    """A point estimate on all rows with the ends of its interval, in the metric's unit."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Give the three numbers by name."""
        return asdict(self)


def _resamples(counts: NDArray[np.intp], n_resamples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Draw how often each cluster counts; ``counts`` (n_clusters, 2): its rows of each class."""
    rng, even = np.random.default_rng(seed), np.full(len(counts), 1.0 / len(counts))
    for _ in range(n_resamples):
        draws = (rng.multinomial(len(counts), even) for _ in range(MAX_DRAWS))
        times = next((draw for draw in draws if (draw @ counts > 0).all()), None)
        if times is None:
            seen = f"{MAX_DRAWS} resamples of {len(counts)} clusters with one class each"
            raise BonafideError("one_class", f"{seen}: allowed are clusters that mix or are many")
        yield times


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
    """Give percentile intervals of metrics, resampling whole clusters [4].

    ``clusters`` (n,) str or int is each row's speaker or source: 2 or more, dozens for ends to be
    trusted. ``metrics`` are called as ``f(llr, is_spoof, weights)``, rows by rising llr; the ends
    span the share ``level`` of ``n_resamples``. A draw without both classes is drawn again.
    Resamples repeat rows, so `min_cllr` leans down in them and `ece` up: their ends lean too.
    """
    _option(n_resamples >= 1, "n_resamples", n_resamples, "1 or more")
    _option(0.0 < level < 1.0, "level", level, "above 0 and below 1")
    values, spoof, ones = _read(llr, is_spoof, None)
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    _check(member.shape == values.shape, "clusters.shape", member.shape, f"{values.shape}")
    _check(names.size > 1, "clusters", names.tolist(), "2 distinct ones or more")
    order = np.argsort(values, kind="stable")
    values, spoof, member = values[order], spoof[order], member[order]
    counts = np.stack([np.bincount(member[~spoof], minlength=names.size) for _ in "."], axis=1)
    points = [float(metric(values, spoof, ones)) for metric in metrics.values()]
