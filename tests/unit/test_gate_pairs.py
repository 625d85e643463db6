"""Two bundles on the same rows: what is measured of both, and what a difference must show."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bonafide.corpora.schema import Corpus, Row
from bonafide.evaluation.metrics import cllr, difference, eer
from bonafide.training.config import GateConfig
from bonafide.training.gate.comparison import compare, rule_on
from bonafide.training.gate.paired import Difference, Pair, _cllrs, _eers, _share
from bonafide.training.served import Answers

Floats = NDArray[np.float64]


def corpus_of(sources: int = 30, each: int = 10) -> Corpus:
    """Return sources of both labels, every third one of them in German."""
    rows = [
        Row(
            f"{row}.wav",
            ("bonafide", "spoof")[row % 2],
            source=f"s{row // each}",
            language="de" if row // each % 3 == 0 else "en",
        )
        for row in range(sources * each)
    ]
    return Corpus(Path("nowhere"), rows)


def answers_of(corpus: Corpus, shift: float = 1.5, seed: int = 0) -> Answers:
    noise = np.random.default_rng(seed).normal(size=len(corpus))
    llr = np.where(corpus.is_spoof, -shift, shift) + noise
    called = np.where(np.abs(llr) < 1, 0, np.sign(llr)).astype(np.int8)
    return Answers(llr, called, np.full(len(corpus), "clean"))


def rulings(pair: Pair, **gate: float) -> dict[str, bool | None]:
    found = compare(pair, "g", "c", leads=True, n_resamples=200, seed=1)
    return {each.rule: each.passed for each in rule_on([found], GateConfig(**gate))}


@st.composite
def weighted(draw: st.DrawFn) -> tuple[Floats, NDArray[np.bool_], Floats]:
    n = draw(st.integers(2, 30))
    llr = draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n))  # ties are common
    weights = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    spoof = [True, False, *draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))]
    weights[:2] = [1, 1]
    return np.array(llr, float), np.array(spoof), np.array(weights, float)


@given(weighted())
@settings(deadline=None)
def test_many_weightings_at_once_are_the_metrics_of_each(
    rows: tuple[Floats, NDArray[np.bool_], Floats],
) -> None:
    llr, spoof, weights = rows
    both = np.stack([np.ones_like(weights), weights])
    for many, one in ((_eers, eer), (_cllrs, cllr)):
        found = many(llr, spoof)(both)
        assert found == pytest.approx([one(llr, spoof), one(llr, spoof, weights)], abs=1e-12)


def test_a_label_without_a_row_has_no_eer() -> None:
    found = _eers(np.arange(4.0), np.array([True, True, False, False]))
    assert np.isnan(found(np.array([[1.0, 1, 0, 0]]))).all()
    shares = _share(np.array([True, False]), np.array([True, True]))
    assert shares(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist() == [0.25, 0.0]


def test_the_interval_is_that_of_the_paired_bootstrap() -> None:
    corpus = corpus_of()
    one, other = answers_of(corpus), answers_of(corpus, seed=1)
    pair = Pair(one, other, corpus)
    found = pair.differences(n_resamples=400, seed=3)["eer"]
    wanted = difference(one.llr, other.llr, corpus.is_spoof, pair.cluster, n_resamples=400, seed=3)
    assert found.value == pytest.approx(wanted.value)
    assert found.low(0.975) == pytest.approx(wanted.low, abs=0.012)  # symmetric here
    assert found.high(0.975) == pytest.approx(wanted.high, abs=0.012)
    assert found.freedom == 29  # of equal sources


def test_one_large_source_counts_for_little() -> None:
    rows = [replace(row, source="s0" if k < 150 else row.source) for k, row in
            enumerate(corpus_of())]  # fmt: skip
    corpus = Corpus(Path("nowhere"), rows)
    pair = Pair(answers_of(corpus), answers_of(corpus), corpus)
    assert pair.n_clusters == 16 and pair.freedom < 4


def test_confidence_widens() -> None:
    found = Difference(0.15, 0.12, 0.01, 30.0)
    assert found.value == pytest.approx(0.03)
    assert found.high(0.95) == pytest.approx(0.03 + 0.01 * 1.697, abs=1e-4)  # Student's t
    assert found.low(0.99) < found.low(0.95) < found.value < found.high(0.95)
    assert Difference(0.1, 0.1, 0.0, 30.0).high(0.999) == 0.0


def test_the_same_answers_pass_every_rule() -> None:
    corpus = corpus_of()
    answers = answers_of(corpus)
    found = rulings(Pair(answers, answers, corpus), margin=0.0)
    assert set(found.values()) == {True}
    assert set(found) == {
        *("EER", "Cllr", "undecided", "language de", "language en"),
        "bona fide called spoof, of those decided",
        "spoofs called bona fide, of those decided",
        "errors in the tenth of the sources that fares worst",
    }


def changed(corpus: Corpus, rows: NDArray[np.bool_], llr: Floats) -> Pair:
    """Return a candidate that answers otherwise to some rows."""
    theirs = answers_of(corpus, 2.5)
    ours = replace(theirs, llr=np.where(rows, llr, theirs.llr))
    called = np.where(np.abs(ours.llr) < 1, 0, np.sign(ours.llr)).astype(np.int8)
    return Pair(replace(ours, called=called), theirs, corpus)


def test_a_language_that_is_sacrificed_is_refused() -> None:
    """German alone becomes worse, and the margin is wide."""
    corpus = corpus_of(60)
    german = corpus.column("language") == "de"
    pair = changed(corpus, german, answers_of(corpus, 0.4, seed=5).llr)
    found = rulings(pair, margin=0.3)
    assert found["EER"] and found["language en"]
    assert not found["language de"]


def test_sources_that_are_sacrificed_are_refused_and_the_worst_is_named() -> None:
    corpus = corpus_of(40)
    few = np.isin(corpus.column("source"), ["s1", "s2", "s4", "s5"])
    pair = changed(corpus, few, np.where(corpus.is_spoof, 3.0, -3.0))
    (first, *others) = rule_on(
        [compare(pair, "g", "c", leads=True, n_resamples=200, seed=1)], GateConfig(margin=0.3)
    )
    refused = {each.rule: each.words for each in others if not each.passed}
    assert first.passed
    said = refused["errors in the tenth of the sources that fares worst"]
    assert "(the worst: s1, 100%)" in said and "the gate refuses above +5.0" in said


def test_wrong_verdicts_refuse_though_the_order_of_scores_is_the_same() -> None:
    corpus = corpus_of(60)
    theirs = answers_of(corpus, 1.0)
    ours = answers_of(corpus, 1.0)
    called = np.where(np.abs(ours.llr) < 0.1, 0, np.sign(ours.llr)).astype(np.int8)
    found = rulings(Pair(replace(ours, called=called), theirs, corpus))
    refused = {name for name, passed in found.items() if not passed}
    assert refused == {
        "bona fide called spoof, of those decided",
        "spoofs called bona fide, of those decided",
    }
    turned = rulings(Pair(theirs, replace(ours, called=called), corpus))
    assert {name for name, passed in turned.items() if not passed} == {"undecided"}


def test_more_rules_ask_for_more_confidence() -> None:
    """What one rule alone would refuse, one of many does not."""
    corpus = corpus_of(40)
    pair = Pair(answers_of(corpus, 1.5), answers_of(corpus, 1.5, seed=1), corpus)
    found = compare(pair, "g", "c", leads=True, n_resamples=50, seed=1)
    loss = Difference(0.30, 0.25, 0.01, 30.0)  # 5 points, at least 3.3 with 95 % confidence
    one = replace(found, differences={"eer": found.differences["eer"], "undecided": loss})
    many = replace(found, differences={**one.differences, **{f"language {k}": replace(
        loss, ours=0.2) for k in range(20)}})  # fmt: skip
    gate = GateConfig.model_validate({"tolerances": {"undecided": 0.03}})
    assert [each.passed for each in rule_on([one], gate)][1:] == [False]
    assert all(each.passed for each in rule_on([many], gate)[1:])


def test_small_languages_are_one_group() -> None:
    rows = [
        replace(row, language=("aa", "bb", "cc", "-")[k // 10 % 4])
        for k, row in enumerate(corpus_of(28))
    ]
    corpus = Corpus(Path("nowhere"), rows)
    pair = Pair(answers_of(corpus), answers_of(corpus), corpus)
    assert {name: int(mask.sum()) for name, mask in pair.groups().items()} == {
        "language others": 210
    }
