"""The record of what a service answered, and alarms where that drifts."""

import json
import os
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bonafide.artifact import file_sha256
from bonafide.bundle import Bundle
from bonafide.cli import main
from bonafide.corpora import read_corpus
from bonafide.errors import BonafideError, StorageError
from bonafide.history import BLANK
from bonafide.monitoring import record as recording
from bonafide.monitoring.drift import windows
from bonafide.monitoring.feedback import measured
from bonafide.monitoring.record import RECORD, REFERENCE_ROWS, Answered, Record
from bonafide.registry import promote
from bonafide.training.schedule.drift import Drift
from bonafide.training.schedule.triggers import Size
from tests.helpers.lineages import files_of, keep_with_lineage
from tests.helpers.traffic import TELEPHONES, answers

SEEDS, QUIET_ROWS = 20, 2000


class TestRecord:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        record, written = Record(tmp_path / RECORD), answers(1, 50)
        assert record.read() == []
        record.add(written[:20])
        record.add(written[20:])
        assert record.read() == record.read("b") == written
        assert [each.rank for each in record.read()] == list(range(1, 51))
        assert record.read("other") == []
        assert record.read(since=30.0) == written[30:]

    def test_the_newest_stay_and_the_first_of_each_bundle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "REFERENCE_ROWS", 10)
        record = Record(tmp_path / RECORD, most_rows=30)
        first, second = answers(1, 100), answers(2, 50, bundle="c")
        for each in (*first, *second):
            record.add([each])
        assert record.read("b") == first[:10]
        assert record.read("c") == second[:10] + second[20:]

    def test_many_workers_at_once(self, tmp_path: Path) -> None:
        def write(seed: int) -> None:
            for each in answers(seed, 25):
                Record(tmp_path / RECORD).add([each])

        threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(Record(tmp_path / RECORD).read()) == 100

    def test_a_file_names_all_answers_to_it(self, tmp_path: Path) -> None:
        record, (first, *others) = Record(tmp_path / RECORD), answers(1, 5)
        record.add([first, *others, replace(first, request_id="again", bundle="c")])
        record.label(first.file.upper(), "spoof")
        assert [each.label for each in record.read()] == ["spoof", *[""] * 4, "spoof"]

    def test_one_from_before_files_were_named_is_gone_on_with(self, tmp_path: Path) -> None:
        record, drawn = Record(tmp_path / RECORD), answers(1, 6)
        record.add(drawn[:3])
        with sqlite3.connect(record.path) as database:
            database.execute("DROP INDEX by_file")
            database.execute("ALTER TABLE answers DROP COLUMN file")
        database.close()
        record.add(drawn[3:])
        assert record.read() == [*(replace(each, file="") for each in drawn[:3]), *drawn[3:]]

    def test_what_is_no_record(self, tmp_path: Path) -> None:
        (tmp_path / RECORD).write_bytes(b"no database at all" * 99)
        with pytest.raises(StorageError, match=r"record\.sqlite: cannot be used") as caught:
            Record(tmp_path / RECORD).add([])
        assert caught.value.code == "unwritable"

    def test_no_audio_and_no_name_is_in_it(self, tmp_path: Path) -> None:
        Record(tmp_path / RECORD).add(answers(1, 1))
        with sqlite3.connect(tmp_path / RECORD) as database:
            names = {row[1] for row in database.execute("PRAGMA table_info(answers)")}
        assert names == {*recording.COLUMNS, "number"}
        database.close()

    @pytest.mark.parametrize("answer", [{"peak": 0.5}, 0.5, [0.5], None, "spoof"])
    def test_answers_of_other_endpoints_are_none(self, answer: object) -> None:
        assert Answered.of(0.0, "r", "", answer) is None


class TestDrift:
    def test_quiet_traffic_raises_at_most_one_alarm(self) -> None:
        drawn = (answers(seed, REFERENCE_ROWS + QUIET_ROWS) for seed in range(SEEDS))
        found = [window for each in drawn for window in windows(each)]
        assert len(found) == SEEDS * QUIET_ROWS // 100
        assert sum(bool(window.alarms) for window in found) <= 1

    @pytest.mark.parametrize(
        ("moved", "named"),
        [({"mix": TELEPHONES}, "channels"), ({"spoof_llr": 2.0}, "scores")],
        ids=["a telephone", "a generator that is not heard"],
    )
    def test_a_shift_alarms_within_200_answers(self, moved: dict, named: str) -> None:
        before = answers(1, REFERENCE_ROWS)
        found = windows([*before, *answers(2, 200, after=REFERENCE_ROWS, **moved)])
        assert len(found) == 2 and all(named in window.alarms for window in found)

    def test_an_answer_stays_in_its_window(self) -> None:
        drawn = answers(3, REFERENCE_ROWS + 250)
        assert [(w.start, w.end) for w in windows(drawn)] == [(1000, 1099), (1100, 1199)]
        (newest,) = windows(drawn, last=1, window_rows=30)
        assert (newest.start, newest.rows) == (1210, 30)
        forgotten = [*drawn[:REFERENCE_ROWS], *drawn[REFERENCE_ROWS + 40 :]]
        assert windows(forgotten) == windows(drawn)[1:]
        assert windows(drawn[:1050]) == []

    def test_one_bundle_at_a_time(self) -> None:
        with pytest.raises(BonafideError, match="answers of 2 bundles"):
            windows([*answers(1, 2), *answers(1, 2, bundle="c")])


class TestFeedback:
    def test_wrong_verdicts_are_counted(self, tmp_path: Path) -> None:
        record, drawn = Record(tmp_path / RECORD), answers(1, 400)
        record.add(drawn)
        assert measured(record.read()) is None
        for each in drawn[:200]:
            record.label(each.request_id, "bonafide")
        record.label(drawn[0].request_id, "spoof")
        found = measured(record.read())
        assert found is not None and found.labelled == 200
        of_spoof = [each.verdict == "bonafide" for each in drawn[:1]]
        wrong = sum(each.verdict == "spoof" for each in drawn[1:200]) + sum(of_spoof)
        assert found.wrong == wrong and found.low < wrong / found.decided < found.high
        said = f"Verdicts that people judged: {found.decided}; of these, wrong: {wrong}, "
        assert found.in_words().startswith(said)

    @pytest.mark.parametrize(
        ("request_id", "label", "code"),
        [("gone", "spoof", "unknown_request"), ("r1-0", "fake", "bad_label")],
    )
    def test_what_cannot_be_noted(
        self, request_id: str, label: str, code: str, tmp_path: Path
    ) -> None:
        record = Record(tmp_path / RECORD)
        record.add(answers(1, 1))
        with pytest.raises(BonafideError) as caught:
            record.label(request_id, label)
        assert caught.value.code == code and record.read()[0].label == ""

    def test_a_file_counts_once(self) -> None:
        (one, two, other) = answers(1, 3)
        again = [
            *(replace(one, verdict="bonafide", label="spoof") for _ in range(15)),
            replace(one, verdict="spoof", label="spoof"),  # by the newest
            replace(two, verdict="spoof", label="spoof"),
            replace(one, verdict="bonafide"),  # nobody judged it
            replace(other, verdict="bonafide", label="bonafide"),
        ]
        found = measured(again)
        assert found is not None
        assert (found.answers, found.labelled, found.decided, found.wrong) == (18, 3, 3, 0)
        assert found.high == pytest.approx(0.5615, abs=1e-4)  # Wilson's 0 of 3
        said = found.in_words()
        assert said.startswith("Verdicts that people judged: 3; of these, wrong: 0, 0.0 % [0.0, ")
        assert said.endswith(
            " 18 answers to 3 files were judged: each file counts once, by the newest."
        )
        unnamed = measured([replace(each, file="") for each in again])
        assert unnamed is not None and unnamed.labelled == 18

    def test_undecided_answers_tell_nothing(self) -> None:
        (only,) = answers(1, 1)
        found = measured([replace(only, verdict="inconclusive", label="spoof")])
        assert found is not None
        assert found.in_words() == "Answers that people judged: 1; none of them had a verdict."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BONAFIDE_RECORD", raising=False)
    return tmp_path / "home"


@pytest.fixture
def bundle(home: Path, tmp_path: Path) -> Bundle:
    made = keep_with_lineage(home, tmp_path / "made", files_of(tmp_path / "corpus", 6))
    promote(home, made, override="a test")
    return made


class TestRule:
    def test_drift_makes_one_run_due(self, home: Path, bundle: Bundle) -> None:
        rule, size = Drift(home / RECORD, home), Size(0, 0)
        now, record = datetime.now(UTC), Record(home / RECORD)
        assert rule.due([], now, size) == ""
        record.add(answers(1, REFERENCE_ROWS + 100, bundle=bundle.digest()))
        assert rule.due([], now, size) == ""
        record.add(answers(2, 100, TELEPHONES, bundle=bundle.digest()))
        why = rule.due([], now, size)
        assert why.startswith("drift from mine:1") and "channels" in why
        assert rule.due([BLANK | {"why": why}], now, size) == ""
        assert rule.due([BLANK | {"why": "drift from other:1: channels"}], now, size) == why

    def test_what_passed_between_two_looks_is_seen(self, home: Path, bundle: Bundle) -> None:
        rule, record = Drift(home / RECORD, home), Record(home / RECORD)
        record.add(answers(1, REFERENCE_ROWS + 90, bundle=bundle.digest()))
        assert rule.due([], datetime.now(UTC), Size(0, 0)) == ""
        record.add(answers(2, 210, TELEPHONES, bundle=bundle.digest()))
        record.add(answers(3, 300, bundle=bundle.digest()))
        why = rule.due([], datetime.now(UTC), Size(0, 0))
        assert why.startswith("drift from mine:1")
        assert rule.due([], datetime.now(UTC), Size(0, 0)) == why  # until a run comes of it


class TestCommands:
    def test_it_says_what_moved(
        self, home: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = Record(home / RECORD)
        assert main(["monitor"]) == 2
        said = capsys.readouterr().err
        assert f"no_record: {record.path}: " in said and "BONAFIDE_RECORD" in said
        record.add([])
        assert main(["monitor"]) == 0
        assert "Answers of this bundle: 0; 1100 are needed" in capsys.readouterr().out
        record.add(answers(1, REFERENCE_ROWS + 100, bundle=bundle.digest()))
        record.add(answers(2, 100, TELEPHONES, bundle=bundle.digest()))
        assert main(["feedback", "add", "r1-0", "--label", "spoof"]) == 0
        assert main(["monitor"]) == 0
        said = capsys.readouterr().out
        lines = [line.rstrip() for line in said.splitlines() if line.startswith("1970-")]
        assert len(lines) == 2 and lines[0].endswith("-") and "channels (PSI " in lines[1]
        assert main(["monitor", "--json", "--last", "1"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["answers"] == REFERENCE_ROWS + 200 and len(told["windows"]) == 1
        assert "channels" in told["windows"][0]["alarms"] and told["error"]["labelled"] == 1
        assert main(["monitor", "--check"]) == 1
        assert main(["monitor", "--check", "--window", "200"]) == 1
        record.add(answers(3, 100, bundle=bundle.digest()))
        assert main(["monitor", "--check"]) == 0  # the newest is quiet

    def test_it_is_drawn(self, home: Path, bundle: Bundle, tmp_path: Path) -> None:
        page = tmp_path / "drift.html"
        Record(home / RECORD).add(answers(1, REFERENCE_ROWS, bundle=bundle.digest()))
        assert main(["monitor", "--report", str(page)]) == 0
        assert "<svg" not in page.read_text() and "1100 are needed" in page.read_text()
        Record(home / RECORD).add(answers(2, 200, TELEPHONES, bundle=bundle.digest()))
        assert main(["monitor", "--report", str(page)]) == 0
        assert page.read_text().count("<svg") == 1 and "1100 are needed" not in page.read_text()

    def test_what_was_judged_is_a_corpus(
        self, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "kept"
        home.mkdir()
        (folder / "deep").mkdir(parents=True)
        names = ("deep/spoof.wav", "human.wav", "both.wav", "nobody.wav")
        odd = os.fsdecode(b"bad\xff.wav")
        drawn = answers(1, 6)
        for each, name in zip(drawn, (*names, names[2], odd), strict=True):
            (folder / name).write_bytes(os.fsencode(name))
            file = file_sha256(folder / name)
            Record(home / RECORD).add([replace(each, file=file)])
        for number, label in (
            (0, "spoof"),
            (1, "bonafide"),
            (2, "spoof"),
            (4, "bonafide"),
            (5, "spoof"),
        ):
            assert main(["feedback", "add", f"r1-{number}", "--label", label]) == 0
        assert main(["feedback", "manifest", str(folder)]) == 0
        said = capsys.readouterr()
        assert "left out, for it was called both: " in said.err and "both.wav" in said.err
        assert "left out, for its name is no UTF-8, as a manifest must be: " in said.err
        assert "manifest.csv: 2 recordings" in said.out
        rows = read_corpus(folder / "manifest.csv").rows
        assert [(row.path, row.label, row.source) for row in rows] == [
            ("deep/spoof.wav", "spoof", "-"),
            ("human.wav", "bonafide", "-"),
        ]
        assert main(["feedback", "manifest", str(folder)]) == 2  # nothing is written over
        assert capsys.readouterr().err.startswith("bonafide: bad_manifest: ")
        (tmp_path / "other").mkdir()
        assert main(["feedback", "manifest", str(tmp_path / "other")]) == 2
        assert capsys.readouterr().err.startswith("bonafide: nothing_usable: ")

    def test_feedback_on_nothing_is_an_error(
        self, home: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["feedback", "add", "r1-0", "--label", "spoof"]) == 2
        assert capsys.readouterr().err.startswith("bonafide: no_record: ")
        assert not (home / RECORD).exists()
        Record(home / RECORD).add([])
        assert main(["feedback", "add", "r1-0", "--label", "spoof"]) == 2
        assert capsys.readouterr().err.startswith("bonafide: unknown_request: ")
