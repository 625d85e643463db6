"""Metrics against numbers by hand, plain O(n^2) references and scikit-learn."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from bonafide.errors import BonafideError, ConfigError
from bonafide.evaluation import metrics as m

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Data = tuple[Floats, Bools, Floats]

OF_LLR: dict[str, Callable[..., float]] = {
    "eer": m.eer,
    "min_dcf": m.min_dcf,
    "act_dcf": m.act_dcf,
    "cllr": m.cllr,
    "min_cllr": m.min_cllr,
    "auc": m.auc,
    "miss": lambda *rows: m.error_rates(*rows)["miss"],
    "false_alarm": lambda *rows: m.error_rates(*rows)["false_alarm"],
}
OF_P_SPOOF: dict[str, Callable[..., float]] = {"ece": m.ece, "log_loss": m.log_loss}


def sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def example(n: int = 300, seed: int = 0, step: float = 0.25, shift: float = 1.0) -> Data:
    """Return overlapping scores with many ties, classes of 2 : 3, and integer weights from 0."""
    rng = np.random.default_rng(seed)
    is_spoof = np.arange(n) % 5 < 3
    llr = np.where(is_spoof, -shift, shift) + 2.0 * rng.normal(size=n)
    return np.round(llr / step) * step, is_spoof, rng.integers(0, 4, n).astype(np.float64)


# plain references: one Python loop over thresholds, sums over all rows inside


def plain_points(llr: Floats, is_spoof: Bools, weights: Floats) -> list[tuple[float, float]]:
    points = []
    for threshold in [*sorted(set(llr.tolist())), float("inf")]:
        miss = weights[~is_spoof & (llr < threshold)].sum() / weights[~is_spoof].sum()
        false_alarm = weights[is_spoof & (llr >= threshold)].sum() / weights[is_spoof].sum()
        points.append((miss, false_alarm))
    return points


def plain_eer(llr: Floats, is_spoof: Bools, weights: Floats) -> float:
    miss, false_alarm = min(plain_points(llr, is_spoof, weights), key=lambda p: abs(p[0] - p[1]))
    return (miss + false_alarm) / 2


def plain_min_dcf(
    llr: Floats, is_spoof: Bools, weights: Floats, p: float, c_miss: float, c_fa: float
) -> float:
    default = min((1 - p) * c_miss, p * c_fa)
    points = plain_points(llr, is_spoof, weights)
    return min(((1 - p) * c_miss * miss + p * c_fa * fa) / default for miss, fa in points)


# numbers by hand: llr (bona fide), llr (spoof), metric, value

LN = np.log
GOLDEN: list[tuple[str, list[float], list[float], str, float]] = [
    ("separable", [1, 2, 3], [-1, -2], "eer", 0.0),
    ("reversed", [-1, -2, -3], [1, 2], "eer", 1.0),
    ("constant", [0, 0, 0], [0, 0], "eer", 0.5),
    # thresholds 1, 2, 3, 4, inf: miss 0 0 .5 .5 1, false alarm 1 .5 .5 0 0
    ("one in two each", [2, 4], [1, 3], "eer", 0.5),
    # thresholds 1, 2, 3, inf: miss 0 0 1/4 1, false alarm 1 1/2 0 0: nearest is (1/4, 0)
    ("no crossing", [2, 3, 3, 3], [1, 2], "eer", 0.125),
    # thresholds 0, 1, 2, inf: miss 0 0 .4 1, false alarm 1 .4 0 0: both differ by .4, lowest wins
    ("two nearest", [1, 1, 2, 2, 2], [0, 0, 0, 1, 1], "eer", 0.2),
    ("separable", [1, 2, 3], [-1, -2], "min_dcf", 0.0),
    ("reversed", [-1, -2, -3], [1, 2], "min_dcf", 1.0),
    ("constant", [0, 0, 0], [0, 0], "min_dcf", 1.0),
    # miss 1/4, false alarm 0 is best: .95 * .25 / .5
    ("no crossing", [2, 3, 3, 3], [1, 2], "min_dcf", 0.475),
    # accepting one spoof of four: .5 * .25 / .5, against a miss of 1/2: .95 * .5 / .5
    ("false alarm pays", [2, 4], [1, 1, 1, 3], "min_dcf", 0.25),
    # threshold log(.5 / .95) = -0.642: accepts all: .5 / .5
    ("constant", [0, 0, 0], [0, 0], "act_dcf", 1.0),
    ("below the threshold", [-0.65, -0.65], [-0.65, -0.65], "act_dcf", 1.9),
    ("above the threshold", [-0.64, -0.64], [-0.64, -0.64], "act_dcf", 1.0),
    ("reversed", [-1, -2, -3], [1, 2], "act_dcf", 2.9),
    ("half a miss", [1, -1], [-1, -2], "act_dcf", 0.95),
    ("nothing said", [0, 0, 0], [0], "cllr", 1.0),
    # log2(1 + 1/3), log2(1 + 1/7)
    ("certain", [LN(3)], [-LN(7)], "cllr", (np.log2(4 / 3) + np.log2(8 / 7)) / 2),
    ("misleading", [-LN(3)], [LN(7)], "cllr", (2 + 3) / 2),
    ("huge and right", [700], [-700], "cllr", 0.0),
    ("huge and wrong", [-1e6], [1e6], "cllr", 1e6 / LN(2)),
    ("separable", [1, 2, 3], [-1, -2], "min_cllr", 0.0),
    ("reversed", [-1, -2, -3], [1, 2], "min_cllr", 1.0),
    ("constant", [7, 7], [7, 7, 7], "min_cllr", 1.0),
    # blocks: spoof alone; a spoof and a bona fide of equal score (ratio 1); bona fide alone
    ("half known", [0, 5], [0, -5], "min_cllr", 0.5),
    # PAV pools 2 (real) and 3 (spoof) into a block of ratio 1
    ("pooled", [2, 4], [1, 3], "min_cllr", 0.5),
    ("separable", [1, 2, 3], [-1, -2], "auc", 1.0),
    ("reversed", [-1, -2, -3], [1, 2], "auc", 0.0),
    ("constant", [0, 0, 0], [0, 0], "auc", 0.5),
    ("three and a tie of six", [1, 2, 3], [1, 2], "auc", 4 / 6),
    ("at the threshold is accepted", [0, 1, -1, -2], [0, -1, -2], "miss", 0.5),
    ("at the threshold is accepted", [0, 1, -1, -2], [0, -1, -2], "false_alarm", 1 / 3),
]


@pytest.mark.parametrize(
    ("real", "fake", "metric", "value"),
    [row[1:] for row in GOLDEN],
    ids=[f"{row[3]}: {row[0]}" for row in GOLDEN],
)
def test_golden(real: list[float], fake: list[float], metric: str, value: float) -> None:
    is_spoof = [False] * len(real) + [True] * len(fake)
    got = OF_LLR[metric](real + fake, is_spoof, None)
    assert type(got) is float
    assert got == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("p_spoof", "is_spoof", "n_bins", "value"),
    [
        ([1.0, 0.0], [True, False], 15, 0.0),
        ([0.0, 1.0], [True, False], 15, 1.0),
        ([0.5] * 4, [True, False, False, False], 15, 0.25),
        ([0.6, 0.8], [True, False], 2, 0.2),  # one bin: |0.7 - 0.5|
        ([0.6, 0.8], [True, False], 5, 0.6),  # two bins: (0.4 + 0.8) / 2
        ([0.1, 0.1, 0.9, 0.9], [False, False, True, False], 2, 0.25),  # (0.1 + 0.4) / 2
        ([1.0, 0.95], [False, True], 10, 0.475),  # 1.0 falls into the last bin: |0.975 - 0.5|
    ],
)
def test_ece_golden(p_spoof: Any, is_spoof: Any, n_bins: int, value: float) -> None:
    assert m.ece(p_spoof, is_spoof, n_bins=n_bins) == pytest.approx(value, abs=1e-12)


def test_ece_has_15_bins_of_its_own() -> None:
    rng = np.random.default_rng(3)
    p_spoof, weights = rng.random(500), rng.random(500)
    is_spoof = rng.random(500) < p_spoof**2
    gap = 0.0
    for k in range(15):
        inside = (k / 15 <= p_spoof) & (p_spoof < (k + 1) / 15)
        mean_p = np.average(p_spoof[inside], weights=weights[inside])
        mean_y = np.average(is_spoof[inside], weights=weights[inside])
        gap += weights[inside].sum() / weights.sum() * abs(mean_p - mean_y)
    assert m.ece(p_spoof, is_spoof, weights) == pytest.approx(gap, abs=1e-12)


def test_certain_and_wrong_has_a_finite_log_loss() -> None:
    wrong = m.log_loss([0.0, 1.0], [True, False])
    assert wrong == pytest.approx(-np.log(np.finfo(float).eps), rel=1e-6)


@pytest.mark.parametrize("threshold", [-np.inf, -1.0, 0.3, np.inf])
def test_error_rates_at_a_threshold(threshold: float) -> None:
    llr, is_spoof, weights = example()
    rates = m.error_rates(llr, is_spoof, weights, threshold=threshold)
    rejected = (llr < threshold).astype(float)
    real, fake = ~is_spoof, is_spoof
    assert set(rates) == {"miss", "false_alarm"}
    assert rates["miss"] == pytest.approx(np.average(rejected[real], weights=weights[real]))
    assert rates["false_alarm"] == pytest.approx(
        1 - np.average(rejected[fake], weights=weights[fake])
    )


def test_det_curve_golden() -> None:
    false_alarm, miss, thresholds = m.det_curve([2, 3, 3, 3, 1, 2], [False] * 4 + [True] * 2)
    np.testing.assert_array_equal(thresholds, [1, 2, 3, np.inf])
    np.testing.assert_array_equal(false_alarm, [1, 0.5, 0, 0])
    np.testing.assert_array_equal(miss, [0, 0, 0.25, 1])


def test_det_curve_is_error_rates_at_each_threshold() -> None:
    llr, is_spoof, _ = example()
    for false_alarm, miss, threshold in zip(*m.det_curve(llr, is_spoof), strict=True):
        rates = m.error_rates(llr, is_spoof, threshold=threshold)
        assert rates == pytest.approx({"miss": miss, "false_alarm": false_alarm})


# references

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
def test_auc_is_sklearns(seed: int) -> None:
    llr, is_spoof, weights = example(seed=seed)
    assert m.auc(llr, is_spoof) == pytest.approx(roc_auc_score(~is_spoof, llr), abs=1e-12)
    expected = roc_auc_score(~is_spoof, llr, sample_weight=weights)
    assert m.auc(llr, is_spoof, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_log_loss_is_sklearns(seed: int) -> None:
    llr, is_spoof, weights = example(seed=seed)
    p_spoof = sigmoid(-llr)
    expected = sklearn_log_loss(is_spoof, p_spoof)
    assert m.log_loss(p_spoof, is_spoof) == pytest.approx(expected, abs=1e-12)
    expected = sklearn_log_loss(is_spoof, p_spoof, sample_weight=weights)
    assert m.log_loss(p_spoof, is_spoof, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("step", [0.25, 1e-9])
@pytest.mark.parametrize("seed", SEEDS)
def test_min_cllr_is_cllr_after_sklearns_isotonic(seed: int, step: float) -> None:
    llr, is_spoof, weights = example(seed=seed, step=step)
    kept = weights > 0
    llr, is_spoof, weights = llr[kept], is_spoof[kept], weights[kept]
    posterior = (
        IsotonicRegression().fit(llr, ~is_spoof, weights).predict(llr).clip(1e-15, 1 - 1e-15)
    )
    prior = np.average(~is_spoof, weights=weights)
    calibrated = np.log(posterior / (1 - posterior)) - np.log(prior / (1 - prior))
    expected = m.cllr(calibrated, is_spoof, weights)
    assert 0.2 < expected < 0.95
    assert m.min_cllr(llr, is_spoof, weights) == pytest.approx(expected, abs=1e-9)


def test_cllr_is_the_mean_cost_of_the_classes() -> None:
    llr, is_spoof, weights = example()
    real = np.average(np.log2(1 + np.exp(-llr[~is_spoof])), weights=weights[~is_spoof])
    fake = np.average(np.log2(1 + np.exp(llr[is_spoof])), weights=weights[is_spoof])
    assert m.cllr(llr, is_spoof, weights) == pytest.approx((real + fake) / 2, abs=1e-12)


@pytest.mark.parametrize("step", [0.25, 1e-9])
@pytest.mark.parametrize("seed", SEEDS)
def test_eer_is_the_plain_one(seed: int, step: float) -> None:
    llr, is_spoof, weights = example(seed=seed, step=step)
    ones = np.ones_like(llr)
    assert m.eer(llr, is_spoof) == plain_eer(llr, is_spoof, ones)
    assert m.eer(llr, is_spoof, weights) == plain_eer(llr, is_spoof, weights)


COSTS = [(0.05, 1.0, 10.0), (0.5, 1.0, 1.0), (0.3, 7.0, 2.0), (0.9, 1.0, 5.0)]


@pytest.mark.parametrize(("p_spoof", "c_miss", "c_fa"), COSTS)
def test_dcf_is_the_plain_one(p_spoof: float, c_miss: float, c_fa: float) -> None:
    llr, is_spoof, weights = example(shift=1.5)
    costs = {"p_spoof": p_spoof, "c_miss": c_miss, "c_fa": c_fa}
    expected = plain_min_dcf(llr, is_spoof, weights, p_spoof, c_miss, c_fa)
    assert m.min_dcf(llr, is_spoof, weights, **costs) == pytest.approx(expected, abs=1e-12)

    accepted = c_miss * (1 - p_spoof) * np.exp(llr) >= c_fa * p_spoof  # the smaller expected cost
    miss = np.average(~accepted[~is_spoof], weights=weights[~is_spoof])
    false_alarm = np.average(accepted[is_spoof], weights=weights[is_spoof])
    cost = c_miss * (1 - p_spoof) * miss + c_fa * p_spoof * false_alarm
    expected = cost / min(c_miss * (1 - p_spoof), c_fa * p_spoof)
    assert m.act_dcf(llr, is_spoof, weights, **costs) == pytest.approx(expected, abs=1e-12)


def test_the_default_costs_are_those_of_asvspoof_5() -> None:
    llr, is_spoof, weights = example(shift=1.5)
    costs = {"p_spoof": 0.05, "c_miss": 1.0, "c_fa": 10.0}
    for metric in (m.min_dcf, m.act_dcf):
        assert metric(llr, is_spoof, weights) == metric(llr, is_spoof, weights, **costs)
        assert metric(llr, is_spoof, weights) != metric(llr, is_spoof, weights, p_spoof=0.06)


# properties


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[int], list[bool], list[int]]:
    """Draw few distinct scores, both classes, integer weights from 0, both classes weighted."""
    n = draw(st.integers(2, 25))
    scores = draw(st.lists(st.integers(-6, 6), min_size=n, max_size=n))
    is_spoof = draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))
    weights = draw(st.lists(st.integers(0, 3), min_size=n - 2, max_size=n - 2))
    return scores, [True, False, *is_spoof], [1, 2, *weights]


@pytest.mark.parametrize("name", [*OF_LLR, *OF_P_SPOOF])
@settings(deadline=None, max_examples=60)
@given(rows())
def test_integer_weights_are_repetitions(
    name: str, drawn: tuple[list[int], list[bool], list[int]]
) -> None:
    scores, is_spoof, weights = (np.array(part) for part in drawn)
    metric = {**OF_LLR, **OF_P_SPOOF}[name]
    values = sigmoid(-scores / 2) if name in OF_P_SPOOF else scores / 2
    repeated = metric(np.repeat(values, weights), np.repeat(is_spoof, weights), None)
    assert metric(values, is_spoof, weights) == pytest.approx(repeated, abs=1e-12)


@pytest.mark.parametrize("name", ["eer", "min_dcf", "min_cllr", "auc"])
@settings(deadline=None, max_examples=60)
@given(rows(), st.sampled_from([np.exp, np.cbrt, np.arctan, lambda x: 1e-3 * x - 70.0]))
def test_ranks_alone_count(
    name: str, drawn: tuple[list[int], list[bool], list[int]], rising: Callable[[Floats], Floats]
) -> None:
    scores, is_spoof, weights = (np.array(part) for part in drawn)
    metric = OF_LLR[name]
    expected = metric(scores, is_spoof, weights)
    assert metric(rising(scores.astype(float)), is_spoof, weights) == expected


@settings(deadline=None, max_examples=200)
@given(rows(), st.floats(0.1, 3.0), st.floats(-4.0, 4.0))
def test_bounds(drawn: tuple[list[int], list[bool], list[int]], scale: float, shift: float) -> None:
    scores, is_spoof, weights = (np.array(part) for part in drawn)
    given_rows = scores * scale + shift, is_spoof, weights
    assert 0.0 <= m.min_dcf(*given_rows) <= min(1.0, m.act_dcf(*given_rows)) + 1e-12
    assert -1e-12 <= m.min_cllr(*given_rows) <= min(1.0, m.cllr(*given_rows)) + 1e-12
    assert m.eer(*given_rows) == plain_eer(*given_rows)


@settings(deadline=None, max_examples=60)
@given(rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    drawn: tuple[list[int], list[bool], list[int]], random: Any
) -> None:
    order = list(range(len(drawn[0])))
    random.shuffle(order)
    straight = [np.array(part) for part in drawn]
    for name, metric in OF_LLR.items():
        shuffled = metric(*(part[order] for part in straight))
        assert shuffled == pytest.approx(metric(*straight), abs=1e-12), name


# the bootstrap


def grouped(n_clusters: int = 40, size: int = 10, seed: int = 0) -> tuple[Floats, Bools, Any]:
    """Return rows whose score leans with their cluster, both classes in each cluster."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n_clusters), size)
    is_spoof = np.arange(clusters.size) % 2 == 0
    lean = rng.normal(scale=2.0, size=n_clusters)[clusters]
    return np.where(is_spoof, -1.0, 1.0) + lean + rng.normal(size=clusters.size), is_spoof, clusters


KEYS = [*OF_LLR, *OF_P_SPOOF]


@pytest.mark.parametrize("prior_spoof", [0.5, 0.2])
def test_summary_points_are_the_metrics(prior_spoof: float) -> None:
    llr, is_spoof, _ = example()
    summary = m.summarise(
        llr, is_spoof, np.arange(300) % 50, prior_spoof=prior_spoof, threshold=0.5, n_resamples=2
    )
    rates = m.error_rates(llr, is_spoof, threshold=0.5)
    p_spoof = sigmoid(-llr + np.log(prior_spoof / (1 - prior_spoof)))
    share = np.where(is_spoof, prior_spoof / is_spoof.sum(), (1 - prior_spoof) / (~is_spoof).sum())
    expected = {name: OF_LLR[name](llr, is_spoof) for name in KEYS if name in OF_LLR} | rates
    expected |= {name: f(p_spoof, is_spoof, share) for name, f in OF_P_SPOOF.items()}
    assert {name: interval.value for name, interval in summary.items()} == pytest.approx(expected)
    assert set(summary) == set(KEYS)


def test_perfect_ratios_look_calibrated_at_every_prior() -> None:
    rng = np.random.default_rng(0)
    is_spoof = np.arange(20_000) % 10 < 9  # 90 % spoof, as in ASVspoof
    llr = np.where(is_spoof, -2.0, 2.0) + 2.0 * rng.normal(size=is_spoof.size)  # N(+-2, 4): exact
    clusters = np.arange(is_spoof.size) % 100
    for prior_spoof in (0.1, 0.5, 0.9):
        summary = m.summarise(llr, is_spoof, clusters, prior_spoof=prior_spoof, n_resamples=1)
        assert summary["ece"].value < 0.03
        assert all(interval.low == interval.high for interval in summary.values())  # of one draw
    off = m.summarise(llr + 2.0, is_spoof, clusters, n_resamples=1)
    assert off["ece"].value > 0.1


def test_log_loss_at_even_prior_is_cllr() -> None:
    llr, is_spoof, clusters = grouped()
    summary = m.summarise(llr, is_spoof, clusters, n_resamples=20)
    log_loss, cllr = summary["log_loss"], summary["cllr"]
    nats = [cllr.value * LN(2), cllr.low * LN(2), cllr.high * LN(2)]
    assert [log_loss.value, log_loss.low, log_loss.high] == pytest.approx(nats)


def test_summary_is_json_fixed_by_its_seed_and_holds_the_point() -> None:
    llr, is_spoof, clusters = grouped()
    first = m.summarise(llr, is_spoof, clusters, n_resamples=200, seed=1)
    assert first == m.summarise(llr, is_spoof, clusters, n_resamples=200, seed=1)
    other = m.summarise(llr, is_spoof, clusters, n_resamples=200, seed=2)
    for name, interval in first.items():
        assert interval.low < interval.value < interval.high, name
        assert interval.value == other[name].value, name
        assert interval != other[name], name
    read = json.loads(json.dumps({name: interval.to_json() for name, interval in first.items()}))
    assert {name: m.Interval(**numbers) for name, numbers in read.items()} == first


def test_bootstrap_takes_rows_in_any_order_and_names_or_numbers() -> None:
    llr, is_spoof, clusters = grouped()
    names = np.array([f"speaker {number:03d}" for number in clusters])
    order = np.random.default_rng(0).permutation(llr.size)
    straight = m.bootstrap(llr, is_spoof, clusters, metrics={"eer": m.eer}, n_resamples=50)
    for clusters_as in (names, names.astype(object)):
        shuffled = m.bootstrap(
            llr[order], is_spoof[order], clusters_as[order], metrics={"eer": m.eer}, n_resamples=50
        )
        assert shuffled == straight


def test_bootstrap_passes_whole_clusters_as_integer_weights() -> None:
    llr, is_spoof, clusters = grouped(n_clusters=6)
    of_score = dict(zip(llr.tolist(), clusters.tolist(), strict=True))
    seen = []

    def metric(values: Floats, spoof: Bools, weights: Floats) -> float:
        members = np.array([of_score[value] for value in values.tolist()])
        by_cluster = [set(weights[members == cluster].tolist()) for cluster in range(6)]
        assert all(len(different) == 1 for different in by_cluster)
        assert weights.sum() == llr.size
        assert (np.diff(values) >= 0).all()
        seen.append(tuple(different.pop() for different in by_cluster))
        return float(len(seen))

    interval = m.bootstrap(llr, is_spoof, clusters, metrics={"calls": metric}, n_resamples=101)
    assert seen[0] == (1.0,) * 6
    assert len(set(seen)) > 50
    assert all(times == int(times) for row in seen for times in row)
    # values 1, then 2 ... 102: the percentiles 2.5 and 97.5 of the latter
    assert interval["calls"].to_json() == pytest.approx({"value": 1.0, "low": 4.5, "high": 99.5})


def test_level_sets_the_ends() -> None:
    llr, is_spoof, clusters = grouped()
    counter = iter(range(1000))
    metrics = {"calls": lambda *_: float(next(counter))}
    interval = m.bootstrap(llr, is_spoof, clusters, metrics=metrics, n_resamples=101, level=0.5)
    assert interval["calls"] == m.Interval(0.0, 26.0, 76.0)


def test_clusters_that_share_errors_widen_the_interval() -> None:
    llr, is_spoof, clusters = grouped()
    widths = []
    for names in (clusters, np.arange(llr.size)):
        miss = m.bootstrap(llr, is_spoof, names, metrics=OF_LLR, n_resamples=300)["miss"]
        widths.append(miss.high - miss.low)
    assert widths[0] > 1.5 * widths[1]


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = 0.308_538  # P(N(0.5, 1) < 0)
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        is_spoof = np.arange(300) % 2 == 0
        llr = np.where(is_spoof, -0.5, 0.5) + rng.normal(size=300)
        interval = m.bootstrap(
            llr, is_spoof, np.arange(300), metrics={"eer": m.eer}, n_resamples=100
        )["eer"]
        held += interval.low <= truth <= interval.high
    assert 85 <= held <= 100


def test_a_draw_of_one_class_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    llr, is_spoof, clusters = [1.0, 2.0, 0.0], [False, False, True], ["a", "a", "b"]
    options: dict[str, Any] = {"metrics": {"eer": m.eer}, "n_resamples": 50}
    assert m.bootstrap(llr, is_spoof, clusters, **options) == {"eer": m.Interval(0.0, 0.0, 0.0)}
    monkeypatch.setattr(m, "MAX_DRAWS", 1)
    with pytest.raises(BonafideError, match="1 resamples of 2 clusters had one class") as caught:
        m.bootstrap(llr, is_spoof, clusters, **options)
    assert caught.value.code == "one_class"


def test_interval_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        m.Interval(1.0, 0.0, 2.0).value = 3.0  # type: ignore[misc]


# errors

TWO = [True, False]
CALLS: dict[str, Callable[..., Any]] = {
    **OF_LLR,
    **OF_P_SPOOF,
    "det_curve": lambda scores, is_spoof, weights: m.det_curve(scores, is_spoof),
    "bootstrap": lambda scores, is_spoof, weights: m.bootstrap(
        scores, is_spoof, np.arange(len(scores)), metrics={"eer": m.eer}
    ),
    "summarise": lambda scores, is_spoof, weights: m.summarise(
        scores, is_spoof, np.arange(len(scores))
    ),
}
BAD_ROWS: list[tuple[Any, Any, Any, str, str]] = [
    ([], [], None, "bad_scores", r"shape=\(0,\): must be \(n,\), n >= 1"),
    ([[0.1], [0.2]], [[True], [False]], None, "bad_scores", r"shape=\(2, 1\): must be \(n,\)"),
    ([0.1, 0.2, 0.3], TWO, None, "bad_scores", r"is_spoof.shape=\(2,\): must be \(3,\)"),
    ([0.1, 0.2], [1, 0], None, "bad_scores", r"is_spoof.dtype='int64': must be bool"),
    ([0.1, np.nan], TWO, None, "bad_scores", r"=\[nan\]: must be finite"),
    ([np.inf, 0.2], TWO, None, "bad_scores", r"=\[inf\]: must be finite"),
    (
        [0.1, 0.2],
        [True, True],
        None,
        "one_class",
        "0 bona fide and 2 spoof rows.*each must be at least 1",
    ),
    ([0.1], [False], None, "one_class", "1 bona fide and 0 spoof rows.*each must be at least 1"),
]
BAD_WEIGHTS: list[tuple[Any, Any, Any, str, str]] = [
    ([0.1, 0.2], TWO, [1.0], "bad_scores", r"weights.shape=\(1,\): must be \(2,\)"),
    ([0.1, 0.2], TWO, [1.0, -1.0], "bad_scores", r"weights=\[-1.0\]: must be finite, 0.0 to"),
    ([0.1, 0.2], TWO, [np.nan, 1.0], "bad_scores", r"weights=\[nan\]: must be finite"),
    ([0.1, 0.2], TWO, [0.0, 1.0], "one_class", "1 bona fide and 0 spoof rows with weight"),
]
NO_WEIGHTS = ("det_curve", "bootstrap", "summarise")
BAD = [(name, *row) for name in CALLS for row in BAD_ROWS]
BAD += [(name, *row) for name in CALLS if name not in NO_WEIGHTS for row in BAD_WEIGHTS]
BAD += [
    (name, [0.1, value], TWO, None, "bad_scores", rf"p_spoof=\[{value}\]: .* 0.0 to 1.0")
    for name in OF_P_SPOOF
    for value in (-0.5, 1.5)
]


@pytest.mark.parametrize(("name", "scores", "is_spoof", "weights", "code", "message"), BAD)
def test_bad_rows(
    name: str, scores: Any, is_spoof: Any, weights: Any, code: str, message: str
) -> None:
    with pytest.raises(BonafideError, match=message) as caught:
        CALLS[name](scores, is_spoof, weights)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        (["a"], r"clusters.shape=\(1,\): must be \(2,\)"),
        (["a", "a"], r"clusters=\['a'\]: must be at least 2 distinct ones"),
        ([1.0, np.nan], "clusters.dtype='float64': must be str or int"),
    ],
)
def test_bad_clusters(clusters: Any, message: str) -> None:
    with pytest.raises(BonafideError, match=message) as caught:
        m.bootstrap([0.0, 1.0], TWO, clusters, metrics={"eer": m.eer})
    assert caught.value.code == "bad_scores"


BAD_OPTIONS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    *((f, {"p_spoof": p}, f"p_spoof={p}") for f in (m.min_dcf, m.act_dcf) for p in (0.0, 1.0)),
    *((f, {"c_miss": 0.0}, r"=\(0.0, 10.0\): .* above 0") for f in (m.min_dcf, m.act_dcf)),
    *((f, {"c_fa": np.inf}, r"=\(1.0, inf\): .* finite") for f in (m.min_dcf, m.act_dcf)),
    (m.ece, {"n_bins": 0}, "n_bins=0: must be at least 1"),
    (m.error_rates, {"threshold": np.nan}, "threshold=nan: must be a number"),
    (m.summarise, {"clusters": [0, 1], "prior_spoof": 1.0}, "prior_spoof=1.0: must"),
    (m.summarise, {"clusters": [0, 1], "threshold": np.nan}, "threshold=nan"),
    (m.bootstrap, {"clusters": [0, 1], "metrics": {}, "n_resamples": 0}, "n_resamples=0"),
    (m.bootstrap, {"clusters": [0, 1], "metrics": {}, "level": 1.0}, "level=1.0: .* below 1"),
]


@pytest.mark.parametrize(("call", "options", "message"), BAD_OPTIONS)
def test_bad_options(call: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        call([0.1, 0.2], TWO, **options)
    assert caught.value.code == "bad_metric_option"
