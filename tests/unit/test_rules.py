"""Rules: calibration, route and thresholds by channel, set on the training side alone."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus, Row
from bonafide.judging import p_spoof_of
from bonafide.training.config import CascadeConfig, Config, parse_config
from bonafide.training.folds import TEST, Folds
from bonafide.training.recordings import Recordings
from bonafide.training.rules import Answers, Route, Rules, _fit_route, fit_rules
from bonafide.training.stacking import Calibration
from bonafide.training.thresholds import MIN_ROWS, best_ends, wrong
from tests.helpers.routers import router_of

Floats = NDArray[np.float64]


def scores(n: int, distance: float, seed: int = 0) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw llrs of as many spoofs as bona fide rows."""
    rng = np.random.default_rng(seed)
    is_spoof = np.arange(n) % 2 == 1
    return np.where(is_spoof, -distance, distance) + rng.normal(size=n), is_spoof


class TestBestEnds:
    @staticmethod
    def decided(llr: Floats, is_spoof: NDArray[np.bool_], ends: Any, allowed: float) -> float:
        """Return how much of both labels two ends decide rightly, -1 if too much is wrong."""
        high, low = (
            end if end is not None else side for end, side in zip(ends, (9e9, -9e9), strict=True)
        )
        if not low < high:
            return -1.0
        total = 0.0
        for label in (False, True):
            mine = llr[is_spoof == label]
            good, bad = np.mean(mine >= high), np.mean(mine <= low)
            good, bad = (bad, good) if label else (good, bad)
            if bad > allowed * (good + bad) + 1e-12:
                return -1.0
            total += good
        return total

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("allowed", [0.01, 0.06, 0.25])
    def test_no_two_others_decide_more(self, seed: int, allowed: float) -> None:
        llr, is_spoof = scores(40, 0.8, seed)
        tried = [None, *np.unique(llr)]  # fewer than are tried: all of them are
        best = max(self.decided(llr, is_spoof, ends, allowed) for ends in product(tried, repeat=2))
        found = self.decided(llr, is_spoof, best_ends(llr, is_spoof, allowed), allowed)
        assert found >= 0.0
        assert found == pytest.approx(best, abs=0.06)  # thresholds lie between rows

    @pytest.mark.parametrize("distance", [0.5, 1.0, 3.0])
    def test_few_of_the_decided_are_wrong(self, distance: float) -> None:
        llr, is_spoof = scores(2_000, distance)
        high, low = best_ends(llr, is_spoof, 0.06)
        assert self.decided(llr, is_spoof, (high, low), 0.06) > 0
        more = best_ends(llr, is_spoof, 0.2)
        few, many = (self.decided(llr, is_spoof, ends, 0.2) for ends in ((high, low), more))
        assert many >= few

    def test_a_side_that_cannot_be_told_is_never_given(self) -> None:
        """Spoofs that look genuine stand above every bona fide row: none may be called so."""
        llr, is_spoof = scores(400, 2.0)
        llr[is_spoof & (np.arange(400) % 4 == 1)] += 9.0
        high, low = best_ends(llr, is_spoof, 0.001)
        assert high is None and low is not None
        high, low = best_ends(-llr, ~is_spoof, 0.001)
        assert high is not None and low is None

    def test_a_few_right_verdicts_make_no_threshold(self) -> None:
        llr, is_spoof = scores(400, 0.0)
        llr[:6] = [9, -9, 9, -9, 9, -9]  # three of either label that are sure and right
        high, low = best_ends(llr, is_spoof, 0.001)
        assert high is not None and low is not None
        assert best_ends(llr, is_spoof, 0.001, least=20) == (None, None)
        llr[:60:2] = 9
        high, low = best_ends(llr, is_spoof, 0.001, least=20)
        assert high is not None and low is None

    def test_noise_decides_next_to_nothing(self) -> None:
        llr, is_spoof = scores(4_000, 0.0)
        assert self.decided(llr, is_spoof, best_ends(llr, is_spoof, 0.02), 0.02) < 0.05


class TestWrong:
    CALL = np.array([1, 1, -1, 0, 1, -1, -1, 0])
    IS_SPOOF = np.array([0, 0, 0, 0, 1, 1, 1, 1], bool)

    def test_of_the_decided_of_one_label(self) -> None:
        ones = np.ones(8)
        assert wrong(self.CALL, self.IS_SPOOF, ones, of_spoofs=False) == pytest.approx(1 / 3)
        assert wrong(self.CALL, self.IS_SPOOF, ones, of_spoofs=True) == pytest.approx(1 / 3)
        heavy = np.where(self.CALL == -1, 2.0, 1.0)
        assert wrong(self.CALL, self.IS_SPOOF, heavy, of_spoofs=False) == pytest.approx(0.5)

    def test_where_nothing_is_decided_nothing_is_wrong(self) -> None:
        assert wrong(0 * self.CALL, self.IS_SPOOF, np.ones(8), of_spoofs=True) == 0.0


class TestRoute:
    CHANNELS = ("clean", "opus", "codec")

    def test_asks_about_the_doubtful_and_about_what_is_not_spared(self) -> None:
        route = Route(2.0, 0.5, ("clean", "codec"))
        posteriors = np.array([[0.9, 0.05, 0.05], [0.3, 0.6, 0.1], [0.3, 0.4, 0.3]])
        p = route.p_spared(posteriors, self.CHANNELS)
        np.testing.assert_allclose(p, [0.95, 0.4, 0.6])
        np.testing.assert_array_equal(route.asks(np.full(3, 5.0), p), [False, True, False])
        np.testing.assert_array_equal(route.asks(np.array([-1.9, -9, 2.0]), p), [True, True, False])
        assert Route.from_json(route.to_json()) == route

    def test_channels_that_are_not_known_are_not_missed(self) -> None:
        route = Route(0.0, 0.5, ("clean", "codec"))
        np.testing.assert_allclose(route.p_spared(np.ones((2, 4, 1)), ("clean",)), np.ones((2, 4)))

    @pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.7, 1.0])
    def test_a_share_of_the_recordings_goes_on(self, share: float) -> None:
        rng = np.random.default_rng(0)
        llr, p_clean = rng.normal(0, 3, 1_000), np.where(np.arange(1_000) < 300, 0.1, 0.9)
        route = _fit_route(llr, p_clean, CascadeConfig(share=share))
        asked = route.asks(llr, p_clean)
        assert asked.mean() == pytest.approx(max(share, 0.3), abs=0.002)  # others always go on
        kept = np.abs(llr[300:])[~asked[300:]]
        assert share == 1.0 or np.abs(llr[300:])[asked[300:]].max(initial=0) <= kept.min()


N_ROWS, STRETCHES, CHANNELS = 240, ("clean", "clean", "opus"), ("clean", "opus")


def recordings() -> Recordings:
    rows = [
        Row(f"{n}.wav", ("bonafide", "spoof")[n % 2], source=f"source {n // 4}")
        for n in range(N_ROWS)
    ]
    return Recordings(Corpus(Path("nowhere"), rows), np.array(["x"] * N_ROWS), np.zeros((1, 1)))


def folds() -> Folds:
    source = np.arange(N_ROWS) // 4
    return Folds(source, np.where(source % 4 == 3, TEST, source % 4))


def stage(prefix: str, distance: float, seed: int, slope: float = 1.0) -> Any:
    """Return as much of a stage as rules ask for: scores (n_rows, n_stretches)."""
    rng = np.random.default_rng(seed)
    signs = np.where(np.arange(N_ROWS) % 2 == 1, -1.0, 1.0)[:, None]
    llr = distance * signs + rng.normal(0, (2 * distance) ** 0.5, (N_ROWS, len(STRETCHES)))
    chosen = 1 / (1 + np.exp(llr / slope))
    return SimpleNamespace(prefix=prefix, chosen=chosen.astype(np.float32))


def rules_of(*stages: Any, **values: Any) -> Rules:
    config = parse_config({"resamples": 50, **values}, "x")
    sure = np.eye(2, dtype=np.float32)[[0, 0, 1]]
    router = router_of(np.tile(sure, (N_ROWS, 1, 1)), 3, CHANNELS)
    given = recordings(), folds(), STRETCHES, config
    return fit_rules(stages, router, *given, window_s=4.0)


LOOSE = {"max_held_out": 0.99}  # thresholds are what is asked, whatever is held out


class TestFitRules:
    def test_one_stage_has_no_route(self) -> None:
        found = rules_of(stage("", 3.0, 1))
        assert found.route is None and len(found.calibrations) == len(found.answers) == 1
        assert found.llr.shape == (N_ROWS, len(STRETCHES), 1)
        np.testing.assert_array_equal(found.decision, found.llr[:, 0, 0])
        assert found.answers[0].asked == 0.0

    def test_scores_are_calibrated(self) -> None:
        found = rules_of(stage("", 3.0, 1, slope=0.5))
        assert found.calibrations[0].slope == pytest.approx(0.5, rel=0.35)

    def test_who_is_asked_gets_the_second_answer(self) -> None:
        first, second = stage("fast_", 1.0, 1), stage("", 4.0, 2)
        found = rules_of(first, second, cascade={"share": 0.5})
        route, (before, after) = found.route, np.moveaxis(found.llr, -1, 0)
        assert route is not None and route.spared == ("clean", "codec")
        own = [c.llr(s.chosen) for c, s in zip(found.calibrations, (first, second), strict=True)]
        np.testing.assert_array_equal(before, own[0])
        asked = np.abs(own[0]) < route.doubt_llr
        asked[:, 2] = True  # Opus is not spared
        np.testing.assert_array_equal(after, np.where(asked, own[1], own[0]))
        side = ~folds().is_test
        assert found.answers[-1].asked == pytest.approx(asked[side, 0].mean())
        assert found.answers[-1].asked == pytest.approx(0.5, abs=0.02)

    def test_the_second_calibration_is_of_what_is_asked(self) -> None:
        """Where nobody else is asked, only Opus counts: the slope is that of its scores."""
        first, second = stage("fast_", 4.0, 1), stage("", 4.0, 2)
        odds = np.log(second.chosen[:, 2] / (1 - second.chosen[:, 2]))
        second.chosen[:, 2] = 1 / (1 + np.exp(-odds / 0.5))
        found = rules_of(first, second, cascade={"share": 0.0})
        assert found.answers[-1].asked == 0.0
        assert found.calibrations[0].slope == pytest.approx(1.0, rel=0.4)
        assert found.calibrations[1].slope == pytest.approx(0.5, rel=0.4)

    def test_every_channel_has_thresholds_and_errors(self) -> None:
        found = rules_of(stage("", 2.0, 1), decision=LOOSE).answers[0]
        assert list(found.thresholds["channels"]) == list(found.channel_errors) == list(CHANNELS)
        low, high = Config().decision.undecided
        assert (found.thresholds["bonafide_to"], found.thresholds["spoof_from"]) == (low, high)
        assert found.thresholds["distance_to"] == pytest.approx(1.0)
        n_side = int((~folds().is_test).sum())
        for name, errors in found.channel_errors.items():
            assert errors["rows"] == n_side  # recordings, or copies; no crops
            decision = Config().decision
            allowed = decision.max_wrong_clean if name == "clean" else decision.max_wrong
            assert allowed is not None
            for kind in ("bonafide_called_spoof", "spoof_called_bonafide"):
                assert errors[kind]["low"] <= errors[kind]["value"] <= errors[kind]["high"]
                assert errors[kind]["value"] <= allowed + 0.06  # of few rows
            assert 0.0 <= errors["undecided"] < 1.0

    def test_errors_are_those_of_the_verdicts(self) -> None:
        found = rules_of(stage("", 2.0, 1), decision=LOOSE)
        llr, is_spoof, fold = found.llr[:, 2, 0], recordings().corpus.is_spoof, folds().fold
        none = []
        for number in range(3):  # each fold by the thresholds of the others
            rest = (fold != number) & (fold != TEST)
            allowed = Config().decision.max_wrong
            assert allowed is not None
            high, low = best_ends(llr[rest], is_spoof[rest], allowed, MIN_ROWS)
            own = llr[fold == number]
            none += ((own < (high or 9e9)) & (own > (low or -9e9))).tolist()
        errors = found.answers[0].channel_errors["opus"]
        assert errors["undecided"] == pytest.approx(np.mean(none), abs=0.011)  # a row on the edge

    def test_errors_are_not_those_of_the_rows_that_thresholds_are_fitted_on(self) -> None:
        """There the larger share keeps to what is allowed; elsewhere it is larger."""
        side, is_spoof, seen, unseen = ~folds().is_test, recordings().corpus.is_spoof, [], []
        kinds = {False: "bonafide_called_spoof", True: "spoof_called_bonafide"}
        for seed in range(12):
            found = rules_of(stage("", 1.0, seed), decision={**LOOSE, "max_wrong": 0.1})
            ends = found.answers[0].thresholds["channels"]["opus"]
            p = p_spoof_of(found.llr[side, 2, 0], 0.5)
            call = np.where(p >= (ends["spoof_from"] or 2), -1.0, 0.0)
            call = np.where(p <= (ends["bonafide_to"] or -1), 1.0, call)
            errors = found.answers[0].channel_errors["opus"]
            for label, kind in kinds.items():
                ones = np.ones(len(call))
                seen.append(wrong(call, is_spoof[side], ones, of_spoofs=label))
                unseen.append(errors[kind]["value"])
        assert max(seen) <= 0.1 + 1e-9
        assert np.mean(unseen) > np.mean(seen) + 0.005

    @pytest.mark.parametrize("seed", range(6))
    def test_what_is_held_out_keeps_to_its_limit_or_gets_no_verdict(self, seed: int) -> None:
        kinds = ("bonafide_called_spoof", "spoof_called_bonafide")
        loose, strict = (
            rules_of(stage("", 1.0, seed), decision=decision).answers[0]
            for decision in ({**LOOSE, "max_wrong": 0.15}, {"max_wrong": 0.15})
        )
        errors = [found.channel_errors["opus"] for found in (loose, strict)]
        assert max(errors[1][kind]["value"] for kind in kinds) <= Config().decision.max_held_out
        if max(errors[0][kind]["value"] for kind in kinds) > Config().decision.max_held_out:
            assert errors[1]["undecided"] > errors[0]["undecided"]
        else:
            assert strict == loose

    def test_where_no_verdict_is_given_nothing_is_decided(self) -> None:
        decision = {"max_wrong": 0.0001}
        found = rules_of(stage("", 0.2, 1), decision=decision).answers[0]
        assert found.thresholds["channels"]["opus"] == {"bonafide_to": None, "spoof_from": None}
        assert found.channel_errors["opus"]["undecided"] == 1.0

    def test_without_allowed_errors_the_costs_decide(self) -> None:
        decision = {"max_wrong": None, "max_wrong_clean": None}
        thresholds = rules_of(stage("", 2.0, 1), decision=decision).answers[0].thresholds
        low, high = Config().decision.undecided
        costs = {"bonafide_to": low, "spoof_from": high}
        assert thresholds["channels"] == dict.fromkeys(CHANNELS, costs)

    def test_a_channel_of_few_rows_has_none_of_its_own(self) -> None:
        posteriors = np.tile(np.eye(2, dtype=np.float32)[[0, 0, 0]], (N_ROWS, 1, 1))
        posteriors[: 2 * MIN_ROWS - 8, 0] = [0.0, 1.0]
        router = router_of(posteriors, 3, CHANNELS)
        given = recordings(), folds(), STRETCHES, parse_config({"resamples": 50}, "x")
        found = fit_rules([stage("", 2.0, 1)], router, *given, window_s=4.0).answers[0]
        assert list(found.thresholds["channels"]) == list(found.channel_errors) == ["clean"]

    def test_scores_of_test_rows_decide_nothing(self) -> None:
        one, other = (stage("", 2.0, 1) for _ in range(2))
        other.chosen[folds().is_test] = 0.5
        found, again = rules_of(one), rules_of(other)
        assert (found.calibrations, found.answers) == (again.calibrations, again.answers)


def test_rules_are_what_they_were_when_they_are_read(tmp_path: Path) -> None:
    found = rules_of(stage("fast_", 1.0, 1), stage("", 3.0, 2))
    found.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["llr.npy", "rules.json"]
    read = Rules.load(tmp_path)
    assert read.digest() == found.digest()
    assert (read.route, read.answers) == (found.route, found.answers)
    assert read.calibrations == found.calibrations
    assert isinstance(read.calibrations[0], Calibration) and isinstance(read.answers[0], Answers)
    np.testing.assert_array_equal(read.llr, found.llr)
    assert read.facts() == found.facts()
