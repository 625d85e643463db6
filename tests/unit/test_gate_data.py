"""What the gate says of the data: poisoned corpora, and the golden set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonafide.bundle import Bundle
from bonafide.corpora.schema import Corpus
from bonafide.training.golden import GoldenSet, freeze_held_out
from bonafide.training.recordings import Quarantine
from tests.helpers.gate import Case, candidate_in, corpus_of, llr_of, recordings_of, refused


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return candidate_in(tmp_path_factory.mktemp("candidate") / "mine")


@pytest.fixture
def case(tmp_path: Path, candidate: Bundle, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(tmp_path, candidate, monkeypatch)


class TestPoison:
    """A corpus that cannot be right is refused, however good the candidate looks."""

    def test_labels_exchanged_in_one_source(self, case: Case) -> None:
        corpus = corpus_of(20, 16)
        rows = [
            replace(row, label="spoof" if row.label == "bonafide" else "bonafide")
            if row.source == "s7"
            else row
            for row in corpus
        ]
        llr = llr_of(corpus, 2.0)  # by what never heard them, and what the sound tells
        found = case.decided(Corpus(corpus.root, rows), llr)
        assert refused(found) == ["labels"]
        assert "s7 (16 recordings, AUC 0.0" in found.reasons[0]
        assert "as if its labels were exchanged" in found.reasons[0]
        trusted = case.decided(Corpus(corpus.root, rows), llr, trusted_sources=["s7"])
        assert trusted.reasons == []

    @pytest.mark.parametrize(("small", "says"), [(1, None), (2, False)])
    def test_one_small_source_alone_is_told_and_refuses_nobody(
        self, case: Case, small: int, says: bool | None
    ) -> None:
        corpus = corpus_of(40, 12)  # six of either label
        llr = llr_of(corpus, 2.0)
        llr[np.isin(corpus.column("source"), ["s7", "s8"][:small])] *= -1
        case.theirs = lambda c: np.array([case.llr[row.path] for row in c])
        (found,) = [each for each in case.decided(corpus, llr).rulings if each.rule == "labels"]
        assert found.passed is says and "s7 (12 recordings" in found.words
        assert ("one source this small refuses nobody" in found.words) == (small == 1)

    def test_a_source_that_it_knows_nothing_of_is_no_poison(self, case: Case) -> None:
        corpus = corpus_of(20, 16)
        llr = llr_of(corpus, 2.0)
        new = corpus.column("source") == "s7"
        llr[new] = np.random.default_rng(1).normal(size=new.sum())
        case.theirs = lambda c: np.array([case.llr[row.path] for row in c])
        assert case.decided(corpus, llr).reasons == []

    @pytest.mark.parametrize(
        ("twins", "said"),
        [
            ({"s1": 6}, "source s9 repeats s1: 6 of 12 recordings sound the same"),
            ({"s9": 6}, "source s9 repeats itself: 6 of 12"),
            ({"s1": 4, "s2": 3}, "source s9 repeats s1: 7 of 13"),
            ({"s1": 5}, ""),  # under a half
        ],
    )
    def test_a_source_that_is_there_twice(
        self, case: Case, twins: dict[str, int], said: str
    ) -> None:
        corpus = corpus_of()
        case.quarantine = Quarantine([], 300, {"s9": twins})
        found = case.decided(corpus, llr_of(corpus, 1.0))
        assert refused(found) == (["repeated sources"] if said else [])
        assert said in " ".join(found.reasons)


@pytest.fixture
def golden(case: Case, tmp_path: Path) -> GoldenSet:
    """Twenty sources that nothing was trained on, in files that nobody decodes."""
    rows = [replace(row, source=f"g{row.source}") for row in corpus_of(20)]
    for row in rows:
        (tmp_path / row.path).write_text(row.path)
    recordings = recordings_of(Corpus(tmp_path, rows))
    kept = replace(recordings, sha256=np.char.add("golden-", recordings.sha256))
    found = freeze_held_out(case.root, kept, np.arange(120), "test", most=999, seed=1)
    assert found
    return found


def on_golden(case: Case, golden: GoldenSet, shift: float) -> None:
    """Have the candidate answer to the golden set with an EER that falls as `shift` rises."""
    llr = llr_of(golden.corpus, shift)
    case.llr |= {row.path: float(v) for row, v in zip(golden.corpus, llr, strict=True)}


class TestGolden:
    def test_it_leads_and_the_candidate_s_own_rows_do_not(
        self, case: Case, golden: GoldenSet
    ) -> None:
        corpus = corpus_of()
        on_golden(case, golden, 1.2)
        found = case.decided(corpus, llr_of(corpus, 1.0), min_rows=20)
        assert found.reasons == [] and found.golden == golden.sha256
        assert f"(shipped) on {golden.name}, 120 recordings" in found.compared
        assert [who for who, _ in case.asked] == ["mine", "default"] * 2
        led = [each for each in found.rulings if "the gate allows at most +2.5" in each.words]
        assert len(led) == 1
        assert any("on its held-out rows" in each.words for each in found.rulings)

    def test_a_candidate_that_is_good_on_its_own_rows_alone_is_refused(
        self, case: Case, golden: GoldenSet
    ) -> None:
        """A poisoned corpus has a poisoned held-out side, on which what learned from it shines."""
        corpus = corpus_of()
        on_golden(case, golden, 0.3)
        found = case.decided(corpus, llr_of(corpus, 3.0))
        assert refused(found)[0] == "EER" and golden.name in found.reasons[0]

    def test_one_that_is_good_on_it_alone_is_refused_too(
        self, case: Case, golden: GoldenSet
    ) -> None:
        corpus = corpus_of()
        on_golden(case, golden, 3.0)
        found = case.decided(corpus, llr_of(corpus, 0.5))
        assert "EER" in refused(found)
        assert all("its held-out rows" in reason for reason in found.reasons)

    def test_rows_of_its_own_are_none_of_the_golden_set_s(
        self, case: Case, golden: GoldenSet
    ) -> None:
        """Where all held-out rows are in the golden set, they are not compared twice."""
        on_golden(case, golden, 1.2)
        corpus = corpus_of(20)
        sounds = dict(zip(corpus, golden.sounds, strict=True))
        case.sound_of = lambda row: sounds[row]
        llr = np.array([case.llr[row.path] for row in golden.corpus])
        found = case.decided(corpus, llr)
        assert found.reasons == [] and len(case.asked) == 2
        (few,) = [each for each in found.rulings if each.passed is None]
        assert "on its held-out rows: 0 recordings" in few.words

    @pytest.mark.parametrize(("heard", "left"), [(60, 60), (72, 48)])
    def test_what_it_heard_of_it_does_not_count(
        self, case: Case, golden: GoldenSet, heard: int, left: int
    ) -> None:
        on_golden(case, golden, 1.2)
        rows = [replace(row, source=f"g{row.source}") for row in corpus_of(heard // 6)]
        others = [replace(row, path=f"other/{row.path}") for row in corpus_of()]
        corpus = Corpus(Path("nowhere"), [*rows, *others])
        trained = np.arange(len(corpus)) < heard
        own = np.flatnonzero(~trained)
        found = case.decided(corpus, llr_of(corpus, 1.0), rows=own, trained=trained)
        said = f"on {golden.name} without the {heard} recordings that it heard"
        assert said in found.compared and f"{left} recordings (" in found.compared
        assert refused(found) == ([] if left >= 60 else ["rows"])  # of ten groups, or of eight

    def test_its_labels_in_the_corpus_must_be_its_own(self, case: Case, golden: GoldenSet) -> None:
        on_golden(case, golden, 1.2)
        corpus = corpus_of(20)
        sounds = dict(zip(corpus.rows[::-1], golden.sounds, strict=True))  # of the other label
        case.sound_of = lambda row: sounds[row]
        found = case.decided(corpus, llr_of(corpus, 1.0))
        assert refused(found) == ["labels of the golden set"]
        assert f"120 recordings of {golden.name} have the other label" in found.reasons[0]

    def test_one_that_was_changed_refuses(self, case: Case, golden: GoldenSet) -> None:
        golden.corpus.audio_path(golden.corpus.rows[0]).write_text("another")
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 1.0))
        assert refused(found) == ["golden set"]
        assert "the golden set cannot be read" in found.reasons[0] and case.asked == []
