"""The gate: what may replace the bundle in production, and what is said where it may not."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from bonafide.bundle import PARENT, ROWS, Bundle, write_bundle
from bonafide.corpora.schema import Corpus, Row
from bonafide.corpora.simulated import simulated_rows
from bonafide.evaluation.evaluate import SIMULATED_NOTE, simulated_note
from bonafide.evaluation.metrics import Interval, difference, eer
from bonafide.home import DEMO, SHIPPED
from bonafide.lineage.rows import HELD_OUT, TRAINING, hide, schema, write_rows
from bonafide.registry import keep, promote
from bonafide.simulation.corpus import _write_clip, plan
from bonafide.training.gate import Decision, incumbent_of
from tests.helpers.gate import (
    Case,
    candidate_in,
    corpus_of,
    llr_of,
    refused,
)


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return candidate_in(tmp_path_factory.mktemp("candidate") / "mine")


@pytest.fixture
def case(tmp_path: Path, candidate: Bundle, monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(tmp_path, candidate, monkeypatch)


class TestComparison:
    def test_a_worse_one_is_refused_with_both_numbers(self, case: Case) -> None:
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 0.5))
        reason = found.reasons[0]
        said = re.fullmatch(
            r"EER (\d\d\.\d) % against (\d\d\.\d) % of default:\d+ \(shipped\) "
            r"on its held-out rows, 240 recordings \(120 bona fide, 120 spoof\) of 40 groups of "
            r"known sources and speakers: \+(\d\d\.\d) points, at most \+\d+\.\d with 95 % "
            r"confidence; the gate allows at most \+2\.5",
            reason,
        )
        assert said, reason
        ours, theirs, worse = map(float, said.groups())
        assert 28 < ours < 42 and 12 < theirs < 20 and abs(ours - theirs - worse) < 0.11
        assert reason == found.compared
        assert case.asked == [("mine", False), ("default", False)]
        assert refused(found)[:2] == ["EER", "Cllr"]  # what is told of it besides

    @pytest.mark.parametrize("shift", [1.0, 2.0])
    def test_one_that_is_no_worse_is_let_through(self, case: Case, shift: float) -> None:
        """The same scores count as no worse: what is hard for both does not count."""
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, shift))
        assert found.reasons == [] and found.promotes
        assert "on its held-out rows, 240 recordings" in found.compared
        assert {ruling.passed for ruling in found.rulings} == {True}

    def test_a_margin_that_is_not_shown_to_be_kept(self, case: Case) -> None:
        corpus = corpus_of(12)
        ours = llr_of(corpus, 0.8, seed=3)
        assert "the gate allows at most +2.5" in case.decided(corpus, ours).reasons[0]
        assert case.decided(corpus, ours, margin=0.6).reasons == []

    def test_out_of_fold_both_are_scored_by_the_middle_window(self, case: Case) -> None:
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 1.0), held_out=False)
        assert case.asked == [("default", True)]
        assert not any("decided" in ruling.rule for ruling in found.rulings)  # scores alone

    def test_only_rows_that_both_can_judge_count(self, case: Case) -> None:
        corpus = corpus_of()
        case.theirs = lambda c: np.where(np.arange(len(c)) < 30, np.nan, llr_of(c, 1.0))
        found = case.decided(corpus, llr_of(corpus, 2.0))
        assert "210 recordings" in found.compared and "of 35 groups" in found.compared

    @pytest.mark.parametrize(
        ("corpus", "said"),
        [
            (corpus_of(9, 60), "270 spoof) of 9 groups"),
            (corpus_of(30, speaker="one"), "90 spoof) of 1 groups"),
            (corpus_of(19, 2), "19 spoof) of 19 groups"),
        ],
    )
    def test_too_few_groups_are_not_compared(self, case: Case, corpus: Corpus, said: str) -> None:
        found = case.decided(corpus, llr_of(corpus, 3.0))
        (reason,) = found.reasons
        assert said in reason
        assert "at least 10 groups and 20 recordings of each label are needed" in reason
        assert case.asked == []  # nothing is scored in vain

    def test_nothing_left_to_compare(self, case: Case) -> None:
        corpus = corpus_of()
        none = np.array([], dtype=np.intp)
        (reason,) = case.decided(corpus, llr_of(corpus, 3.0), rows=none).reasons
        assert "0 recordings (0 bona fide, 0 spoof) of 0 groups" in reason
        case.theirs = lambda c: np.full(len(c), np.nan)  # files that have gone since, say
        (reason,) = case.decided(corpus, llr_of(corpus, 3.0)).reasons
        assert "0 recordings (0 bona fide, 0 spoof) of 0 groups" in reason

    def test_every_rule_says_so(self, case: Case) -> None:
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 0.3), max_eer=0.2)
        assert len(found.reasons) == len(refused(found)) > 2
        assert any("allows 20.0 % at the interval's upper end" in each for each in found.reasons)

    @pytest.mark.parametrize(
        ("rule", "seconds", "gate", "said"),
        [
            ("latency", (2.1, 1.0), {}, "2.10 times as much; the gate allows 2 times"),
            ("latency", (0.5, 1.0), {"max_latency_ratio": 0.4}, "0.50 times"),
            ("size", (1.0, 1.0), {"max_size_ratio": 0.9}, "1.00 times"),
        ],
    )
    def test_what_costs_too_much(
        self,
        case: Case,
        rule: str,
        seconds: tuple[float, float],
        gate: dict[str, float],
        said: str,
    ) -> None:
        corpus = corpus_of()
        case.seconds = seconds
        found = case.decided(corpus, llr_of(corpus, 1.0), **gate)
        assert refused(found) == [rule] and said in found.reasons[0]

    def test_one_that_passed_may_wait_for_a_person(self, case: Case) -> None:
        corpus = corpus_of()
        found = case.decided(corpus, llr_of(corpus, 1.0), approval="manual")
        assert found.reasons == [] and found.waits and not found.promotes
        worse = case.decided(corpus, llr_of(corpus, 0.3), approval="manual")
        assert worse.reasons and not worse.waits and not worse.promotes

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
        assert "of mine:1 on its held-out rows, 240 recordings" in found.reasons[0]

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
        assert "(shipped) on its held-out rows" in worse.reasons[0]
        assert "what is in production cannot be read (" in worse.compared
        assert case.decided(corpus, llr_of(corpus, 2.0)).reasons == []


def nulls(table: pa.Table) -> pa.Table:
    """Forget every sound."""
    empty = pa.nulls(len(table), pa.binary(32))
    return table.set_column(table.column_names.index("sound_sha256"), "sound_sha256", empty)


def texts(table: pa.Table) -> pa.Table:
    """Hold sounds as text."""
    index = table.column_names.index("sound_sha256")
    return table.set_column(index, "sound_sha256", pa.array(["sound"] * len(table)))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no table": lambda path: path.write_bytes(b"x" * 500),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:700]),
    "empty": lambda path: path.write_bytes(b""),
    "a column less": lambda path: write(pq.read_table(path).drop_columns(["speaker"]), path),
    "no row": lambda path: write(pq.read_table(path)[:0], path),
    "no sound": lambda path: write(nulls(pq.read_table(path)), path),
    "sounds as text": lambda path: write(texts(pq.read_table(path)), path),
}


def write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path)


class TestHeard:
    """What the incumbent was trained on would favour it, and is left out on both sides."""

    @pytest.mark.parametrize("hidden", [False, True])
    @pytest.mark.parametrize("held_out", [False, True])
    @pytest.mark.parametrize("prefix", ["", PARENT])
    @pytest.mark.parametrize("by", ["source", "speaker", "sound"])
    def test_what_it_heard_does_not_count(
        self, case: Case, by: str, prefix: str, held_out: bool, hidden: bool
    ) -> None:
        corpus = corpus_of()
        heard = [row for row in corpus if row.source in {f"s{number}" for number in range(25)}]
        if by == "speaker":
            corpus = Corpus(corpus.root, [replace(r, source="-", speaker=r.source) for r in corpus])
            heard = [replace(row, source="-", speaker=row.source) for row in heard]
        if by == "sound":
            heard = [replace(row, source="elsewhere", speaker="-") for row in heard]
        case.sound_of = sound_of
        in_production(case, heard, prefix=prefix, hidden=hidden)
        case.theirs = lambda c: llr_of(c, 1.0 if len(c) == 90 else 9.0)  # it knows those by heart
        found = case.decided(corpus, llr_of(corpus, 2.0), held_out=held_out)
        assert found.reasons == []
        assert "without the 150 recordings that mine:1 heard, 90 recordings" in found.compared

    def test_what_was_held_out_from_it_counts(self, case: Case) -> None:
        corpus = corpus_of()
        case.sound_of = sound_of
        in_production(case, list(corpus), use=HELD_OUT)
        assert "of mine:1 on its held-out rows, 240 recordings" in (
            case.decided(corpus, llr_of(corpus, 1.0)).compared
        )

    def test_nothing_is_left(self, case: Case) -> None:
        corpus = corpus_of()
        in_production(case, list(corpus))
        found = case.decided(corpus, llr_of(corpus, 1.0), held_out=False)
        assert refused(found) == ["rows"] and case.asked == []
        assert (
            "out of fold without the 240 recordings that mine:1 heard: 0 recordings"
            in found.reasons[0]
        )
        assert "name a golden set that neither heard (gate.golden)" in found.reasons[0]

    def test_where_it_is_not_known(self, case: Case) -> None:
        corpus = corpus_of()
        in_production(case, None)
        found = case.decided(corpus, llr_of(corpus, 1.0))
        assert found.promotes and "on its held-out rows, 240 recordings" in found.compared
        assert "; what it was trained on is not known, and may favour it (" in found.compared

    def test_a_parent_that_does_not_tell(self, case: Case) -> None:
        in_production(case, list(corpus_of(5)), adapted=True)
        found = case.decided(corpus_of(), llr_of(corpus_of(), 1.0))
        assert found.promotes and "parent_rows.parquet is missing)" in found.compared

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_rows_that_tell_nothing(self, case: Case, damage: str) -> None:
        in_production(case, list(corpus_of()), damage=DAMAGE[damage])
        found = case.decided(corpus_of(), llr_of(corpus_of(), 1.0))
        assert found.promotes and "may favour it (" in found.compared

    def test_rows_that_the_manifest_does_not_list(self, case: Case) -> None:
        """Somebody put them there: they are none of the bundle's, and lead nobody astray."""
        in_production(case, None)
        folder = incumbent_of(case.root).bundle.folder
        write_rows(table_of(list(corpus_of()), TRAINING), folder / ROWS)
        found = case.decided(corpus_of(), llr_of(corpus_of(), 1.0))
        assert found.promotes and f"{ROWS} is missing)" in found.compared


def sound_of(row: Row) -> str:
    return hashlib.sha256(row.path.encode()).hexdigest()


def in_production(
    case: Case,
    heard: list[Row] | None,
    *,
    prefix: str = "",
    hidden: bool = False,
    use: str = TRAINING,
    adapted: bool = False,
    damage: Callable[[Path], object] | None = None,
) -> None:
    """Put a bundle into production, for another to replace: trained on some rows, or on unknown."""
    manifest = dict(case.bundle.manifest)
    if adapted or prefix:
        manifest |= {"parent": {"name": "first", "version": "1"}, "adaptation": {}}
    folder = shutil.copytree(case.bundle.folder, case.root / "heard")
    for stale in (ROWS, f"{PARENT}{ROWS}"):
        (folder / stale).unlink(missing_ok=True)
    if "adaptation" in manifest:
        shutil.copyfile(folder / "scaler.onnx", folder / "adapter.onnx")
    if heard is not None:
        table = table_of(heard, use)
        write_rows(hide(table) if hidden else table, folder / f"{prefix}{ROWS}")
        if prefix:  # it was adapted on a clip of its own
            write_rows(table_of([Row("own.wav", "spoof")], use), folder / ROWS)
    if damage:
        damage(folder / ROWS)
    promote(case.root, keep(case.root, write_bundle(folder, manifest), {}, "c"), override="a test")
    replaces = shutil.copytree(folder, case.root / "next")
    case.bundle = write_bundle(replaces, {**manifest, "version": "2"})


def table_of(rows: list[Row], use: str) -> pa.Table:
    """Return rows as a bundle keeps them."""
    kept = [
        {**asdict(row), "row": n, "use": use, "sound_sha256": bytes.fromhex(sound_of(row))}
        for n, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(kept, schema())


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


def test_decisions_are_plain() -> None:
    made = Decision(["a"], "b")
    assert Decision.from_json(json.loads(json.dumps(made.to_json()))) == made
