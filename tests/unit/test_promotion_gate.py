"""The gate: what may replace the bundle in production, and what is said where it may not."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks.sounds import speech
from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.corpora.schema import Corpus, Row
from bonafide.corpora.simulated import simulated_rows
from bonafide.detector import Detector
from bonafide.evaluation.evaluate import DECISION, SIMULATED_NOTE, evaluate, simulated_note
from bonafide.evaluation.metrics import Interval, difference, eer
from bonafide.home import DEMO, SHIPPED
from bonafide.registry import keep, promote
from bonafide.simulation.corpus import _write_clip, plan
from bonafide.training.audit import Audit
from bonafide.training.config import Config, parse_config
from bonafide.training.extraction import training_windows
from bonafide.training.folds import make_folds
from bonafide.training.gate import MIN_GROUPS, Decision, decide, incumbent_of
from bonafide.training.judgement import Judgement, Outcome
from bonafide.training.recordings import MEASURES, Recordings
from bonafide.training.served import score_recordings
from bonafide.training.sides import LONE_NOTE, Sides

Floats = NDArray[np.float64]
CHANCE = Interval(0.5, 0.4, 0.6)
RATE_HZ = 16_000


def corpus_of(sources: int = 40, each: int = 6, **columns: str) -> Corpus:
    labels = ("bonafide", "spoof")
    return Corpus(
        Path("nowhere"),
        [
            Row(f"{row}.wav", labels[row % 2], **{"source": f"s{row // each}", **columns})
            for row in range(sources * each)
        ],
    )


def llr_of(corpus: Corpus, shift: float, seed: int = 0) -> Floats:
    """Return scores whose EER falls as `shift` rises: 0 is chance."""
    rng = np.random.default_rng(seed)
    return np.where(corpus.is_spoof, -shift, shift) + rng.normal(size=len(corpus))


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Another bundle than the shipped one, which the gate never runs."""
    folder = tmp_path_factory.mktemp("candidate") / "mine"
    shutil.copytree(SHIPPED, folder)
    return write_bundle(folder, {**read_bundle(folder).manifest, "name": "mine", "version": "1"})


class Case:
    """A candidate to decide on, and how often what it would replace was scored."""

    def __init__(self, root: Path, bundle: Bundle, patch: pytest.MonkeyPatch) -> None:
        self.root, self.bundle = root, bundle
        self.theirs: Callable[[Corpus], Floats] = lambda corpus: llr_of(corpus, 1.0)
        self.asked: list[tuple[str, bool]] = []
        patch.setattr("bonafide.training.gate.score_recordings", self.scored)

    def scored(
        self, bundle: Bundle, corpus: Corpus, *, middle: bool, **_: Any
    ) -> tuple[Floats, ...]:
        self.asked.append((bundle.identity["name"], middle))
        return (self.theirs(corpus),) * 3

    def decided(
        self,
        corpus: Corpus,
        llr: Floats,
        *,
        rows: NDArray[np.intp] | None = None,
        held_out: bool = True,
        **gate: float,
    ) -> Decision:
        rows = np.arange(len(corpus)) if rows is None else rows
        found = evaluate({DECISION: llr}, corpus, title="t", prior_spoof=0.5, resamples=50)
        outcome = Outcome(found if held_out else None, found, Audit(CHANCE, CHANCE, {}), {})
        recordings = Recordings(
            corpus, np.array([row.path for row in corpus]), np.zeros((len(corpus), len(MEASURES)))
        )
        config: Config = parse_config({"resamples": 200, "gate": gate}, "c")
        judgement = Judgement(outcome, "", rows, llr[rows])
        return decide(self.root, self.bundle, judgement, recordings, config)


@pytest.fixture
def case(tmp_path: Path, candidate: Bundle, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(tmp_path, candidate, monkeypatch)


class TestComparison:
    def test_a_worse_one_is_refused_with_both_numbers(self, case: Case) -> None:
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 0.5))
        (reason,) = found.reasons
        said = re.fullmatch(
            r"EER (\d\d\.\d) % against (\d\d\.\d) % of default:\d+ \(shipped\) "
            r"on the same 240 rows: \+(\d\d\.\d) points \[\+\d+\.\d, \+\d+\.\d\] "
            r"over 40 groups of sources and speakers; "
            r"the gate allows \+2\.0 at the interval's upper end \(rows that default:\d+ "
            r"\(shipped\) was trained on favour it\); kept as mine:1, not promoted",
            reason,
        )
        assert said, reason
        ours, theirs, worse = map(float, said.groups())
        assert 28 < ours < 42 and 12 < theirs < 20 and abs(ours - theirs - worse) < 0.11
        assert reason.startswith(found.compared)
        assert case.asked == [("default", False)]

    @pytest.mark.parametrize("shift", [1.0, 2.0])
    def test_one_that_is_no_worse_is_let_through(self, case: Case, shift: float) -> None:
        """The same scores count as no worse: what is hard for both does not count."""
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, shift))
        assert found.reasons == []
        assert " on the same 240 rows: " in found.compared

    def test_a_margin_that_its_interval_passes(self, case: Case) -> None:
        corpus = corpus_of(12)
        ours = llr_of(corpus, 0.8, seed=3)
        assert "the gate allows +2.0" in case.decided(corpus, ours).reasons[0]
        assert case.decided(corpus, ours, margin=0.6).reasons == []

    def test_out_of_fold_both_are_scored_by_the_middle_window(self, case: Case) -> None:
        corpus = corpus_of()
        case.decided(corpus, llr_of(corpus, 1.0), held_out=False)
        assert case.asked == [("default", True)]

    def test_only_rows_that_both_can_judge_count(self, case: Case) -> None:
        corpus = corpus_of()
        case.theirs = lambda c: np.where(np.arange(len(c)) < 30, np.nan, llr_of(c, 1.0))
        found = case.decided(corpus, llr_of(corpus, 2.0))
        assert "on the same 210 rows" in found.compared and "over 35 groups" in found.compared

    @pytest.mark.parametrize(
        ("corpus", "said"),
        [
            (corpus_of(MIN_GROUPS - 1, 60), "270 spoof) of 9 groups"),
            (corpus_of(30, speaker="one"), "90 spoof) of 1 groups"),
        ],
    )
    def test_too_few_groups_are_not_compared(self, case: Case, corpus: Corpus, said: str) -> None:
        found = case.decided(corpus, llr_of(corpus, 3.0))
        (reason,) = found.reasons
        assert said in reason and "at least 10 groups and both labels are needed" in reason
        assert reason.endswith("kept as mine:1, not promoted")
        assert case.asked == []  # nothing is scored in vain

    def test_nothing_left_to_compare(self, case: Case) -> None:
        corpus = corpus_of()
        none = np.array([], dtype=np.intp)
        (reason,) = case.decided(corpus, llr_of(corpus, 3.0), rows=none).reasons
        assert "0 recordings (0 bona fide, 0 spoof) of 0 groups" in reason
        case.theirs = lambda c: np.full(len(c), np.nan)  # files that have gone since, say
        (reason,) = case.decided(corpus, llr_of(corpus, 3.0)).reasons
        assert "0 recordings (0 bona fide, 0 spoof) of 0 groups" in reason

    def test_both_gates_say_so(self, case: Case) -> None:
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 0.3), max_eer=0.2)
        assert len(found.reasons) == 2
        assert "the gate allows 20.0 % at the interval's upper end" in found.reasons[0]

    def test_a_difference_is_paired(self) -> None:
        corpus = corpus_of()
        one, other = llr_of(corpus, 1.0), llr_of(corpus, 1.0, seed=1)
        source = corpus.column("source")
        same = difference(one, one, corpus.is_spoof, source, n_resamples=50)
        assert same == Interval(0.0, 0.0, 0.0)
        found = difference(one, other, corpus.is_spoof, source, n_resamples=50)
        assert found.value == eer(one, corpus.is_spoof) - eer(other, corpus.is_spoof)
        assert found.low < found.value < found.high
        turned = difference(other, one, corpus.is_spoof, source, n_resamples=50)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


class TestIncumbent:
    def test_the_same_bundle_again_is_no_failure(self, case: Case) -> None:
        kept = keep(case.root, case.bundle, {}, "card")
        promote(case.root, kept, override="a test")
        case.bundle = kept
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 0.0))
        assert found == Decision([], "mine:1 is in production already.")
        assert case.asked == []

    def test_the_one_in_production_counts(self, case: Case, tmp_path: Path) -> None:
        kept = keep(case.root, case.bundle, {}, "card")
        promote(case.root, kept, override="a test")
        case.bundle = write_bundle(
            shutil.copytree(kept.folder, tmp_path / "next"), {**kept.manifest, "version": "2"}
        )
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 0.35))
        assert "of mine:1 on the same 240 rows" in found.reasons[0]
        assert found.reasons[0].endswith("kept as mine:2, not promoted")

    @pytest.mark.parametrize("damage", ["note", "gone", "altered", "no graph"])
    def test_a_damaged_one_gives_way_to_the_shipped(self, case: Case, damage: str) -> None:
        kept = keep(case.root, case.bundle, {}, "card")
        promote(case.root, kept, override="a test")
        if damage == "note":
            shutil.rmtree(case.root / "journal")
            (case.root / "production.json").write_text("{")
        elif damage == "gone":
            shutil.rmtree(kept.folder)
        else:
            (kept.folder / "detector.onnx").write_bytes(b"no graph")
        if damage == "no graph":
            write_bundle(kept.folder, kept.manifest)  # each hash is right
        assert incumbent_of(case.root).bundle.folder == SHIPPED
        corpus = corpus_of()
        worse = case.decided(corpus, llr_of(corpus, 0.35))
        assert "(shipped) on the same" in worse.reasons[0]
        assert "what is in production cannot be read (" in worse.reasons[0]
        assert case.decided(corpus, llr_of(corpus, 2.0)).reasons == []


MARKS = [
    {"corpus": "simulated"},
    {"corpus": " Simulated"},
    {"source": "simulated/room-3"},
    {"source": "simulated"},
    {"speaker": "sim:s03"},
    {"path": "audio/sim_00012.flac"},
    {"path": "audio\\sim_00012.wav"},
]


class TestSimulated:
    @pytest.mark.parametrize("mark", MARKS)
    @pytest.mark.parametrize("part", [1, 240])
    def test_none_is_promoted_outside_of_the_demo(
        self, case: Case, mark: dict[str, str], part: int
    ) -> None:
        corpus = corpus_of()
        rows = [replace(row, **mark) if k < part else row for k, row in enumerate(corpus)]
        corpus = Corpus(corpus.root, rows)
        found = case.decided(corpus, llr_of(corpus, 3.0))
        (reason,) = found.reasons
        assert reason.startswith(f"{part} of 240 recordings are simulated")
        assert f"a file {DEMO}" in reason
        assert (simulated_note(corpus) == (SIMULATED_NOTE,)) == (part == 240)
        assert len(simulated_note(corpus)) == 1
        (case.root / DEMO).touch()
        assert case.decided(corpus, llr_of(corpus, 3.0)).reasons == []
        assert len(case.decided(corpus, llr_of(corpus, 3.0), max_eer=0.001).reasons) == 1
        assert case.asked == []

    def test_the_demo_s_home_is_no_way_round_for_others(self, case: Case) -> None:
        (case.root / DEMO).touch()
        corpus = corpus_of()
        assert case.decided(corpus, llr_of(corpus, 0.35)).reasons

    def test_what_the_simulation_makes_bears_every_mark(self, tmp_path: Path) -> None:
        rows = plan(48, 6)
        for kept in ("corpus", "source", "speaker", "path"):
            bare = [Row("a.wav", row.label) for row in rows]
            marked = [
                replace(b, **{kept: getattr(r, kept)}) for b, r in zip(bare, rows, strict=True)
            ]
            assert simulated_rows(Corpus(tmp_path, marked)).all(), kept
        assert not simulated_rows(Corpus(tmp_path, bare)).any()
        assert simulated_note(Corpus(tmp_path, bare)) == ()
        (tmp_path / "simulated.json").write_text("{}")
        assert simulated_rows(Corpus(tmp_path / "audio", bare)).all()  # whatever the manifest says
        assert simulated_rows(Corpus(tmp_path, [])).tolist() == []

    def test_the_files_tell_it_under_any_name(self, tmp_path: Path) -> None:
        row = replace(plan(48, 6)[1], path="mine_1.flac")
        _write_clip(tmp_path, 0, 1, row)
        soundfile.write(tmp_path / "other.flac", np.zeros(16_000), 16_000)
        rows = [Row(name, "spoof") for name in ("mine_1.flac", "other.flac", "none.flac")]
        assert simulated_rows(Corpus(tmp_path, rows)).tolist() == [True, False, False]

    def test_a_name_that_no_file_can_have_is_not_simulated(self, tmp_path: Path) -> None:
        rows = [Row(path, "spoof") for path in (f"{'x' * 5000}/a.wav", "a\0b/c.wav", "\ud800/a")]
        assert not simulated_rows(Corpus(tmp_path, rows)).any()

    def test_others_are_not_taken_for_it(self) -> None:
        row = Row(
            "simone_1.flac",
            "spoof",
            system="griffin_lim",
            corpus="simulated-rooms",
            speaker="simon",
        )
        assert not simulated_rows(Corpus(Path("c"), [row])).any()


def sides_of(corpus: Corpus) -> Sides:
    return Sides(corpus, make_folds(corpus, count=3, test_share=0.2, seed=1))


def with_split(*, sources: bool, speakers: bool) -> Corpus:
    """Return 20 sources, the last four held out; some of their sources or speakers trained on."""
    rows = []
    for k, row in enumerate(corpus_of(20, 6, speaker="-")):
        number, test = k // 6, k // 6 >= 16
        source = "s0" if sources and number == 19 else row.source
        speaker = f"v{number % 10 if speakers else number}"
        split = "test" if test else "train"
        rows.append(replace(row, source=source, speaker=speaker, split=split))
    return Corpus(Path("nowhere"), rows)


class TestSides:
    def test_whole_sources(self) -> None:
        sides = sides_of(corpus_of())
        assert sides.title() == "Held-out sources, as served"
        assert (sides.unheard(), sides.notes()) == ("sources it never heard", ())
        np.testing.assert_array_equal(sides.never_heard, sides.folds.is_test)

    def test_whole_speakers(self) -> None:
        rows = [replace(r, source="-", speaker=f"v{k // 6}") for k, r in enumerate(corpus_of())]
        sides = sides_of(Corpus(Path("c"), rows))
        assert sides.title() == "Held-out speakers, as served"
        assert sides.unheard() == "speakers it never heard"

    def test_rows_of_nobody(self) -> None:
        sides = sides_of(corpus_of(source="-"))
        assert sides.title() == "Held-out rows, as served"
        assert sides.unheard() == "recordings it never heard"
        assert sides.notes() == (LONE_NOTE,)
        assert not sides.never_heard.any()  # who knows

    def test_a_split_of_its_own_that_is_clean(self) -> None:
        sides = sides_of(with_split(sources=False, speakers=False))
        assert sides.title() == "Held-out sources, as served"
        assert sides.never_heard.sum() == 24

    @pytest.mark.parametrize(
        ("sources", "speakers", "counted", "examples", "clean"),
        [
            (False, True, "4 speakers", "speaker v6, v7, v8 ...", 0),
            (True, False, "1 source", "source s0", 18),
            (True, True, "4 speakers and 1 source", "v8 ...; source s0", 0),
        ],
    )
    def test_a_split_that_shares_is_titled_what_it_is(
        self, sources: bool, speakers: bool, counted: str, examples: str, clean: int
    ) -> None:
        sides = sides_of(with_split(sources=sources, speakers=speakers))
        assert sides.title() == f"Held-out rows, {counted} on both sides, as served"
        assert sides.unheard() == f"held-out recordings, with {counted} on both sides"
        (note,) = sides.notes()
        assert counted in note and examples in note
        assert sides.never_heard.sum() == clean  # what the gate looks at


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Eleven seconds of a voice, three of it, silence, and what is no sound."""
    folder = tmp_path_factory.mktemp("spoken")
    voice = speech(11.0)
    sounds = {"long": voice, "short": voice[: 3 * RATE_HZ], "silent": np.zeros(5 * RATE_HZ)}
    for name, sound in sounds.items():
        soundfile.write(folder / f"{name}.wav", sound, RATE_HZ)
    (folder / "text.wav").write_text("no sound\n" * 100)
    names = ("long", "silent", "text", "short", "gone")
    return Corpus(folder, [Row(f"{name}.wav", "bonafide") for name in names])


def test_recordings_are_scored_as_they_are_served(spoken: Corpus) -> None:
    bundle, steps = read_bundle(SHIPPED), list[tuple[int, int]]()
    llr, models, stack = score_recordings(bundle, spoken, progress=lambda *s: steps.append(s))
    assert steps == [(5, 5)]
    assert np.isnan(llr).tolist() == [False, True, True, False, True]
    assert (models.shape, stack.shape) == ((5, len(bundle.models)), (5, 2))
    detector = Detector(bundle)
    for row in (0, 3):
        served = detector.score(spoken.audio_path(spoken.rows[row]))
        wanted = np.array(list(served.models.values()), dtype=np.float64)  # None: not asked
        assert llr[row] == served.llr
        np.testing.assert_array_equal(models[row], wanted)
        assert stack[row].tolist() == list(served.stack.values())
    assert len(detector.score(spoken.audio_path(spoken.rows[0])).segments) > 1
    assert score_recordings(bundle, spoken.take([]))[0].shape == (0,)


def test_or_by_the_window_that_is_trained_on(spoken: Corpus) -> None:
    bundle = read_bundle(SHIPPED)
    corpus = spoken.take([0, 3])
    llr, _, _ = score_recordings(bundle, corpus, middle=True)
    windows = training_windows([corpus.audio_path(row) for row in corpus], bundle.spec)
    np.testing.assert_allclose(llr, Detector(bundle).score_windows(windows)[0], atol=1e-6)
    whole, _, _ = score_recordings(bundle, corpus)
    assert abs(llr[0] - whole[0]) > 1e-3 and abs(llr[1] - whole[1]) < 1e-3


def test_decisions_are_plain() -> None:
    made = Decision(["a"], "b")
    assert Decision.from_json(json.loads(json.dumps(made.to_json()))) == made
