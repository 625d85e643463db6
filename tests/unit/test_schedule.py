"""Retraining by the clock, with a clock that jumps."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bonafide.errors import ConfigError
from bonafide.training.schedule import (
    CHECK_EVERY_S,
    Schedule,
    WallClock,
    read_history,
    train_command,
)

START = datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC)


class FakeClock:
    """Time that passes by sleeping alone; `jumps` pass once something looks at the time again."""

    def __init__(self, now: datetime = START) -> None:
        self.time = now
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


class SlowRuns(FakeClock):
    """A clock on which every run takes as long as the next of `durations`, in seconds.

    The command leaves a file behind; seeing a new one is what lets its time pass.
    """

    def __init__(self, traces: Path, durations: list[float]) -> None:
        super().__init__()
        self.traces, self.durations = traces, durations
        self.passed = 0

    def now(self) -> datetime:
        runs = self.traces.read_text().count("end") if self.traces.exists() else 0
        while self.passed < runs:
            self.time += timedelta(seconds=self.durations[self.passed])
            self.passed += 1
        return self.time


def command(traces: Path, status: int = 0) -> list[str]:
    """Append start and end to a file, say something, and leave with a status."""
    code = (
        f"import sys; file = open({str(traces)!r}, 'a'); file.write('start\\n'); "
        "print('on its way'); print('in doubt', file=sys.stderr); "
        f"file.write('end\\n'); file.close(); sys.exit({status})"
    )
    return [sys.executable, "-S", "-c", code]


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return tmp_path / "traces"


def run(
    root: Path,
    what: list[str],
    *,
    times: int,
    cron: str = "* * * * *",
    clock: FakeClock | None = None,
    timezone: str | None = "UTC",
) -> list[str]:
    said: list[str] = []
    schedule = Schedule(cron, what, root, timezone=timezone, clock=clock or FakeClock())
    schedule.run(say=said.append, times=times)
    return said


def started(root: Path) -> list[str]:
    return [entry["started"] for entry in read_history(root)]


class TestRuns:
    def test_every_minute_at_its_boundary(self, tmp_path: Path, traces: Path) -> None:
        clock = FakeClock()
        said = run(tmp_path, command(traces), times=2, clock=clock)
        assert traces.read_text() == "start\nend\n" * 2
        assert started(tmp_path) == ["2026-03-01T12:01:00+00:00", "2026-03-01T12:02:00+00:00"]
        assert said == [
            "next run: 2026-03-01T12:01:00+00:00",
            "run ended with status 0",
            "next run: 2026-03-01T12:02:00+00:00",
            "run ended with status 0",
        ]
        assert clock.time == datetime(2026, 3, 1, 12, 2, tzinfo=UTC)
        assert sum(clock.slept) == 100.0
        assert all(0 < seconds <= CHECK_EVERY_S for seconds in clock.slept)

    def test_no_times_no_runs(self, tmp_path: Path, traces: Path) -> None:
        assert run(tmp_path, command(traces), times=0) == []
        assert not traces.exists()
        assert read_history(tmp_path) == []

    def test_a_boundary_that_is_now_counts(self, tmp_path: Path, traces: Path) -> None:
        clock = FakeClock(START.replace(second=0))
        run(tmp_path, command(traces), times=2, clock=clock)
        assert started(tmp_path) == ["2026-03-01T12:00:00+00:00", "2026-03-01T12:01:00+00:00"]

    def test_times_that_pass_during_a_run_are_skipped(self, tmp_path: Path, traces: Path) -> None:
        clock = SlowRuns(traces, [150.0, 59.0, 60.0, 0.0])
        run(tmp_path, command(traces), times=4, clock=clock)
        history = read_history(tmp_path)
        assert [(e["started"][11:19], e["ended"][11:19]) for e in history] == [
            ("12:01:00", "12:03:30"),
            ("12:04:00", "12:04:59"),
            ("12:05:00", "12:06:00"),
            ("12:07:00", "12:07:00"),
        ]
        assert traces.read_text() == "start\nend\n" * 4

    def test_status_of_a_run_that_fails(self, tmp_path: Path, traces: Path) -> None:
        said = run(tmp_path, command(traces, status=3), times=2)
        assert [entry["status"] for entry in read_history(tmp_path)] == [3, 3]
        assert said.count("run ended with status 3") == 2

    def test_a_clock_that_is_set_meanwhile(self, tmp_path: Path, traces: Path) -> None:
        clock = FakeClock(datetime(2026, 3, 1, 11, 30, tzinfo=UTC))
        sleep = clock.sleep

        def set_forward(seconds: float) -> None:
            sleep(seconds)
            if clock.time.minute == 40 and clock.time.hour == 11:
                clock.time = datetime(2026, 3, 1, 12, 45, tzinfo=UTC)

        clock.sleep = set_forward  # type: ignore[method-assign]
        run(tmp_path, command(traces), times=2, cron="0 * * * *", clock=clock)
        assert started(tmp_path) == ["2026-03-01T12:45:00+00:00", "2026-03-01T13:00:00+00:00"]

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
    def test_time_zones(
        self, tmp_path: Path, traces: Path, cron: str, timezone: str, expected: str
    ) -> None:
        said = run(tmp_path, command(traces), times=1, cron=cron, timezone=timezone)
        assert started(tmp_path) == [expected]
        due = datetime.fromisoformat(said[0].removeprefix("next run: "))
        assert due == datetime.fromisoformat(expected)
        assert due.utcoffset() == due.astimezone(ZoneInfo(timezone)).utcoffset()

    def test_daylight_saving(self, tmp_path: Path, traces: Path) -> None:
        clock = FakeClock(datetime(2026, 3, 28, 12, 0, tzinfo=UTC))
        run(
            tmp_path,
            command(traces),
            times=2,
            cron="0 6 * * *",
            timezone="Europe/Berlin",
            clock=clock,
        )
        assert started(tmp_path) == ["2026-03-29T04:00:00+00:00", "2026-03-30T04:00:00+00:00"]

    def test_wall_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slept: list[float] = []
        monkeypatch.setattr("bonafide.training.schedule.time.sleep", slept.append)
        WallClock().sleep(2.5)
        assert slept == [2.5]
        before = datetime.now(UTC)
        assert before <= WallClock().now() <= datetime.now(UTC)


class TestHistory:
    def test_nothing_yet(self, tmp_path: Path) -> None:
        assert read_history(tmp_path) == []

    def test_survives_a_restart(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=2)
        before = read_history(tmp_path)
        later = FakeClock(START + timedelta(hours=1))
        run(tmp_path, command(traces, status=1), times=1, clock=later)
        history = read_history(tmp_path)
        assert history[:2] == before
        assert [entry["status"] for entry in history] == [0, 0, 1]
        assert history[2]["started"] == "2026-03-01T13:01:00+00:00"

    def test_the_log_holds_what_was_printed(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=2)
        logs = [Path(entry["log"]) for entry in read_history(tmp_path)]
        assert len(set(logs)) == 2
        for log in logs:
            assert log.parent == tmp_path / "logs"
            assert sorted(log.read_text().splitlines()) == ["in doubt", "on its way"]

    def test_interrupted(self, tmp_path: Path, traces: Path) -> None:
        """The schedule is killed while a run goes on."""
        run(tmp_path, command(traces), times=1)

        class Killed(BaseException):
            pass

        def kill(*_: object, **__: object) -> None:
            raise Killed

        later = FakeClock(START + timedelta(hours=1))
        schedule = Schedule("* * * * *", command(traces), tmp_path, timezone="UTC", clock=later)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr("bonafide.training.schedule.subprocess.run", kill)
            schedule.run(say=lambda _: None, times=1)
        run(tmp_path, command(traces), times=1, clock=FakeClock(START + timedelta(hours=2)))
        history = read_history(tmp_path)
        assert [entry["status"] for entry in history] == [0, "interrupted", 0]
        assert history[1]["ended"] == "-"
        assert history[1]["started"] == "2026-03-01T13:01:00+00:00"
        assert {"started", "ended", "status", "log"} == set.union(*map(set, history))

    def test_killed_while_writing(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=1)
        whole = read_history(tmp_path)
        with (tmp_path / "schedule.jsonl").open("a") as file:
            file.write('{"started": "2026-03-01T13:0')
        assert read_history(tmp_path) == whole

    def test_one_json_object_a_line(self, tmp_path: Path, traces: Path) -> None:
        run(tmp_path, command(traces), times=1)
        first, second = map(json.loads, (tmp_path / "schedule.jsonl").read_text().splitlines())
        assert set(first) == {"started", "log"}
        assert second == {"started": first["started"], "ended": first["started"], "status": 0}


FIELDS = r"must be five fields: minute, hour, day, month, weekday"


class TestBadCron:
    @pytest.mark.parametrize(
        ("cron", "timezone", "match"),
        [
            ("", None, r"cron '' in time zone local: Wrong number of fields"),
            ("* * * *", None, r"cron '\* \* \* \*' .*got 4, expected 5"),
            ("* * * * * *", None, r"got 6, expected 5"),
            ("61 * * * *", None, r"cron '61 .*last value \(61\) is higher than the maximum"),
            ("* 24 * * *", None, r"higher than the maximum value \(23\)"),
            ("0 0 0 * *", None, r"lower than the minimum value \(1\)"),
            ("a * * * *", None, r"Unrecognized expression .a. for field .minute"),
            ("*/0 * * * *", None, r"cron '\*/0 .*Increment must be higher than 0"),
            ("5-1 * * * *", None, r"minimum value in a range must not be higher"),
            ("@daily", None, r"got 1, expected 5"),
            ("* * * * *", "Mars/Olympus", r"time zone Mars/Olympus: .*Mars/Olympus"),
            ("* * * * *", "../etc/passwd", r"time zone \.\./etc/passwd: "),
            ("0 0 30 2 *", "UTC", r"cron '0 0 30 2 \*' in time zone UTC: "),
        ],
    )
    def test_refused(self, tmp_path: Path, cron: str, timezone: str | None, match: str) -> None:
        with pytest.raises(ConfigError, match=match) as caught:
            Schedule(cron, ["true"], tmp_path, timezone=timezone)
        assert caught.value.code == "bad_cron"
        assert FIELDS in caught.value.message


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
