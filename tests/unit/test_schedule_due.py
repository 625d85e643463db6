"""What makes a scheduled run due, what makes it needless, and who is told how it ended."""

import json
import re
import shlex
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bonafide import history
from bonafide.cli.root import cli
from bonafide.errors import ConfigError, CorpusError
from bonafide.history import BLANK, note, outcome, read_history
from bonafide.registry import promote
from bonafide.training.schedule.notices import Notices
from bonafide.training.schedule.runner import RESULT, Schedule
from bonafide.training.schedule.targets import Job, zenml
from bonafide.training.schedule.triggers import Age, NewData, Size, Watched, cron_trigger
from tests.helpers.clock import NOON, let_seconds_pass
from tests.helpers.lineages import files_of, keep_with_lineage
from tests.helpers.servers import wait_for

DAY = timedelta(days=1)
TRAINS = (
    "import json, os; "
    f"open(os.environ[{RESULT!r}], 'w').write(json.dumps("
    "{'version': 'site:3', 'eer': {'value': 0.1, 'low': 0.05, 'high': 0.2}, 'reasons': REASONS}))"
)


def trains(*reasons: str) -> list[str]:
    """Return a command that tells a result as `bonafide train` does."""
    code = TRAINS.replace("REASONS", repr(list(reasons)))
    return [sys.executable, "-S", "-c", f"{code}; raise SystemExit({int(bool(reasons))})"]


@pytest.fixture(autouse=True)
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    let_seconds_pass(monkeypatch)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    manifest = tmp_path / "corpus" / "manifest.csv"
    manifest.write_text(files_of(manifest.parent, 12).to_csv())
    return manifest


def watched(corpus: Path, settings: str = "{}") -> Watched:
    return Watched([str(corpus)], settings, corpus.parents[1] / "home")


def one_more(corpus: Path) -> None:
    """Add a row with a file of its own."""
    lines = corpus.read_text().splitlines()
    old = lines[-1].split(",")[0]
    (corpus.parent / "new.wav").write_text("one more")
    corpus.write_text("\n".join([*lines, lines[-1].replace(old, "new.wav")]) + "\n")


def schedule(corpus: Path, command: list[str], **more: Any) -> tuple[Schedule, list[str]]:
    said: list[str] = []
    seen = watched(corpus, more.pop("settings", "{}"))
    return Schedule(None, command, seen.root, say=said.append, watched=seen, **more), said


def statuses(root: Path) -> list[str]:
    return [run["status"] for run in read_history(root)]


class TestRules:
    @pytest.mark.parametrize(
        ("rule", "size", "why"),
        [
            (NewData(rows=5), Size(104, 9), ""),
            (NewData(rows=5), Size(105, 0), "5 new rows"),
            (NewData(bytes=10), Size(999, 1009), ""),
            (NewData(bytes=10), Size(0, 1010), "10 new bytes"),
            (NewData(rows=5, bytes=10), Size(100, 1010), "10 new bytes"),
        ],
    )
    def test_new_data(self, rule: NewData, size: Size, why: str) -> None:
        """Since the last run that knew the size, however it ended."""
        runs = [{"rows": 100, "bytes": 1000, "status": "failed"}, {"status": "interrupted"}]
        assert rule.due(runs, NOON, size) == why

    def test_all_is_new_before_the_first_run(self) -> None:
        assert NewData(rows=10).due([], NOON, Size(10, 1)) == "10 new rows"

    @pytest.mark.parametrize(
        ("ended", "why"),
        [
            ([], "no run yet"),
            ([(8, "ok")], "the last run is 8.0 days old"),
            ([(6.9, "ok")], ""),
            ([(9, "ok"), (3, "skipped")], ""),
            ([(9, "ok"), (3, "refused")], ""),
            ([(9, "ok"), (3, "failed")], "the last run is 9.0 days old"),
            ([(9, "ok"), (0.5, "failed")], ""),  # not again and again
            ([(0.5, "interrupted")], ""),
            ([(1.5, "interrupted")], "no run yet"),
        ],
    )
    def test_age(self, ended: list[tuple[float, str]], why: str) -> None:
        runs = [
            {"started": (NOON - days * DAY).isoformat(), "status": status} for days, status in ended
        ]
        assert Age(7 * DAY).due(runs, NOON, Size(0, 0)) == why


class TestWatched:
    def test_what_changes_it(self, corpus: Path) -> None:
        before = watched(corpus)
        seen, size = before.parts(), before.size()
        assert before.parts() == seen and size.rows == 12
        assert watched(corpus, '{"seed": 2}').parts() != seen
        one_more(corpus)
        assert before.parts() != seen
        assert before.size().rows == 13 and before.size().bytes > size.bytes

    def test_a_missing_file_counts_nothing(self, corpus: Path) -> None:
        size = watched(corpus).size()
        file = corpus.parent / "3.wav"
        gone = file.stat().st_size
        file.unlink()
        assert watched(corpus).size() == Size(size.rows, size.bytes - gone)


class TestSkips:
    def test_an_unchanged_night(self, corpus: Path) -> None:
        nightly, said = schedule(corpus, trains())
        nightly.start()
        nightly.start()
        first, second = read_history(nightly.root)
        assert (first["status"], first["version"], first["eer"]["value"]) == ("ok", "site:3", 0.1)
        assert second["status"] == "skipped" and second["ended"] != "-"
        assert second["reason"] == f"nothing changed since the run of {first['started']}"
        assert said == ["run ended: ok", f"no run: {second['reason']}"]

    def test_people_hear_of_a_drift_that_nothing_new_can_mend(self, corpus: Path) -> None:
        told: list[dict[str, Any]] = []
        nightly, _ = schedule(corpus, trains(), tell=told.append)
        nightly.start()
        nightly.start()
        nightly.start("drift from site:3: channels", by_rule=True)
        assert [run["status"] for run in told] == ["ok", "skipped"]
        assert told[1] == read_history(nightly.root)[-1]

    def test_a_refusal_is_not_asked_for_again(self, corpus: Path) -> None:
        nightly, _ = schedule(corpus, trains("worse than site:2", "too slow"))
        nightly.start()
        nightly.start()
        first, second = read_history(nightly.root)
        assert (first["status"], first["reason"]) == ("refused", "worse than site:2; too slow")
        assert second["reason"].endswith(f"{first['started']}, which was refused")

    def test_what_makes_it_run_again(self, corpus: Path) -> None:
        nightly, _ = schedule(corpus, trains())
        nightly.start()
        one_more(corpus)
        nightly.start()
        other, _ = schedule(corpus, trains(), settings='{"seed": 2}')
        other.start()
        other.start()
        assert statuses(nightly.root) == ["ok", "ok", "ok", "skipped"]

    def test_another_bundle_in_production(self, corpus: Path, tmp_path: Path) -> None:
        """A challenger that lost to one champion may win over another."""
        nightly, _ = schedule(corpus, trains("worse"))
        nightly.start()
        files = files_of(tmp_path / "other", 6)
        kept = keep_with_lineage(nightly.root, tmp_path / "made", files)
        promote(nightly.root, kept, override="a test")
        nightly.start()
        nightly.start()
        assert statuses(nightly.root) == ["refused", "refused", "skipped"]

    def test_what_failed_is_tried_again(self, corpus: Path) -> None:
        broken, _ = schedule(corpus, [sys.executable, "-c", "raise SystemExit(2)"])
        broken.start()
        broken.start()
        assert statuses(broken.root) == ["failed", "failed"]

    def test_a_corpus_that_cannot_be_read_is_the_runs_to_tell(self, corpus: Path) -> None:
        nightly, _ = schedule(corpus, trains())
        nightly.start()
        corpus.write_text("path,label\n")
        nightly.start()
        assert statuses(nightly.root) == ["ok", "ok"]


class TestLooking:
    def test_new_data_counts_once_it_has_settled(self, corpus: Path) -> None:
        nightly, _ = schedule(corpus, trains(), rules=[NewData(rows=1)])
        nightly.look()
        assert statuses(nightly.root) == []  # seen for the first time
        nightly.look()
        nightly.look()
        assert statuses(nightly.root) == ["ok"]
        one_more(corpus)
        nightly.look()
        assert statuses(nightly.root) == ["ok"]  # it may still grow
        nightly.look()
        nightly.look()
        runs = read_history(nightly.root)
        assert [run["why"] for run in runs] == ["12 new rows", "1 new rows"]

    def test_a_failing_run_is_not_repeated_for_the_same_data(self, corpus: Path) -> None:
        broken, _ = schedule(corpus, [sys.executable, "-c", "1/0"], rules=[NewData(rows=1)])
        for _ in range(5):
            broken.look()
        assert statuses(broken.root) == ["failed"]
        assert read_history(broken.root)[0]["reason"] == "ZeroDivisionError: division by zero"

    def test_a_corpus_that_is_not_there(self, corpus: Path) -> None:
        nightly, said = schedule(corpus, trains(), rules=[NewData(rows=1)])
        corpus.unlink()
        nightly.look()
        assert said[0].startswith("cannot look: no_corpus: ") and statuses(nightly.root) == []

    @pytest.mark.parametrize(("hours", "expected"), [(26, 1), (0, 0)])
    def test_times_while_no_schedule_ran(self, tmp_path: Path, hours: int, expected: int) -> None:
        """Made up for by one run; none where none was missed."""
        at = history.now() - timedelta(hours=hours)
        note(tmp_path, {"started": at.isoformat(), "ended": at.isoformat(), "status": "ok"})
        daily = Schedule(cron_trigger("0 3 * * *", "UTC"), trains(), tmp_path, say=print)
        thread = threading.Thread(target=daily.run)
        thread.start()

        def settled() -> bool:
            runs = read_history(tmp_path)
            return len(runs) == 1 + expected and runs[-1]["ended"] != "-"

        def stopped() -> bool:
            daily.stop()  # again, where it has not begun
            return not thread.is_alive()

        wait_for(settled, "the run that makes up for it")
        wait_for(stopped, "its end")
        made_up = [run["why"] for run in read_history(tmp_path)[1:]]
        assert made_up == ["2026-03-01T03:00:00+00:00 was missed"] * expected


class TestOutcome:
    @pytest.mark.parametrize(
        ("status", "log", "told"),
        [
            (0, "all is well\n", ("ok", "")),
            (2, "bonafide: bad_sky: low\nmore\n", ("failed", "bad_sky: low")),
            (1, "a traceback\nits end\n\n", ("failed", "its end")),  # no result: not the gate's 1
            (1, "", ("failed", "")),
            (-9, "half a li", ("failed", "ended by signal 9; half a li")),
            (-2, "", ("interrupted", "")),
            (130, "bonafide: stopped\n", ("interrupted", "stopped")),
        ],
    )
    def test_by_exit_and_log(self, tmp_path: Path, status: int, log: str, told: Any) -> None:
        (tmp_path / "log").write_text(log)
        found = outcome(status, tmp_path / "none", tmp_path / "log")
        assert (found["status"], found["reason"]) == told and found["exit"] == status

    def test_numbers_of_earlier_versions_are_read(self, tmp_path: Path) -> None:
        for second, status in enumerate((0, 1, 2, 130)):
            note(tmp_path, {"started": f"2026-01-01T00:00:0{second}+00:00", "status": status})
        assert statuses(tmp_path) == ["ok", "refused", "failed", "interrupted"]


RUN = {**BLANK, "started": "2026-03-01T12:00:00+00:00", "status": "refused", "version": "site:3"}
RUN |= {"reason": "worse than site:2", "eer": {"value": 0.1, "low": 0.05, "high": 0.2}}


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[index]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestNotices:
    def test_a_webhook_and_an_email(self) -> None:
        posted: list[dict[str, str]] = []
        mailed: list[str] = []

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        class Mail(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                """Speak as much of SMTP (RFC 5321) as a client needs to leave one message."""
                self.wfile.write(b"220 here\r\n")
                for line in iter(self.rfile.readline, b""):
                    if line.upper().startswith(b"DATA"):
                        self.wfile.write(b"354 go on\r\n")
                        mailed.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                    self.wfile.write(b"250 fine\r\n")

        said: list[str] = []
        with (
            serving(HTTPServer(("127.0.0.1", 0), Hook)) as hook,
            serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)) as mail,
        ):
            urls = [
                f"json://127.0.0.1:{hook}/hook",
                f"mailto://127.0.0.1:{mail}?from=a@example.org&to=b@example.org&mode=insecure",
            ]
            Notices(urls, said.append).tell(RUN)
        assert said == []
        (told,) = posted
        assert (told["title"], told["type"]) == ("bonafide: training refused", "warning")
        for text in ("worse than site:2", "version: site:3", "EER: 10.0% [5.0%, 20.0%]"):
            assert text in told["message"]
        (letter,) = mailed
        assert "Subject: bonafide: training refused" in letter and "site:3" in letter

    def test_one_that_cannot_be_reached_is_told_without_its_secrets(self) -> None:
        said: list[str] = []
        Notices(["json://me:secret@127.0.0.1:1/"], said.append).tell(RUN)
        (line,) = said
        assert line.startswith("no notice to json://") and "secret" not in line

    def test_one_that_is_none(self) -> None:
        with pytest.raises(
            ConfigError, match=r"--notify carrier-pigeon://\.\.\.: no add"
        ) as caught:
            Notices(["carrier-pigeon://me:secret@roof"], print)
        assert caught.value.code == "bad_notify" and "secret" not in caught.value.message


class TestEmit:
    def emit(self, corpus: Path, target: str, *words: str) -> str:
        given = ["--cron", "5 3 * * 1", "--corpus", str(corpus), *words]
        done = CliRunner().invoke(cli, ["schedule", "emit", "--target", target, *given])
        assert done.exit_code == 0, done.output
        return done.output

    def test_cron(self, corpus: Path) -> None:
        _, zone, line = self.emit(corpus, "cron", "--timezone", "Asia/Tokyo").splitlines()
        assert zone == "CRON_TZ=Asia/Tokyo" and line.startswith("5 3 * * 1 env BONAFIDE_HOME=")
        words = shlex.split(line)[7:]
        assert words[1:] == ["train", "--quiet", "--corpus", str(corpus), "--keep", "30"]
        assert Path(words[0]).name == "bonafide"

    def test_every_target_names_where_the_records_of_zenml_lie(
        self, corpus: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ZENML_CONFIG_PATH", str(corpus.parent / "100 %"))
        zenml_at = f"ZENML_CONFIG_PATH={corpus.parent}/100 %"
        assert shlex.quote(zenml_at).replace("%", r"\%") in self.emit(corpus, "cron")
        assert f'"{zenml_at}%"' in self.emit(corpus, "systemd")
        job = yaml.safe_load(self.emit(corpus, "kubernetes"))
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert {each["name"] for each in container["env"]} == {"BONAFIDE_HOME", "ZENML_CONFIG_PATH"}

    def test_a_corpus_that_is_not_there_is_said_now(self, corpus: Path) -> None:
        missing = str(corpus.parent / "nowhere")
        for words in (("run",), ("emit", "--target", "cron")):
            given = ["schedule", *words, "--cron", "5 3 * * 1", "--corpus", missing]
            done = CliRunner().invoke(cli, given)
            assert isinstance(done.exception, CorpusError) and missing in str(done.exception)

    def test_systemd(self, corpus: Path) -> None:
        unit = self.emit(corpus, "systemd")
        (started,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        words = shlex.split(started)
        assert words[1:7] == ["schedule", "run", "--cron", "5 3 * * 1", "--timezone", "UTC"]
        parsed = CliRunner().invoke(cli, [*words[1:], "--help"])
        assert parsed.exit_code == 0

    def test_kubernetes(self, corpus: Path) -> None:
        job = yaml.safe_load(self.emit(corpus, "kubernetes", "--image", "here/bonafide:1"))
        assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
        assert (job["spec"]["schedule"], job["spec"]["timeZone"]) == ("5 3 * * 1", "UTC")
        assert job["spec"]["concurrencyPolicy"] == "Forbid"
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "here/bonafide:1"
        assert container["command"][:2] == ["bonafide", "train"]
        mounted = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
        assert any(folder in corpus.parents for folder in mounted)

    def test_zenml(self, corpus: Path) -> None:
        from zenml.config.pipeline_run_configuration import PipelineRunConfiguration

        run = PipelineRunConfiguration.model_validate(yaml.safe_load(self.emit(corpus, "zenml")))
        assert run.schedule and run.schedule.cron_expression == "5 3 * * 1"
        assert run.parameters["corpora"] == [str(corpus)]

    def test_zenml_knows_no_time_zones(self, corpus: Path) -> None:
        with pytest.raises(ConfigError, match=r"--timezone Asia/Tokyo: .* must be UTC") as caught:
            zenml(Job("5 3 * * 1", "Asia/Tokyo", [], {}, {}, [], ""))
        assert caught.value.code == "bad_timezone"


def test_nothing_that_says_when(corpus: Path) -> None:
    done = CliRunner().invoke(cli, ["schedule", "run", "--corpus", str(corpus)])
    assert isinstance(done.exception, ConfigError) and done.exception.code == "no_trigger"
