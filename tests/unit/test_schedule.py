"""Retraining by the clock: the trigger, one run, the scheduler, the history."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from bonafide import history as module
from bonafide.errors import ConfigError
from bonafide.history import last_alive, read_history
from bonafide.process.lifetime import descendants
from bonafide.process.lock import locked
from bonafide.training.schedule import runner
from bonafide.training.schedule.runner import Schedule, train_command
from bonafide.training.schedule.triggers import cron_trigger
from tests.helpers.processes import alive
from tests.helpers.servers import wait_for

START = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
OFTEN = IntervalTrigger(seconds=0.05)


class FirstDue(IntervalTrigger):
    """What a scheduler that slept since then sees: the first time is long past."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        return super().get_next_fire_time(previous, now) if previous else self.start_date


class Minutes:
    """A clock on which a minute passes whenever it is looked at."""

    def __init__(self, now: datetime = START) -> None:
        self.next = now

    def __call__(self) -> datetime:
        now = self.next
        self.next += timedelta(minutes=1)
        return now


@pytest.fixture(autouse=True)
def minutes(monkeypatch: pytest.MonkeyPatch) -> Minutes:
    clock = Minutes()
    monkeypatch.setattr(module, "now", clock)
    return clock


HEARD = (signal.SIGINT, signal.SIGHUP)


def command(traces: Path, status: int = 0, seconds: float = 0.0) -> list[str]:
    """Append start and end to a file, say something, and leave with a status."""
    code = (
        f"import sys, time; file = open({str(traces)!r}, 'a', buffering=1); "
        "file.write('start\\n'); "
        "print('on its way'); print('in doubt', file=sys.stderr); "
        f"time.sleep({seconds}); file.write('end\\n'); file.close(); "
        f"{status} and print('bonafide: bad_sky: it fell'); sys.exit({status})"
    )
    return [sys.executable, "-S", "-c", code]


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return tmp_path / "traces"


def run(root: Path, what: list[str], *, times: int) -> list[str]:
    """Run the job itself, one time after another."""
    said: list[str] = []
    schedule = Schedule(cron_trigger("* * * * *", "UTC"), what, root, say=said.append)
    for _ in range(times):
        schedule.start()
    return said


@contextmanager
def running(root: Path, what: list[str]) -> Iterator[list[str]]:
    """Let the scheduler start runs, often, while the block goes on; it is stopped after it."""
    said: list[str] = []
    schedule = Schedule(OFTEN, what, root, say=said.append)
    thread = threading.Thread(target=schedule.run)
    thread.start()
    try:
        yield said
    finally:
        schedule.stop()
        thread.join(30)
    assert not thread.is_alive()


def ended(root: Path) -> int:
    return sum(entry["ended"] != "-" for entry in read_history(root))


class TestTrigger:
    @pytest.mark.parametrize(
        ("cron", "timezone", "expected"),
        [
            ("30 3 * * *", "Europe/Berlin", "2026-03-02T02:30:00+00:00"),
            ("30 3 * * *", "UTC", "2026-03-02T03:30:00+00:00"),
            ("0 9 * * *", "Asia/Tokyo", "2026-03-02T00:00:00+00:00"),
            ("*/15 12 * * *", "UTC", "2026-03-01T12:15:00+00:00"),
            ("0 4 * * mon", "America/New_York", "2026-03-02T09:00:00+00:00"),
        ],
    )
    def test_time_zones(self, cron: str, timezone: str, expected: str) -> None:
        due = cron_trigger(cron, timezone).get_next_fire_time(None, START)
        assert due == datetime.fromisoformat(expected)
        assert due.utcoffset() == due.astimezone(ZoneInfo(timezone)).utcoffset()

    def test_daylight_saving(self) -> None:
        trigger = cron_trigger("0 6 * * *", "Europe/Berlin")
        first = trigger.get_next_fire_time(None, datetime(2026, 3, 28, 12, 0, tzinfo=UTC))
        second = trigger.get_next_fire_time(first, first)
        assert [due.astimezone(UTC).isoformat() for due in (first, second)] == [
            "2026-03-29T04:00:00+00:00",
            "2026-03-30T04:00:00+00:00",
        ]

    def test_a_boundary_that_is_now_counts(self) -> None:
        assert cron_trigger("* * * * *", "UTC").get_next_fire_time(None, START) == START


class TestRuns:
    def test_what_is_said_and_noted(self, tmp_path: Path, traces: Path) -> None:
        said = run(tmp_path, command(traces), times=2)
        assert traces.read_text() == "start\nend\n" * 2
        assert [(e["started"], e["ended"]) for e in read_history(tmp_path)] == [
            ("2026-03-01T12:02:00+00:00", "2026-03-01T12:03:00+00:00"),
            ("2026-03-01T12:05:00+00:00", "2026-03-01T12:06:00+00:00"),
        ]
        assert said == [
            "run ended: ok",
            "next run: 2026-03-01T12:04:00+00:00",
            "run ended: ok",
            "next run: 2026-03-01T12:07:00+00:00",
        ]

    def test_status_of_a_run_that_fails(self, tmp_path: Path, traces: Path) -> None:
        said = run(tmp_path, command(traces, status=3), times=2)
        for entry in read_history(tmp_path):
            assert (entry["status"], entry["exit"]) == ("failed", 3)
            assert entry["reason"] == "bad_sky: it fell"
        assert said.count("run ended: failed, bad_sky: it fell") == 2


class TestScheduler:
    def test_it_starts_run_after_run(self, tmp_path: Path, traces: Path) -> None:
        with running(tmp_path, command(traces)) as said:
            wait_for(lambda: ended(tmp_path) >= 3, "three runs")
        assert said[0].startswith("next run: ")
        assert {entry["status"] for entry in read_history(tmp_path)[:3]} == {"ok"}

    def test_never_two_at_once(self, tmp_path: Path, traces: Path) -> None:
        """A run takes as long as ten of the times that are due: all but one are skipped."""
        with running(tmp_path, command(traces, seconds=0.5)):
            wait_for(lambda: ended(tmp_path) >= 2, "two runs")
        lines = traces.read_text().split()
        assert lines[:4] == ["start", "end", "start", "end"]
        assert len(read_history(tmp_path)) <= 3

    def test_a_time_that_passed_meanwhile_is_made_up_for_once(
        self, tmp_path: Path, traces: Path
    ) -> None:
        """As after the machine slept, or its clock was set."""
        five_ago = datetime.now(UTC) - timedelta(hours=5)
        hourly = FirstDue(hours=1, start_date=five_ago)
        schedule = Schedule(hourly, command(traces), tmp_path, say=lambda _: None)
        thread = threading.Thread(target=schedule.run)
        thread.start()
        wait_for(lambda: ended(tmp_path) == 1, "the run")
        schedule.stop()
        thread.join(30)
        assert traces.read_text() == "start\nend\n"

    def test_stopping_ends_the_run(self, tmp_path: Path, traces: Path) -> None:
        with running(tmp_path, command(traces, seconds=60)):
            wait_for(lambda: traces.exists() and "start" in traces.read_text(), "a run")
        (entry,) = read_history(tmp_path)
        assert entry["status"] == "interrupted" and entry["exit"] in (-signal.SIGINT, 130)
        assert entry["ended"] != "-"
        assert traces.read_text() == "start\n"

    def test_nothing_starts_after_the_stop(self, tmp_path: Path, traces: Path) -> None:
        schedule = Schedule(OFTEN, command(traces), tmp_path, say=lambda _: None)
        schedule.stop()
        schedule.start()
        assert read_history(tmp_path) == [] and not traces.exists()

    def test_a_run_that_goes_on_says_so(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=1)
        with running(tmp_path, command(traces, seconds=60)):
            wait_for(lambda: traces.read_text().count("start") == 2, "a run")
            before, now = read_history(tmp_path)
            assert before["status"] == "ok"
            assert (now["status"], now["ended"]) == ("running", "-")
        assert read_history(tmp_path)[1]["status"] != "running"

    def test_the_run_of_another_schedule_is_waited_for(self, tmp_path: Path, traces: Path) -> None:
        said: list[str] = []
        other = Schedule(OFTEN, command(traces, seconds=1), tmp_path, say=lambda _: None)
        thread = threading.Thread(target=other.start)
        thread.start()
        wait_for(lambda: traces.exists() and "start" in traces.read_text(), "a run")
        Schedule(OFTEN, command(traces), tmp_path, say=said.append).start()
        thread.join(30)
        assert traces.read_text() == "start\nend\n" * 2
        assert said[:2] == ["waiting: another run is going on", "run ended: ok"]

    def test_stopping_while_it_waits(self, tmp_path: Path, traces: Path) -> None:
        with locked(tmp_path / "schedule.lock"), running(tmp_path, command(traces)) as said:
            wait_for(lambda: "waiting: another run is going on" in said, "the wait")
        assert read_history(tmp_path) == [] and not traces.exists()

    @pytest.mark.parametrize(
        ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EROFS, "unwritable")]
    )
    def test_a_disk_that_takes_nothing(
        self,
        tmp_path: Path,
        traces: Path,
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        code: str,
    ) -> None:
        """A run that cannot be noted is not started; the next one is when there is room again."""

        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(module, "note", refuse)
            said = run(tmp_path, command(traces), times=1)
        assert said[0].startswith(f"no run: {code}: {tmp_path}: ")
        assert said[1].startswith("next run: ")
        assert not traces.exists()
        assert run(tmp_path, command(traces), times=1)[0] == "run ended: ok"

    @contextmanager
    def apart(
        self, root: Path, traces: Path, before: str = ""
    ) -> Iterator["subprocess.Popen[str]"]:
        """Run a schedule as a process of its own, until its first run has started."""
        script = (
            "import sys\n"
            "from apscheduler.triggers.interval import IntervalTrigger\n"
            "from bonafide.cli import main\n"
            "from bonafide.training.schedule import runner, triggers\n"
            "triggers.cron_trigger = lambda *_: IntervalTrigger(seconds=0.1)\n"
            f"runner.train_command = lambda *_: {command(traces, seconds=60)!r}\n"
            f"{before}\n"
            "sys.exit(main(['schedule', 'run', '--cron', '* * * * *', '--corpus', '.']))"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "BONAFIDE_HOME": str(root)},
            stderr=subprocess.PIPE,
            text=True,
            # as in a terminal, wherever the tests themselves were started
            preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in HEARD],
        )
        try:
            wait_for(lambda: traces.exists() and "start" in traces.read_text(), "a run")
            yield process
        finally:
            process.kill()
            process.communicate(timeout=30)

    @pytest.mark.parametrize(
        ("sent", "status"),
        [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)],
        ids=lambda sent: str(sent),
    )
    def test_a_signal_ends_schedule_and_run(
        self, tmp_path: Path, traces: Path, sent: signal.Signals, status: int
    ) -> None:
        with self.apart(tmp_path, traces) as process:
            wait_for(lambda: last_alive(tmp_path), "a sign of life")
            process.send_signal(sent)
            _, said = process.communicate(timeout=30)
        assert process.returncode == status, said
        assert "Traceback" not in said
        (entry,) = read_history(tmp_path)
        assert entry["ended"] != "-" and traces.read_text() == "start\n"
        is_missed = last_alive(tmp_path) > 0
        assert is_missed == (sent != signal.SIGINT)

    def test_a_schedule_that_is_killed_takes_its_run_along(
        self, tmp_path: Path, traces: Path
    ) -> None:
        with self.apart(tmp_path, traces) as process:
            (entry,) = read_history(tmp_path)
            assert entry["status"] == "running"
            (child,) = descendants(process.pid)[1:]
            process.kill()
            process.wait(30)
            wait_for(lambda: not alive(child), "the end of the run")
        wait_for(lambda: read_history(tmp_path)[0]["status"] == "interrupted", "the lock")
        assert traces.read_text() == "start\n"

    def test_a_run_that_outlives_its_schedule_is_not_alone(
        self, tmp_path: Path, traces: Path
    ) -> None:
        """As outside Linux: it goes on, and no other is started beside it."""
        with self.apart(tmp_path, traces, "runner.end_with_parent = lambda _: None") as process:
            (child,) = descendants(process.pid)[1:]
            process.kill()
            process.wait(30)
        try:
            assert alive(child) and read_history(tmp_path)[0]["status"] == "running"
            with running(tmp_path, command(traces)) as said:
                wait_for(lambda: "waiting: another run is going on" in said, "the wait")
                assert traces.read_text() == "start\n"
                os.kill(child, signal.SIGKILL)
                wait_for(lambda: ended(tmp_path) >= 1, "a run of its own")
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        assert read_history(tmp_path)[0]["status"] == "interrupted"


class TestHistory:
    def test_nothing_yet(self, tmp_path: Path) -> None:
        assert read_history(tmp_path) == []

    def test_survives_a_restart(self, tmp_path: Path, traces: Path, minutes: Minutes) -> None:
        run(tmp_path, command(traces), times=2)
        before = read_history(tmp_path)
        minutes.next = START + timedelta(hours=1)
        run(tmp_path, command(traces, status=1), times=1)
        history = read_history(tmp_path)
        assert history[:2] == before
        assert [entry["status"] for entry in history] == ["ok", "ok", "failed"]
        assert history[2]["started"] == "2026-03-01T13:02:00+00:00"

    def test_the_log_holds_what_was_printed(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=2)
        logs = [Path(entry["log"]) for entry in read_history(tmp_path)]
        assert len(set(logs)) == 2
        for log in logs:
            assert log.parent == tmp_path / "logs"
            assert sorted(log.read_text().splitlines()) == ["in doubt", "on its way"]

    def test_interrupted(self, tmp_path: Path, traces: Path, minutes: Minutes) -> None:
        """The schedule is killed while a run goes on."""
        run(tmp_path, command(traces), times=1)

        class Killed(BaseException):
            pass

        def kill(*_: object, **__: object) -> None:
            raise Killed

        minutes.next = START + timedelta(hours=1)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(runner.subprocess, "Popen", kill)
            run(tmp_path, command(traces), times=1)
        minutes.next = START + timedelta(hours=2)
        run(tmp_path, command(traces), times=1)
        history = read_history(tmp_path)
        assert [entry["status"] for entry in history] == ["ok", "interrupted", "ok"]
        assert history[1]["ended"] == "-"
        assert history[1]["started"] == "2026-03-01T13:02:00+00:00"
        assert {*module.BLANK, "started", "exit"} == set.union(*map(set, history))

    def test_killed_while_writing(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=1)
        whole = read_history(tmp_path)
        with (tmp_path / "schedule.jsonl").open("a") as file:
            file.write('{"started": "2026-03-01T13:0')
        assert read_history(tmp_path) == whole
        run(tmp_path, command(traces), times=1)
        assert len(read_history(tmp_path)) == 2

    def test_one_json_object_a_line(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=1)
        first, second = map(json.loads, (tmp_path / "schedule.jsonl").read_text().splitlines())
        assert set(first) == {"started", "why", "log"} and first["why"] == "the clock"
        assert second == {
            "started": first["started"],
            "ended": "2026-03-01T12:03:00+00:00",
            "status": "ok",
            "exit": 0,
            "reason": "",
        }


FIELDS = r"must be five fields: minute, hour, day, month, weekday"


class TestBadCron:
    @pytest.mark.parametrize(
        ("cron", "timezone", "match"),
        [
            ("", None, r"cron '' in time zone local: wrong number of fields"),
            ("* * * *", None, r"cron '\* \* \* \*' .*got 4, expected 5"),
            ("* * * * * *", None, r"got 6, expected 5"),
            ("61 * * * *", None, r"cron '61 .*minute '61': must be numbers from 0 to 59"),
            ("* 24 * * *", None, r"hour '24': must be numbers from 0 to 23"),
            ("0 0 0 * *", None, r"day '0': must be numbers from 1 to 31"),
            ("a * * * *", None, r"minute 'a': must be numbers from 0 to 59"),
            ("*/0 * * * *", None, r"cron '\*/0 .*its step must be a number from 1 to 59"),
            ("5-1 * * * *", None, r"the first of a range must not be the larger"),
            ("@daily", None, r"got 1, expected 5"),
            ("0 0 30 2 *", "UTC", r"cron '0 0 30 2 \*' in time zone UTC: "),
        ],
    )
    def test_refused(self, cron: str, timezone: str | None, match: str) -> None:
        with pytest.raises(ConfigError, match=match) as caught:
            cron_trigger(cron, timezone)
        assert caught.value.code == "bad_cron"
        assert FIELDS in caught.value.message

    @pytest.mark.parametrize(
        "timezone", ["Mars/Olympus", "../etc/passwd", "Europe", "UTC+2", "europe/berlin", "", "\0"]
    )
    def test_a_time_zone_that_is_not_known(self, timezone: str) -> None:
        with pytest.raises(ConfigError, match="must be a name such as Europe/Berlin") as caught:
            cron_trigger("* * * * *", timezone)
        assert caught.value.code == "bad_timezone"
        assert caught.value.message.startswith(f"time zone {timezone}: not known")
        assert "fields" not in caught.value.message

    def test_the_time_zone_of_a_machine_that_is_not_known(self) -> None:
        """In a process of its own: the machine's is looked up once."""
        code = "from bonafide.cli import main; main(['schedule', 'run', '--cron', '0 3 * * *'])"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TZ": "Nowhere/Land"},
            capture_output=True,
            text=True,
        )
        assert "bad_timezone: this machine's time zone (TZ" in done.stderr
        assert "--timezone" in done.stderr and "cron '" not in done.stderr


class TestTrainCommand:
    @pytest.mark.parametrize(
        ("config", "corpora", "expected"),
        [
            (None, [], lambda here: []),
            (
                Path("a.yaml"),
                ["x", "../y.csv"],
                lambda here: [
                    *("--config", str(here / "a.yaml")),
                    *("--corpus", str(here / "x")),
                    *("--corpus", str(here.parent / "y.csv")),
                ],
            ),
        ],
    )
    def test_paths_are_absolute(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        config: Path | None,
        corpora: list[str],
        expected: Callable[[Path], list[str]],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        start = [sys.executable, "-m", "bonafide.cli", "train", "--quiet"]
        assert train_command(config, corpora) == start + expected(tmp_path.resolve())
