"""The record's file: what is damaged in it is left out, and what is none is left as it is."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bonafide.bundle import read_bundle
from bonafide.cli import main
from bonafide.errors import BonafideError, StorageError
from bonafide.home import shipped_folder
from bonafide.monitoring.database import make_private
from bonafide.monitoring.drift import windows
from bonafide.monitoring.record import RECORD, REFERENCE_ROWS, Record
from bonafide.training.schedule.drift import Drift
from tests.helpers.traffic import TELEPHONES, answers

FAST = read_bundle(shipped_folder("fast")).digest()
DAMAGED = [
    ("models", "{"),
    ("models", "[]"),
    ("models", '{"xgboost": "a"}'),
    ("models", '{"xgboost": NaN}'),
    ("models", '{"xgboost": true}'),
    ("models", "[" * 100_000),
    ("time", 1e15),
    ("time", float("inf")),
    ("time", -5.0),
    ("time", "yesterday"),
    ("verdict", b"\xff"),
    ("verdict", "human"),
    ("label", "maybe"),
    ("llr", "abc"),
    ("llr", float("inf")),
    ("duration_s", b"\0"),
    ("channel_p", 2.0),
    ("channel", "two\nlines"),
    ("request_id", b"\xff"),
    ("rank", "first"),
    ("rank", 0),
]


def change(record: Record, column: str, value: object, number: int) -> None:
    with closing(sqlite3.connect(record.path)) as database, database:
        query = f"UPDATE answers SET {column} = ? WHERE number = ?"  # ours
        assert database.execute(query, (value, number)).rowcount == 1


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BONAFIDE_RECORD", str(tmp_path / RECORD))
    return Record(tmp_path / RECORD)


def monitor(*words: str) -> int:
    return main(["monitor", "--bundle", "fast", *words])


class TestDamage:
    @pytest.mark.parametrize(("column", "value"), DAMAGED)
    def test_a_damaged_row_is_left_out(self, column: str, value: object, record: Record) -> None:
        record.add(written := answers(1, 5))
        change(record, column, value, 3)
        assert record.look() == ([*written[:2], *written[3:]], 1)
        assert record.read() == [*written[:2], *written[3:]]

    def test_text_that_is_no_utf8(self, record: Record) -> None:
        record.add(written := answers(1, 3))
        with closing(sqlite3.connect(record.path)) as database, database:
            database.execute("UPDATE answers SET channel = CAST(x'ff' AS TEXT) WHERE number = 2")
        assert record.look() == ([written[0], written[2]], 1)

    @pytest.mark.parametrize("row", [1001, 1150, 1100, 1101])
    def test_its_window_is_compared_all_the_same(self, row: int) -> None:
        drawn = answers(1, REFERENCE_ROWS + 250)
        found = windows([each for each in drawn if each.rank != row])
        whole = {1001: [(1100, 100)]}.get(row)  # nothing tells where the oldest begins
        assert [(each.start, each.rows) for each in found] == (
            whole
            or [
                (1000, 100 - (row <= 1100)),
                (1101 if row == 1101 else 1100, 100 - (row > 1100)),
            ]
        )
        lone = [*drawn[:1050], replace(drawn[1050], rank=10**15)]
        assert windows(lone) == windows(drawn[:1050]) == []

    def test_without_a_reference_nothing_is_compared(self) -> None:
        assert windows(answers(1, 200, after=REFERENCE_ROWS)) == []

    def test_the_monitor_says_how_many(
        self, record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record.add(answers(1, REFERENCE_ROWS + 150, bundle=FAST))
        for number, (column, value) in enumerate(DAMAGED):
            change(record, column, value, 1101 + number)
        change(record, "llr", float("inf"), 1050)
        page = tmp_path / "drift.html"
        assert monitor("--check", "--report", str(page)) == 0
        said = f"Rows of the record that are damaged, and left out: {len(DAMAGED) + 1}."
        assert said in capsys.readouterr().out and said in page.read_text()
        assert monitor("--json") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["damaged"] == len(DAMAGED) + 1 and told["windows"][0]["rows"] == 99


class TestNoRecord:
    def foreign(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE answers (number INTEGER, said TEXT)")

    @pytest.mark.parametrize("kind", ["foreign", "empty", "text", "folder"])
    def test_it_is_refused_and_left_as_it_is(
        self, kind: str, record: Record, capsys: pytest.CaptureFixture[str]
    ) -> None:
        if kind == "foreign":
            self.foreign(record.path)
        elif kind == "folder":
            record.path.mkdir()
        else:
            record.path.write_bytes(b"" if kind == "empty" else b"no database at all" * 99)
        before = None if kind == "folder" else record.path.read_bytes()
        assert monitor("--check") == 2
        assert capsys.readouterr().err.startswith(f"bonafide: bad_record: {record.path}: ")
        assert main(["feedback", "manifest", str(record.path.parent)]) == 2
        assert capsys.readouterr().err.startswith("bonafide: bad_record: ")
        if kind != "folder":
            assert record.path.read_bytes() == before
            assert [*record.path.parent.glob("*.sqlite*")] == [record.path]

    def test_another_programs_database_is_not_written_to(self, record: Record) -> None:
        self.foreign(record.path)
        before = record.path.read_bytes()
        for write in (lambda: record.add([]), lambda: record.label("r1-0", "spoof")):
            with pytest.raises(StorageError) as caught:
                write()
            assert caught.value.code == "bad_record"
        assert record.path.read_bytes() == before

    def test_the_schedule_reads_it_so_too(self, record: Record, tmp_path: Path) -> None:
        self.foreign(record.path)
        with pytest.raises(StorageError, match="no record of answers, but something else"):
            Drift(record.path, tmp_path)._look("b")


class TestReading:
    def test_nothing_is_changed(self, tmp_path: Path) -> None:
        """Neither in one from before files were named, nor for a name that is no URI."""
        folder = tmp_path / os.fsdecode(b"a?b%20#\xff")
        folder.mkdir()
        record = Record(folder / RECORD)
        record.add(written := answers(1, 3))
        with closing(sqlite3.connect(record.path)) as database, database:
            database.execute("DROP INDEX by_file")
            database.execute("ALTER TABLE answers DROP COLUMN file")
        before, stat = record.path.read_bytes(), record.path.stat()
        assert record.read() == [replace(each, file="") for each in written]
        assert (record.path.read_bytes(), record.path.stat().st_mtime_ns) == (
            before,
            stat.st_mtime_ns,
        )
        assert [*folder.iterdir()] == [record.path]

    def test_in_a_folder_that_cannot_be_written_to(self) -> None:
        """There a record in WAL mode has no lock; one whose last answers are in its log is none."""
        code = (
            "import os, sys; from pathlib import Path; "
            "from bonafide.monitoring.record import Record; "
            "os.getuid() or os.setuid(65534); print(len(Record(Path(sys.argv[1])).read()))"
        )
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # others may look into it
            record = Record(Path(folder) / RECORD)
            record.add(answers(1, 3))
            with closing(sqlite3.connect(record.path)) as database:
                database.execute("PRAGMA journal_mode = wal")
            record.path.chmod(0o444)
            Path(folder).chmod(0o555)
            words = [sys.executable, "-c", code, str(record.path)]
            found = subprocess.run(words, capture_output=True, text=True)
            assert found.stdout == "3\n", found.stderr
            Path(folder).chmod(0o755)
            Path(f"{record.path}-wal").write_bytes(b"answers" * 1000)
            Path(folder).chmod(0o555)
            found = subprocess.run(words, capture_output=True, text=True)
            assert "cannot be read: unable to open database file" in found.stderr
            Path(folder).chmod(0o755)

    def test_what_a_killed_worker_left_half_done_is_taken_back(self, record: Record) -> None:
        record.add(written := answers(1, 500))
        code = (
            "import os, sqlite3, sys; database = sqlite3.connect(sys.argv[1]); "
            "database.execute('PRAGMA cache_size = 5'); "
            "database.execute(\"UPDATE answers SET channel = 'half done, half done'\"); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", code, str(record.path)], check=True)
        assert Path(f"{record.path}-journal").stat().st_size
        assert record.read() == written


class TestReport:
    @pytest.mark.parametrize("how", ["same", "link", "hard link", "journal"])
    def test_it_is_not_written_over_the_record(
        self, how: str, record: Record, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record.add(answers(1, 3, bundle=FAST))
        page, before = record.path.with_name("page.html"), record.path.read_bytes()
        if how == "same":
            page = record.path
        elif how == "journal":
            page = Path(f"{record.path}-journal")
        else:
            (page.symlink_to if how == "link" else page.hardlink_to)(record.path)
        assert monitor("--report", str(page)) == 2
        assert capsys.readouterr().err.startswith(f"bonafide: output_exists: {page}: ")
        assert record.path.read_bytes() == before and (how != "journal" or not page.exists())

    def test_a_full_disk_is_named(self, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
        record.add(answers(1, 3, bundle=FAST))
        assert monitor("--report", "/dev/full") == 2
        assert capsys.readouterr().err.startswith("bonafide: disk_full: /dev/full: ")

    def test_it_names_bundles_and_says_from_what_to_what(
        self, record: Record, capsys: pytest.CaptureFixture[str]
    ) -> None:
        drawn = [
            *answers(1, REFERENCE_ROWS, bundle=FAST),
            *answers(2, 100, TELEPHONES, bundle=FAST),
        ]
        shipped = read_bundle(shipped_folder("default"))
        record.add([*drawn, replace(drawn[0], bundle=shipped.digest())])
        assert monitor() == 0
        said = capsys.readouterr().out
        before = sum(each.channel == "telephone" for each in drawn[:REFERENCE_ROWS]) / 10
        assert f": telephone {before:.0f} % before, 100 % now)" in said
        name = f"default:{shipped.manifest['version']} ({shipped.digest()[:8]})"
        assert f"Recordings that bundle {name} answered, too: 1;" in said
        assert monitor("--json") == 0
        told = json.loads(capsys.readouterr().out)
        (moved,) = [each for each in told["windows"][0]["statistics"] if each["name"] == "channels"]
        assert (moved["share"], moved["before"], moved["now"]) == (
            "telephone",
            pytest.approx(before / 100),
            1.0,
        )
        assert told["others"][0]["name"] == name.split()[0]


class TestNames:
    """What an answer may be named by, to be judged."""

    def labels(self, record: Record) -> list[str]:
        return [each.label for each in record.read()]

    def test_an_id_of_several_files_names_none(
        self, record: Record, capsys: pytest.CaptureFixture[str]
    ) -> None:
        drawn = [replace(each, request_id="again") for each in answers(1, 3)]
        record.add([*drawn, *(replace(each, bundle="c") for each in drawn)])
        assert main(["feedback", "add", "again", "--label", "spoof"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("bonafide: ambiguous_request: 'again' covers 3 files")
        assert self.labels(record) == [""] * 6
        record.label(drawn[1].file, "spoof")
        assert self.labels(record) == ["", "spoof", ""] * 2

    def test_an_id_of_one_file_names_each_answer_to_it(self, record: Record) -> None:
        (only,) = answers(1, 1)
        record.add([only, replace(only, bundle="c"), only])
        record.label(only.request_id, "spoof")
        assert self.labels(record) == ["spoof"] * 3

    def test_an_id_in_older_records(self, record: Record) -> None:
        (only,) = answers(1, 1)
        record.add([replace(only, file=""), replace(only, file="", bundle="c")])
        record.label(only.request_id, "spoof")
        record.add([replace(only, file="")])
        with pytest.raises(BonafideError) as caught:
            record.label(only.request_id, "bonafide")
        assert caught.value.code == "ambiguous_request"
        assert self.labels(record) == ["spoof", "spoof", ""]

    @pytest.mark.parametrize(
        ("name", "code"),
        [("", "bad_name"), ("  ", "bad_name"), ("r1", "unknown_request"), ("0", "unknown_request")],
    )
    def test_what_names_none(self, name: str, code: str, record: Record) -> None:
        record.add([replace(each, file="") for each in answers(1, 3)])
        with pytest.raises(BonafideError) as caught:
            record.label(name, "spoof")
        assert caught.value.code == code and self.labels(record) == [""] * 3

    def test_a_file_is_not_mistaken_for_a_request_of_its_hash(self, record: Record) -> None:
        first, second = answers(1, 2)
        record.add([first, replace(second, request_id=first.file)])
        record.label(first.file, "spoof")
        assert self.labels(record) == ["spoof", ""]
        record.label(first.file, "bonafide", ("request_id",))
        assert self.labels(record) == ["spoof", "bonafide"]


def test_who_writes_keeps_the_file_though_another_thread_opens_it(tmp_path: Path) -> None:
    """Locks of POSIX end with the first descriptor of the file that its process closes."""
    (record := Record(tmp_path / RECORD)).add(answers(1, 1))
    take = f"import sqlite3; sqlite3.connect({str(record.path)!r}, timeout=0)"
    command = [sys.executable, "-c", f"{take}.execute('BEGIN IMMEDIATE')"]
    with closing(sqlite3.connect(record.path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        for open_it in (lambda: make_private(record.path), record.read):
            open_it()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert "database is locked" in done.stderr
        database.execute("ROLLBACK")
        subprocess.run(command, check=True)
