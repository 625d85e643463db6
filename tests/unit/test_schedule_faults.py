"""What goes wrong beside a schedule, or before it: it is told in a line; the schedule goes on."""

import errno
import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bonafide import history
from bonafide.bundle import read_bundle
from bonafide.history import BLANK, HISTORY, Entry, note, outcome, read_history
from bonafide.home import SHIPPED
from bonafide.monitoring.record import RECORD, REFERENCE_ROWS, Record
from bonafide.registry import registry_of
from bonafide.registry.journal import Version
from bonafide.registry.registry import held
from bonafide.training.schedule.changes import missed
from bonafide.training.schedule.drift import Drift
from bonafide.training.schedule.notices import Notices
from bonafide.training.schedule.runner import Schedule
from bonafide.training.schedule.triggers import Age, NewData, Rule, Size, Watched, cron_trigger
from tests.helpers.clock import NOON, let_seconds_pass
from tests.helpers.lineages import files_of
from tests.helpers.servers import wait_for
from tests.helpers.traffic import TELEPHONES, answers

DAY = timedelta(days=1)
WELL = [sys.executable, "-S", "-c", "print('on its way')"]
MORE = "from pathlib import Path; import os, sys; "


@pytest.fixture(autouse=True)
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    let_seconds_pass(monkeypatch)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    manifest = tmp_path / "corpus" / "manifest.csv"
    manifest.write_text(files_of(manifest.parent, 12).to_csv())
    return manifest


class Nightly:
    """A schedule, what it says, and whom it tells."""

    def __init__(
        self,
        home: Path,
        command: Sequence[str] = WELL,
        corpus: Path | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        self.said: list[str] = []
        self.told: list[Entry] = []
        watched = Watched([str(corpus)], "{}", home) if corpus else None
        self.schedule = Schedule(
            *(None, command, home),
            say=self.said.append,
            watched=watched,
            rules=rules,
            tell=self.told.append,
        )


def telling(**result: Any) -> list[str]:
    """Return a command that tells a result, and leaves as `bonafide train` does."""
    code = f"open(os.environ['BONAFIDE_RESULT'], 'w').write({json.dumps(result)!r}); "
    left = int(bool(result.get("reasons")))
    return [sys.executable, "-S", "-c", f"{MORE}{code}sys.exit({left})"]


def one_more(corpus: Path) -> None:
    """Add a row with a file of its own."""
    lines = corpus.read_text().splitlines()
    old = lines[-1].split(",")[0]
    (corpus.parent / "new.wav").write_text("one more")
    corpus.write_text("\n".join([*lines, lines[-1].replace(old, "new.wav")]) + "\n")


class TestTheEndOfARun:
    def test_a_disk_that_fills_meanwhile(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is said, and told; and noted once there is room."""
        nightly = Nightly(home)

        def full(root: Path, entry: Entry) -> None:
            if "ended" in entry:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            note(root, entry)

        with monkeypatch.context() as patch:
            patch.setattr(history, "note", full)
            nightly.schedule.start()
        assert nightly.said[0] == "run ended: ok"
        assert nightly.said[1].startswith("not in the history yet: disk_full: ")
        assert [run["status"] for run in nightly.told] == ["ok"]
        nightly.schedule.start()
        assert [run["status"] for run in read_history(home)] == ["ok", "ok"]

    @pytest.mark.parametrize(
        ("exit_status", "expected"),
        [
            (0, "ok"),
            (3, "failed"),
        ],
    )
    def test_a_log_that_goes_meanwhile(self, home: Path, exit_status: int, expected: str) -> None:
        logs = str(home / "logs")
        code = f"[each.unlink() for each in Path({logs!r}).iterdir()]; sys.exit({exit_status})"
        nightly = Nightly(home, [sys.executable, "-c", MORE + code])
        nightly.schedule.start()
        (run,) = read_history(home)
        assert (run["status"], run["exit"]) == (expected, exit_status)
        assert ("log cannot be read" in run["reason"]) == (expected == "failed")
        assert nightly.told == [run]

    @pytest.mark.parametrize(
        "damaged",
        [
            '{"version": "site:3", "eer',
            "[]",
            '{"reasons": 3}',
            '{"reasons": [3]}',
            '{"version": 3}',
            '{"eer": 0.1}',
            "\xff",
        ],
    )
    def test_a_damaged_result_is_a_failure(self, tmp_path: Path, damaged: str) -> None:
        result, log = tmp_path / "result.json", tmp_path / "log"
        result.write_bytes(damaged.encode("latin-1"))
        log.write_text("bonafide: bad_sky: it fell\n")
        found = outcome(0, result, log)
        assert found["status"] == "failed"
        assert found["reason"].startswith("its result cannot be read: ")
        assert outcome(2, result, log)["reason"] == "bad_sky: it fell"

    def test_two_within_a_second_are_two(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ticks = iter(range(10_000))
        later = timedelta(milliseconds=10)
        monkeypatch.setattr(history, "now", lambda: NOON + next(ticks) * later)
        nightly = Nightly(home)
        for _ in range(3):
            nightly.schedule.start()
        runs = read_history(home)
        assert [run["status"] for run in runs] == ["ok"] * 3
        assert len({run["log"] for run in runs}) == 3
        assert all(Path(run["log"]).read_text() == "on its way\n" for run in runs)
        times = [datetime.fromisoformat(run["started"]) for run in runs]
        assert times == sorted(times) and {at.replace(microsecond=0) for at in times} == {NOON}


class TestOneLine:
    @pytest.mark.parametrize(
        "line",
        [
            "no JSON",
            '{"started": "2026-03-01T12:00:00"}',
            '{"started": "2026-03-01T12:00:00+00:00", "rows": "many"}',
            '{"started": "2026-03-01T12:00:00+00:00", "parts": []}',
        ],
    )
    def test_a_history_that_is_damaged_meanwhile(self, home: Path, corpus: Path, line: str) -> None:
        nightly = Nightly(home, corpus=corpus, rules=[NewData(rows=1), Age(DAY)])
        (home / HISTORY).write_text(f"{line}\n" * 2)
        nightly.schedule.start()
        nightly.schedule.look()
        assert [each.partition(f" {home}")[0] for each in nightly.said] == [
            "no run: bad_history:",
            "cannot look: bad_history:",
        ]

    def test_a_corpus_that_leads_to_itself(self, home: Path, tmp_path: Path) -> None:
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        nightly = Nightly(home, corpus=loop, rules=[NewData(rows=1)])
        nightly.schedule.look()
        (said,) = nightly.said
        assert said == f"cannot look: no_corpus: {loop}: a link that leads to itself"

    def test_a_record_that_is_none(self, home: Path, corpus: Path) -> None:
        (home / RECORD).write_bytes(b"no database at all" * 99)
        nightly = Nightly(home, corpus=corpus, rules=[Drift(home / RECORD, home)])
        for _ in range(2):
            nightly.schedule.look()
        assert [said.partition(f" {home}")[0] for said in nightly.said] == [
            "cannot look: bad_record:"
        ] * 2

    def test_looks_during_a_run_are_passed_over_in_silence(
        self, home: Path, corpus: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        slow = [sys.executable, "-S", "-c", "import time; time.sleep(1)"]
        nightly = Nightly(home, slow, corpus, [NewData(rows=1)])
        nightly.schedule.look_every_s = 0.05
        thread = threading.Thread(target=nightly.schedule.run)
        with caplog.at_level(logging.WARNING):
            thread.start()
            wait_for(lambda: any(run["ended"] != "-" for run in read_history(home)), "a run")
            nightly.schedule.stop()
            thread.join(30)
        assert [each.getMessage() for each in caplog.records] == []


class TestMadeUpFor:
    def started(self, home: Path, *whys: str, end: str = "-") -> list[str]:
        """Note runs that were cut short, restart, and return why it starts others."""
        for minute, why in enumerate(whys):
            at = (NOON - DAY / 2 + timedelta(minutes=minute)).isoformat()
            note(home, {"started": at, "ended": end, "why": why, "status": "interrupted"})
        nightly = Nightly(home)
        nightly.schedule.trigger = cron_trigger("0 3 1 1 *", "UTC")
        thread = threading.Thread(target=nightly.schedule.run)
        thread.start()
        wait_for(lambda: nightly.said, "the schedule")

        def settled() -> bool:
            runs = read_history(home)
            return len(runs) > len(whys) and runs[-1]["ended"] != "-"

        if end == "-" and not whys[-1].endswith("was interrupted"):
            wait_for(settled, "the run that makes up for it")
        nightly.schedule.stop()
        thread.join(30)
        return [run["why"] for run in read_history(home)[len(whys) :]]

    def test_a_run_that_went_down_with_the_machine(self, home: Path) -> None:
        at = (NOON - DAY / 2 + timedelta(minutes=1)).isoformat()
        assert self.started(home, "the clock", "3 new rows") == [f"the run of {at} was interrupted"]

    def test_once(self, home: Path) -> None:
        """Where it fells the machine again, the clock decides."""
        assert self.started(home, "the clock", "the run of now was interrupted") == []

    def test_not_one_that_somebody_stopped(self, home: Path) -> None:
        assert self.started(home, "the clock", end=NOON.isoformat()) == []


class TestWhatChanged:
    def test_it_is_told(self, home: Path, corpus: Path) -> None:
        nightly = Nightly(home, telling(version="site:1"), corpus)
        nightly.schedule.start()
        one_more(corpus)
        nightly.schedule.start()
        other = Nightly(home, telling(version="site:1"), corpus)
        assert other.schedule.watched
        other.schedule.watched = Watched([str(corpus)], '{"seed": 2}', home)
        other.schedule.start()
        (corpus.parent / "new.wav").write_text("another")
        other.schedule.start()
        assert [run["why"] for run in read_history(home)] == [
            "the clock",
            "the clock: 1 new rows",
            "the clock: the configuration changed",
            "the clock: the corpus changed",
        ]

    def test_a_bundle_that_a_hold_kept_back_is_named(self, home: Path, corpus: Path) -> None:
        hold = type("Hold", (), {"at": "noon", "by": "me", "why": "rolled back"})()
        reason = held(Version("story", "1", "0" * 64), hold).message
        nightly = Nightly(home, telling(version="story:2", reasons=[reason]), corpus)
        nightly.schedule.start()
        nightly.schedule.start()
        first, second = read_history(home)
        assert (first["status"], second["status"]) == ("refused", "skipped")
        assert second["reason"] == (
            f"nothing changed since the run of {first['started']}: story:2 was held back, and "
            "waits: bonafide models promote story:2"
        )


class TestDrift:
    def drifting(self, home: Path) -> Drift:
        shipped = read_bundle(SHIPPED).digest()
        record = Record(home / RECORD)
        record.add(answers(1, REFERENCE_ROWS + 100, bundle=shipped))
        record.add(answers(2, 100, TELEPHONES, bundle=shipped))
        return Drift(record.path, home)

    def test_of_the_shipped_detector(self, home: Path) -> None:
        """As long as nothing is in production it answers, and so is what drifts."""
        rule = self.drifting(home)
        assert registry_of(home).production() is None
        version = Version.of(read_bundle(SHIPPED))
        why = rule.due([], NOON, Size(0, 0))
        assert why.startswith(f"drift from {version}: ") and "channels" in why

    def test_it_is_trained_for_once_there_is_something_to_learn(
        self, home: Path, corpus: Path
    ) -> None:
        told = telling(version="site:3", reasons=["worse"])
        nightly = Nightly(home, told, corpus, [self.drifting(home)])

        def look(times: int) -> list[str]:
            for _ in range(times):
                nightly.schedule.look()
            return [run["status"] for run in read_history(home)]

        nightly.schedule.start()
        assert look(4) == ["refused", "skipped"]
        one_more(corpus)
        assert look(1) == ["refused", "skipped"]  # it may still grow
        assert look(4) == ["refused", "skipped", "refused"]
        (corpus.parent / "new.wav").write_text("one more, and longer")
        assert look(4) == ["refused", "skipped", "refused"]

    def test_a_run_by_the_clock_is_one_for_it(self, home: Path, corpus: Path) -> None:
        told = telling(version="site:3", reasons=["worse"])
        nightly = Nightly(home, told, corpus, [self.drifting(home)])
        nightly.schedule.start()
        for _ in range(2):
            nightly.schedule.look()
        one_more(corpus)
        nightly.schedule.start()
        for _ in range(3):
            nightly.schedule.look()
        statuses = [run["status"] for run in read_history(home)]
        assert statuses == ["refused", "skipped", "refused"]

    def test_the_notice_names_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        titles: list[str] = []
        notices = Notices(["json://127.0.0.1:1/"], print)
        (address,) = notices._addresses
        monkeypatch.setattr(address, "notify", lambda title, **_: titles.append(title) or True)
        run = {**BLANK, "started": NOON.isoformat(), "status": "skipped"}
        notices.tell(run | {"why": "drift from site:3: channels"})
        notices.tell(run | {"why": "the clock"})
        assert titles == ["bonafide: drift, training skipped", "bonafide: training skipped"]


def test_runs_of_a_clock_that_was_ahead_do_not_count() -> None:
    ahead = {"started": "2031-01-01T00:00:00+00:00", "status": "ok"}
    runs = [{"started": (NOON - 8 * DAY).isoformat(), "status": "ok"}, ahead]
    assert Age(7 * DAY).due(runs, NOON, Size(0, 0)) == "the last run is 8.0 days old"
    assert Age(7 * DAY).due([ahead], NOON, Size(0, 0)) == "no run yet"
    lately = {"started": (NOON - DAY / 9).isoformat(), "status": "failed"}
    assert Age(7 * DAY).due([ahead, lately], NOON, Size(0, 0)) == ""
    last = {**BLANK, "started": (NOON - 2 * DAY).isoformat(), "status": "ok", "ended": "later"}
    assert missed([last, BLANK | ahead], cron_trigger("0 3 * * *", "UTC")) == (
        "2026-02-28T03:00:00+00:00 was missed"
    )


def test_a_time_of_the_machine_is_before_each_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from bonafide.cli.schedule_run import _say

    _say("run ended: ok")
    assert capsys.readouterr().out == "2026-03-01T12:00:00+00:00 run ended: ok\n"
