"""Answers: verdicts by channel, what they come to, and the errors of sources."""

from pathlib import Path

import numpy as np
import pytest

from bonafide.evaluation.metrics import eer
from research.answers import (
    BONAFIDE,
    SPOOF,
    UNDECIDED,
    UNNAMED,
    answers_of,
    calls,
    errors,
    keep_answers,
    outcomes,
)
from research.source_errors import (
    apart,
    eer_threshold,
    mean_of_sources,
    own_eers,
    relative_gain,
)

MANIFEST = {
    "prior_spoof": 0.5,
    "channels": [{"name": "clean"}, {"name": "opus"}, {"name": "telephone"}],
    "thresholds": {
        "bonafide_to": 0.2,
        "spoof_from": 0.8,
        "channels": {
            "opus": {"bonafide_to": 0.1, "spoof_from": 0.95},
            "telephone": {"bonafide_to": None, "spoof_from": 0.8},
        },
        "distance_to": 5.0,
    },
}
LLR = np.array([1.8, -1.8, 0.0, 3.0, -4.0])


class TestCalls:
    @pytest.mark.parametrize(
        ("channel", "expected"),
        [
            (0, [1, -1, 0, 1, -1]),
            (1, [0, 0, 0, 1, -1]),
            (2, [0, -1, 0, 0, -1]),  # a verdict that is never given
            (UNNAMED, [1, -1, 0, 1, -1]),
        ],
    )
    def test_a_channel_has_thresholds_of_its_own(self, channel: int, expected: list[int]) -> None:
        found = calls(LLR, np.full(5, channel), MANIFEST, np.zeros(5))
        assert found.tolist() == expected

    def test_what_is_unlike_all_channels_is_undecided(self) -> None:
        distance = np.array([0.0, 5.0, 5.1, 9.0, 5.0])
        found = calls(LLR, np.zeros(5, int), MANIFEST, distance)
        assert found.tolist() == [1, -1, 0, 0, -1]

    def test_thresholds_are_inclusive(self) -> None:
        even = {"prior_spoof": 0.5, "thresholds": {"bonafide_to": 0.5, "spoof_from": 0.5}}
        found = calls(np.array([0.0, 0.1]), np.full(2, UNNAMED), even, np.zeros(2))
        assert found.tolist() == [SPOOF, BONAFIDE]  # as `verdict_of` decides

    def test_a_graph_s_outputs_become_answers(self) -> None:
        outputs = {"llr": LLR, "channel": np.eye(3)[[0, 1, 2, 2, 0]], "distance": np.zeros(5)}
        found = answers_of(outputs, MANIFEST)
        assert found["channel"].tolist() == [0, 1, 2, 2, 0]
        assert found["called"].tolist() == [1, 0, 0, 0, -1]
        plain = answers_of({"llr": LLR}, MANIFEST)
        assert plain["channel"].tolist() == [UNNAMED] * 5
        np.testing.assert_allclose(plain["llr"], LLR, rtol=1e-6)


def test_outcomes_are_shares_of_what_was_decided() -> None:
    called = np.array([BONAFIDE, UNDECIDED, SPOOF, SPOOF, BONAFIDE, SPOOF])
    is_spoof = np.array([False, False, False, True, True, True])
    assert outcomes(called, is_spoof) == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    weights = np.array([1.0, 1, 2, 1, 1, 1])
    twice = outcomes(np.append(called, SPOOF), np.append(is_spoof, False))
    assert outcomes(called, is_spoof, weights) == pytest.approx(twice)
    assert outcomes(np.zeros(6), is_spoof).tolist() == [1, 0, 0]


def test_errors_are_counted_with_intervals_over_sources() -> None:
    rng = np.random.default_rng(0)
    is_spoof, source = np.arange(400) % 2 == 1, np.arange(400) // 20
    wrong = rng.random(400) < 0.1
    called = np.where(is_spoof ^ wrong, SPOOF, BONAFIDE).astype(np.int8)
    called[:60] = UNDECIDED
    undecided, (real, fake) = errors(called, is_spoof, source, resamples=200)
    assert (undecided.value, real.decided, fake.decided) == (0.15, 170, 170)
    assert real.wrong == int(np.sum(wrong[60:] & ~is_spoof[60:]))
    assert fake.share.value == pytest.approx(fake.wrong / fake.decided)
    assert 0.02 < real.share.low < real.share.value < real.share.high < 0.2
    assert real.counts and fake.counts
    few = np.where(np.arange(400) < 40, called[::-1], UNDECIDED).astype(np.int8)
    assert not any(found.counts for found in errors(few, is_spoof, source, resamples=5)[1])


def test_answers_of_several_bundles_are_kept_in_one_file(tmp_path: Path) -> None:
    path, found = tmp_path / "answers.npz", answers_of({"llr": LLR}, MANIFEST)
    keep_answers(path, **{"fast|1": found[:2], "default|1": found})
    keep_answers(path, **{"fast|1": found})
    with np.load(path) as file:
        assert set(file.files) == {"fast|1", "default|1"}
        np.testing.assert_array_equal(file["fast|1"], found)


class TestSources:
    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Four sources that tell the labels apart, each at its own level; one has one label."""
        rng = np.random.default_rng(0)
        source, is_spoof = np.repeat(np.arange(5), 20), np.tile(np.arange(20) % 2 == 1, 5)
        is_spoof[80:] = True
        llr = rng.normal(size=100) * 0.1 + np.where(is_spoof, -1.0, 1.0) + 6.0 * source
        llr[:5] = -llr[:5]  # some errors in the first
        return llr, is_spoof, source

    def test_each_has_its_own_error(self) -> None:
        llr, is_spoof, source = self.rows()
        own = own_eers(llr, is_spoof, source)
        assert len(own) == 4 and own[0] > 0 and not own[1:].any()
        assert own[0] == eer(llr[:20], is_spoof[:20])
        assert eer(llr, is_spoof) > own.mean() + 0.2  # levels differ from source to source
        found = mean_of_sources(own, resamples=100)
        assert found.value == pytest.approx(own.mean())
        assert found.low <= found.value <= found.high

    def test_a_gain_is_relative_and_paired(self) -> None:
        theirs = np.array([0.1, 0.2, 0.3, 0.05])
        found = relative_gain(0.8 * theirs, theirs, resamples=100)
        assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))

    def test_labels_lie_apart_where_a_channel_shifts_scores(self) -> None:
        rng = np.random.default_rng(1)
        is_spoof, source = np.arange(600) % 2 == 1, np.arange(600) // 30
        llr = rng.normal(size=600) + np.where(is_spoof, -1.0, 1.0)
        threshold = eer_threshold(llr, is_spoof)
        alike = apart(llr, is_spoof, source, threshold, resamples=50)
        assert abs(alike["apart"].value) <= 0.004
        assert alike["miss"].value == pytest.approx(eer(llr, is_spoof), abs=0.004)
        shifted = apart(llr + 1, is_spoof, source, threshold, resamples=50)
        assert shifted["apart"].high < -0.2
        assert shifted["false_alarm"].value > 0.3 > 0.1 > shifted["miss"].value
