"""Groups and folds: nothing that must stay whole is ever cut."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bonafide.corpora.schema import UNKNOWN, Corpus, Row
from bonafide.errors import CorpusError
from bonafide.training.config import FoldsConfig
from bonafide.training.folds import (
    TEST,
    _require_both_labels_without_two,
    connected_groups,
    fixed_folds,
    hold_out,
    make_folds,
    source_id,
    split_corpus,
)


def corpus_of(rows: Sequence[tuple[str, str, str]], split: str = UNKNOWN) -> Corpus:
    """Make a corpus of (label, source, speaker)."""
    made = [
        Row(path=f"{number}.wav", label=label, source=source, speaker=speaker, split=split)
        for number, (label, source, speaker) in enumerate(rows)
    ]
    return Corpus(Path("nowhere"), made)


def brute_force_groups(corpus: Corpus) -> list[int]:
    """Merge groups over all pairs of rows until nothing changes."""
    group = list(range(len(corpus)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(corpus):
            for j, other in enumerate(corpus):
                linked = any(
                    getattr(one, name) == getattr(other, name) != UNKNOWN
                    for name in ("source", "speaker")
                )
                if linked and group[i] != group[j]:
                    group[i] = group[j] = min(group[i], group[j])
                    changed = True
    return group


def same_partition(one: Sequence[int], other: Sequence[int]) -> bool:
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other))


names = st.sampled_from([UNKNOWN, "a", "b", "c", "d", "e", "f"])
any_rows = st.lists(st.tuples(st.sampled_from(["bonafide", "spoof"]), names, names), max_size=14)


class TestConnectedGroups:
    @given(any_rows.filter(bool))
    @settings(max_examples=80, deadline=None)
    def test_equals_brute_force(self, rows: list[tuple[str, str, str]]) -> None:
        corpus = corpus_of(rows)
        group = connected_groups(corpus)
        assert group.dtype == np.int64
        assert same_partition(group.tolist(), brute_force_groups(corpus))
        assert sorted(set(group.tolist())) == list(range(len(set(group.tolist()))))

    def test_a_chain_is_one_group(self) -> None:
        rows = [("spoof", "a", "1"), ("spoof", "b", "2"), ("spoof", "c", "1"), ("spoof", "b", "3")]
        group = connected_groups(corpus_of([*rows, ("bonafide", "c", "2")]))
        assert len(set(group.tolist())) == 1

    def test_source_and_speaker_of_one_name_are_two_things(self) -> None:
        group = connected_groups(corpus_of([("spoof", "anna", "-"), ("spoof", "-", "anna")]))
        assert len(set(group.tolist())) == 2

    def test_rows_with_neither_known_stand_alone(self) -> None:
        rows = [("spoof", "-", "-"), ("spoof", "a", "-"), ("bonafide", "-", "-")]
        group = connected_groups(corpus_of([*rows, ("bonafide", "a", "-")])).tolist()
        assert group[1] == group[3]
        assert len({group[0], group[1], group[2]}) == 3

    def test_all_unknown(self) -> None:
        group = connected_groups(corpus_of([("spoof", "-", "-")] * 5))
        assert sorted(group.tolist()) == list(range(5))


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """Random corpora whose sources hold one label or both, some speakers in several sources."""
    n_sources = draw(st.integers(6, 20))
    rows: list[tuple[str, str, str]] = []
    for source in range(n_sources):
        labels = draw(st.sampled_from([("bonafide",), ("spoof",), ("bonafide", "spoof")]))
        for _ in range(draw(st.integers(1, 5))):
            speaker = draw(st.sampled_from([UNKNOWN, UNKNOWN, f"own {source}", "s1", "s2", "s3"]))
            name = draw(st.sampled_from([f"source {source}"] * 4 + [UNKNOWN]))
            rows.append((draw(st.sampled_from(labels)), name, speaker))
    order = draw(st.randoms(use_true_random=False))
    order.shuffle(rows)
    return corpus_of(rows)


def values_in(corpus: Corpus, mask: Any, name: str) -> set[str]:
    return set(corpus.column(name)[mask].tolist()) - {UNKNOWN}


class TestMakeFolds:
    @given(corpora(), st.integers(2, 4), st.sampled_from([0.1, 0.2, 0.3, 0.5]), st.integers(0, 99))
    @settings(max_examples=35, deadline=None)
    def test_sources_and_speakers_are_never_cut(
        self, corpus: Corpus, count: int, share: float, seed: int
    ) -> None:
        try:
            folds = make_folds(corpus, count=count, test_share=share, seed=seed)
        except CorpusError as error:
            assert error.code == "too_few_groups"
            assume(False)
            raise
        assert folds.count == count
        assert set(folds.fold.tolist()) == {TEST, *range(count)}
        assert (folds.is_test == (folds.fold == TEST)).all()
        parts = [folds.fold == number for number in (TEST, *range(count))]
        for name in ("source", "speaker"):
            for number, part in enumerate(parts):
                rest = np.logical_or.reduce([p for k, p in enumerate(parts) if k != number])
                shared = values_in(corpus, part, name) & values_in(corpus, rest, name)
                assert shared == set()
        assert len(set(corpus.is_spoof[folds.is_test].tolist())) == 2
        for number in range(count):  # whatever is left out, both classes can be learned
            side = (folds.fold != number) & ~folds.is_test
            assert len(set(corpus.is_spoof[side].tolist())) == 2

    @given(corpora(), st.integers(0, 99))
    @settings(max_examples=12, deadline=None)
    def test_seed_decides(self, corpus: Corpus, seed: int) -> None:
        try:
            one, other = (
                make_folds(corpus, count=3, test_share=0.2, seed=seed).fold for _ in range(2)
            )
        except CorpusError:
            assume(False)
            raise
        np.testing.assert_array_equal(one, other)

    def test_other_seeds_give_other_folds(self) -> None:
        corpus = many_sources(40)
        folds = [make_folds(corpus, count=4, test_share=0.2, seed=seed) for seed in range(4)]
        assert len({folds_.fold.tobytes() for folds_ in folds}) == 4
        assert len({folds_.group.tobytes() for folds_ in folds}) == 1

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize(("count", "share"), [(4, 0.2), (2, 0.3), (5, 0.1)])
    def test_balanced(self, seed: int, count: int, share: float) -> None:
        corpus = many_sources(80)
        folds = make_folds(corpus, count=count, test_share=share, seed=seed)
        n_rows, spoofs = len(corpus), corpus.is_spoof.mean()
        assert folds.is_test.mean() == pytest.approx(share, abs=0.05)
        expected = (1 - folds.is_test.mean()) / count
        for number in range(count):
            part = folds.fold == number
            assert part.sum() / n_rows == pytest.approx(expected, rel=0.25)
            assert corpus.is_spoof[part].mean() == pytest.approx(spoofs, abs=0.1)

    @pytest.mark.parametrize("name", ["test", "eval", "TEST", "Eval"])
    def test_the_manifests_test_side_is_honoured(self, name: str) -> None:
        corpus = many_sources(20)
        marked = [
            Row(**{**vars(row), "split": name if number % 7 == 3 else "train"})
            for number, row in enumerate(corpus)
        ]
        folds = make_folds(Corpus(corpus.root, marked), count=3, test_share=0.4, seed=0)
        assert folds.is_test.tolist() == [number % 7 == 3 for number in range(len(corpus))]
        assert set(folds.fold.tolist()) == {TEST, 0, 1, 2}
        for source in set(corpus.column("source").tolist()):
            rows = (corpus.column("source") == source) & ~folds.is_test
            assert len(set(folds.fold[rows].tolist())) == 1

    @pytest.mark.parametrize("name", ["train", "dev", "validation", "testing", "-"])
    def test_other_splits_are_not(self, name: str) -> None:
        corpus = many_sources(20)
        marked = [Row(**{**vars(row), "split": name}) for row in corpus]
        folds = make_folds(Corpus(corpus.root, marked), count=3, test_share=0.2, seed=5)
        plain = make_folds(corpus, count=3, test_share=0.2, seed=5)
        np.testing.assert_array_equal(folds.fold, plain.fold)

    @pytest.mark.parametrize("split", [UNKNOWN, "train", "test", "eval"])
    @pytest.mark.parametrize("count", [2, 4])
    def test_a_share_of_none_puts_every_row_into_a_fold(self, split: str, count: int) -> None:
        plain = many_sources(40)
        marked = [
            Row(**{**vars(row), "split": split if number % 3 == 0 else UNKNOWN})
            for number, row in enumerate(plain)
        ]
        corpus = Corpus(plain.root, marked)
        folds = make_folds(corpus, count=count, test_share=0.0, seed=0)
        assert not folds.is_test.any()
        assert folds.count == count
        assert set(folds.fold.tolist()) == set(range(count))
        for group in range(int(folds.group.max()) + 1):
            assert len(set(folds.fold[folds.group == group].tolist())) == 1
        assert np.bincount(folds.fold).min() > 0.75 * len(corpus) / count
        for number in range(count):
            assert len(set(corpus.is_spoof[folds.fold != number].tolist())) == 2

    def test_rows_of_nobody_are_spread(self) -> None:
        rows = [(label, "-", "-") for label in ("bonafide", "spoof")] * 50
        folds = make_folds(corpus_of(rows), count=4, test_share=0.2, seed=1)
        assert np.bincount(folds.fold + 1).tolist() == [20, 20, 20, 20, 20]

    @pytest.mark.parametrize(
        ("rows", "count", "match"),
        [
            (
                [("bonafide", "a", "-"), ("spoof", "a", "-")] * 9,
                2,
                r"1 of 1 groups .* hold bonafide rows; 2 parts need at least 2: add sources",
            ),
            (
                [("bonafide", "a", "-"), ("bonafide", "b", "-"), ("spoof", "c", "-")] * 9,
                2,
                r"1 of 3 groups .* hold spoof rows; 2 parts",
            ),
            (
                [("bonafide", "a", "x"), ("spoof", "b", "x"), ("spoof", "c", "-")] * 9,
                2,
                r"1 of 2 groups .* hold bonafide rows",
            ),
            (
                [("bonafide", f"r{k}", "-") for k in range(4)]
                + [("spoof", f"s{k}", "-") for k in range(4)],
                4,
                r"[123] of [2-6] groups .* hold (bonafide|spoof) rows; 4 parts need at least 4"
                r".*lower folds\.count",
            ),
        ],
    )
    def test_too_few_groups(self, rows: list[tuple[str, str, str]], count: int, match: str) -> None:
        with pytest.raises(CorpusError, match=match) as caught:
            make_folds(corpus_of(rows), count=count, test_share=0.2, seed=0)
        assert caught.value.code == "too_few_groups"

    @pytest.mark.parametrize("label", ["bonafide", "spoof"])
    def test_a_test_side_of_one_label_stops_at_once(self, label: str) -> None:
        rows = [
            Row(**{**vars(row), "split": "test" if row.label == label else "-"})
            for row in corpus_of([(("bonafide", "spoof")[k % 2], "s", "-") for k in range(40)])
        ]
        with pytest.raises(CorpusError, match=f"20 rows whose split is test .* {label}; both") as e:
            make_folds(Corpus(Path("c"), rows), count=3, test_share=0.2, seed=0)
        assert e.value.code == "one_class"

    def test_everything_marked_as_test(self) -> None:
        rows = [("bonafide", "a", "-"), ("spoof", "b", "-")]
        with pytest.raises(CorpusError, match=r"0 of 0 groups .* hold bonafide rows") as caught:
            make_folds(corpus_of(rows, split="test"), count=2, test_share=0.2, seed=0)
        assert caught.value.code == "too_few_groups"


def many_sources(n: int) -> Corpus:
    """Make sources of 4 to 12 rows, half of them with both labels."""
    rng = np.random.default_rng(n)
    rows = []
    for source in range(n):
        labels = (("bonafide", "spoof"), ("bonafide",), ("bonafide", "spoof"), ("spoof",))
        size = int(rng.integers(4, 13))
        rows += [(str(rng.choice(labels[source % 4])), f"s{source}", "-") for _ in range(size)]
    return corpus_of(rows)


class TestHoldOut:
    @given(corpora(), st.sampled_from([0.05, 0.15, 0.3, 0.5, 0.9]), st.integers(0, 99))
    @settings(max_examples=35, deadline=None)
    def test_whole_groups_and_both_classes_on_both_sides(
        self, corpus: Corpus, share: float, seed: int
    ) -> None:
        group, is_spoof = connected_groups(corpus), corpus.is_spoof
        try:
            held = hold_out(is_spoof, group, share, seed)
        except CorpusError as error:
            assert error.code == "too_few_groups"
            return
        assert set(group[held].tolist()) & set(group[~held].tolist()) == set()
        assert len(set(is_spoof[held].tolist())) == 2
        assert len(set(is_spoof[~held].tolist())) == 2

    @pytest.mark.parametrize("share", [0.1, 0.15, 0.25, 0.5])
    def test_about_the_share(self, share: float) -> None:
        corpus = many_sources(80)
        held = hold_out(corpus.is_spoof, connected_groups(corpus), share, 3)
        assert held.mean() == pytest.approx(share, abs=0.04)

    def test_few_groups_give_a_larger_part_than_asked_for(self) -> None:
        rows = [(label, f"s{k}", "-") for k in range(3) for label in ("bonafide", "spoof")] * 5
        corpus = corpus_of(rows)
        held = hold_out(corpus.is_spoof, connected_groups(corpus), 0.05, 0)
        assert held.mean() == pytest.approx(1 / 3)

    def test_two_groups_are_the_least(self) -> None:
        group = np.zeros(8, dtype=np.int64)
        with pytest.raises(CorpusError, match=r"1 of 1 groups .* 2 parts need at least 2"):
            hold_out(np.arange(8) % 2 == 0, group, 0.2, 0)


def test_two_folds_left_out_must_leave_both_labels() -> None:
    """Nested scores come from models that saw neither of two folds; one label teaches nothing."""
    rows = [("bonafide" if n % 2 else "spoof", f"s{n}", f"s{n}") for n in range(18)]
    corpus = corpus_of(rows)
    folds = make_folds(corpus, count=3, test_share=0.0, seed=0)
    is_spoof = corpus.is_spoof
    assert all(len(set(is_spoof[folds.fold == number])) == 2 for number in range(3))
    one_label = np.where(folds.fold == 2, True, is_spoof)
    with pytest.raises(CorpusError, match="without folds 0 and 1 of 3 no row of one") as error:
        _require_both_labels_without_two(one_label, folds.fold, 3)
    assert error.value.code == "too_few_groups"


class TestFixedFolds:
    ROWS = tuple(
        (label, source, f"{source}{n}")
        for source in "abcd"
        for n, label in enumerate(("bonafide", "spoof"))
    )

    def test_sources_go_where_it_says_by_name_or_by_hash(self) -> None:
        fold_of = {"a": 0, source_id("b"): 1, "c": 2, "d": TEST, "elsewhere": 1}
        folds = fixed_folds(corpus_of(self.ROWS), fold_of)
        assert folds.fold.tolist() == [0, 0, 1, 1, 2, 2, TEST, TEST]
        assert folds.count == 3
        with pytest.raises(CorpusError, match="no fold for 1 of 4 sources") as error:
            fixed_folds(corpus_of(self.ROWS), {"a": 0, "b": 1, "c": 2})
        assert error.value.code == "no_fold"

    def test_speakers_stay_whole(self) -> None:
        rows = [*self.ROWS, ("spoof", "b", "a0")]
        with pytest.raises(CorpusError, match=r"0\.wav: shares speakers") as error:
            fixed_folds(corpus_of(rows), {"a": 0, "b": 1, "c": 2, "d": 2})
        assert error.value.code == "split_speaker"

    def test_labels_must_remain_without_two_folds(self) -> None:
        rows = [row for row in self.ROWS if row[0] == "spoof" or row[1] in "ab"]
        with pytest.raises(CorpusError, match="without folds 0 and 1 of 3") as error:
            fixed_folds(corpus_of(rows), {"a": 0, "b": 1, "c": 2, "d": 2})
        assert error.value.code == "too_few_groups"

    def test_the_configuration_decides_whether_folds_are_drawn(self) -> None:
        corpus, fold_of = corpus_of(self.ROWS * 3), {"a": 0, "b": 1, "c": 2, "d": 0}
        fixed = split_corpus(corpus, FoldsConfig(count=3, test_share=0.5, of=fold_of), seed=1)
        assert fixed.fold.tolist() == [0, 0, 1, 1, 2, 2, 0, 0] * 3
        drawn = split_corpus(corpus, FoldsConfig(count=3, test_share=0.0), seed=1)
        wanted = make_folds(corpus, count=3, test_share=0.0, seed=1)
        np.testing.assert_array_equal(drawn.fold, wanted.fold)
