"""`bonafide watch`: each recording that arrives is scored once, whatever ends the command."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sounds import encode, speech
from bonafide.artifact import file_sha256
from bonafide.cli.root import main
from bonafide.errors import ConfigError
from bonafide.watching import Arrivals, Mark, Scored, scored_before
from tests.helpers.kept import passed, versions
from tests.helpers.servers import wait_for
from tests.unit.test_cli import WITHOUT_RIGHTS

EVERY = "0.2"  # seconds
pytestmark = pytest.mark.usefixtures("restored_signals")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(speech(1.5, seed=seed), "flac"))
    return path


def arriving(inbox: Path) -> Arrivals:
    return Arrivals(inbox, set(), inbox / "rows.jsonl")


def names(marks: list[Mark]) -> list[str]:
    return [Path(mark.path).name for mark in marks]


# --- what arrives ---------------------------------------------------------------------------------


def test_a_recording_arrives_once_it_rests(inbox: Path) -> None:
    arrivals, path = arriving(inbox), inbox / "call.flac"
    whole = encode(speech(1.0), "flac")
    path.write_bytes(whole[:100])
    assert arrivals.look() == []
    path.write_bytes(whole[:200])
    assert arrivals.look() == []  # it grew
    path.write_bytes(whole)
    assert arrivals.look() == []
    assert names(arrivals.look()) == ["call.flac"]
    (mark,) = arrivals.look()  # until it is done with
    arrivals.done(mark)
    assert arrivals.look() == []


def test_what_is_no_recording_never_arrives(inbox: Path) -> None:
    (inbox / "notes.txt").write_text("mine")
    (inbox / "unnamed").write_text("no sound")
    (inbox / "gone.wav").symlink_to("/nowhere")
    put(inbox / ".hidden.flac")
    put(inbox / "deep" / "er.flac")
    (inbox / "again").symlink_to(inbox)
    arrivals = arriving(inbox)
    assert arrivals.look() == []
    assert names(arrivals.look()) == ["er.flac"]


def test_the_oldest_comes_first_and_another_of_its_name_anew(inbox: Path) -> None:
    for number, name in enumerate(("c.flac", "a.flac", "b.flac")):
        os.utime(put(inbox / name), (number, number))
    arrivals = arriving(inbox)
    arrivals.look()
    assert names(arrivals.look()) == ["c.flac", "a.flac", "b.flac"]
    for mark in arrivals.look():
        arrivals.done(mark)
    put(inbox / "a.flac", seed=2)
    assert arrivals.look() == []
    assert names(arrivals.look()) == ["a.flac"]


def test_a_folder_that_goes_and_comes(inbox: Path) -> None:
    arrivals = arriving(inbox)
    put(inbox / "a.flac")
    arrivals.look()
    inbox.rename(inbox.with_name("away"))
    with pytest.raises(ConfigError) as caught:
        arrivals.look()
    assert caught.value.code == "unreadable"
    inbox.with_name("away").rename(inbox)
    assert names(arrivals.look()) == ["a.flac"]


def test_the_file_of_results_never_arrives(inbox: Path) -> None:
    results = inbox / "results.wav"
    results.write_text("")
    arrivals = Arrivals(inbox, set(), results)
    for size in range(3):
        assert arrivals.look() == []
        results.write_text("x" * size)


def test_times_before_1970(inbox: Path) -> None:
    path = put(inbox / "old.flac")
    os.utime(path, ns=(0, -1_500_000_000))
    assert Mark.of("old.flac", path.stat()).modified == "-1.500000000"


# --- what was scored ------------------------------------------------------------------------------

ROW = {"path": "a.wav", "size_bytes": 3, "modified": "1.000000000", "sha256": "ab", "error": {}}


def test_the_last_row_is_cut_where_it_was_not_written_whole(tmp_path: Path) -> None:
    path, line = tmp_path / "rows.jsonl", json.dumps(ROW) + "\n"
    for half in ("", '{"path": "b'):
        path.write_text(line + half)
        mark = Mark("a.wav", 3, "1.000000000")
        assert scored_before(path) == Scored({mark}, {"a.wav": "ab"}, len(line))
    path.write_text('{"path": "b')
    assert scored_before(path) == Scored()
    path.write_text(line.rstrip())  # an editor took its end
    assert scored_before(path) == Scored({mark}, {"a.wav": "ab"}, len(line) - 1, open=True)


@pytest.mark.parametrize(
    "content",
    [
        *(
            "mine",
            "mine\n",
            "\n",
            "[]\n",
            '{"path": "a.wav"}\n',
            json.dumps(ROW) + "\n\n",
            "\xff\n",
        ),
        json.dumps({**ROW, "size_bytes": "many"}) + "\n",
        *('{"mine": 1, "precious": true}', '{"path": "mine.wav", "label": "mine"}'),
    ],
)
def test_a_file_of_anything_else_is_left_alone(
    inbox: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = inbox.with_name("inbox.jsonl")
    path.write_text(content, encoding="latin-1")
    before = path.read_bytes()
    assert main(["watch", str(inbox), "--bundle", "fast"]) == 2
    assert "output_exists" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        *(["--output", name] for name in ("-", "/dev/null", "/dev/full", "{inbox}/pipe")),
        *(["--every", number] for number in ("nan", "inf", "0")),
    ],
)
def test_what_cannot_be_is_wrong_usage(
    inbox: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(inbox / "pipe")
    words = [word.format(inbox=inbox) for word in words]
    assert main(["watch", str(inbox), "--bundle", "fast", *words]) == 2
    assert "bonafide: usage: " in capsys.readouterr().err


def test_the_root_has_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "/", "--bundle", "fast"]) == 2
    assert "--output: must be named" in capsys.readouterr().err


def test_a_full_disk_is_told(inbox: Path, tmp_path: Path) -> None:
    put(inbox / "a.flac")
    command = f"ulimit -f 0; exec {sys.executable} -m bonafide.cli watch {inbox} --bundle fast"
    done = subprocess.run(
        ["/bin/bash", "-c", f"{command} --every {EVERY}"],
        env={**os.environ, "BONAFIDE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "bonafide: disk_full: " in done.stderr and "Traceback" not in done.stderr


# --- the command ----------------------------------------------------------------------------------


@contextmanager
def watching(
    inbox: Path, home: Path, *words: str
) -> Iterator[tuple["subprocess.Popen[str]", Callable[[], list[dict[str, Any]]]]]:
    """Watch while the block lasts; give the process, and what reads the whole rows there are."""
    results = inbox.with_name("inbox.jsonl")
    command = [sys.executable, "-m", "bonafide.cli", "watch", str(inbox), "--every", EVERY, *words]
    with subprocess.Popen(
        command,
        env={**os.environ, "BONAFIDE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def rows() -> list[dict[str, Any]]:
            assert process.poll() is None, process.stderr and process.stderr.read()
            text = results.read_text() if results.exists() else ""
            return [json.loads(line) for line in text.split("\n")[:-1]]

        try:
            yield process, rows
        finally:
            process.kill()


def paths_of(rows: list[dict[str, Any]]) -> list[str]:
    return [Path(row["path"]).name for row in rows]


def test_each_is_scored_once_over_kills_and_restarts(inbox: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    put(inbox / "there.flac")
    (inbox / "text.wav").write_text("no sound")
    with watching(inbox, home, "--bundle", "fast") as (process, rows):
        wait_for(lambda: len(rows()) == 2, "both are scored")
        for number in range(4):
            put(inbox / f"more-{number}.flac", seed=number)
        wait_for(lambda: len(rows()) >= 3, "the first of the others is scored")
        process.kill()
        process.wait()
    results = inbox.with_name("inbox.jsonl")
    whole = results.read_text()
    results.write_text(whole.rstrip())
    with watching(inbox, home, "--bundle", "fast") as (process, rows):
        wait_for(lambda: rows() == list(map(json.loads, whole.splitlines())), "its end is there")
        process.kill()
        process.wait()
    with results.open("a") as file:
        file.write('{"path": "half a r')
    there = inbox / "there.flac"
    os.utime(there)  # touched, and the same
    with watching(inbox, home, "--bundle", "fast") as (process, rows):
        wait_for(lambda: len(rows()) == 6, "all are scored")
        put(there, seed=9)
        wait_for(lambda: len(rows()) == 7, "another one of its name is scored")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "inbox.jsonl, which has " in err and "there.flac" in out
    found = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted(paths_of(found)) == sorted(
        ["there.flac", "text.wav", "there.flac", *(f"more-{number}.flac" for number in range(4))]
    )
    assert [row["error"]["code"] for row in found if "error" in row] == ["not_audio"]
    last = found[-1]
    assert last["sha256"] == file_sha256(there) and last["size_bytes"] == there.stat().st_size
    assert last["path"] == str(there) and last["bundle"]["name"] == "fast"


def test_it_follows_production_and_no_other_writes_there(inbox: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    registry, (one, other) = versions(home, 2)
    passed(registry, one)
    registry.promote(one)
    put(inbox / "a.flac")
    with watching(inbox, home, "--quiet") as (process, rows):
        wait_for(lambda: len(rows()) == 1, "it is scored")
        passed(registry, other)
        registry.promote(other)
        put(inbox / "b.flac")
        wait_for(lambda: len(rows()) == 2, "the next one is scored")
        versions_heard = [row["bundle"]["version"] for row in rows()]
        with watching(inbox, home) as (second, _):
            _, err = second.communicate(timeout=60)
        assert second.returncode == 2 and "output_busy" in err
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert versions_heard == [one.identity["version"], other.identity["version"]]
    assert process.returncode == 0 and out == ""


def test_a_bundle_that_cannot_be_loaded_leaves_the_one_before(inbox: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    registry, (one, other) = versions(home, 2)
    passed(registry, one)
    registry.promote(one)
    passed(registry, other)
    with watching(inbox, home) as (process, rows):
        put(inbox / "a.flac")
        wait_for(lambda: len(rows()) == 1, "it is scored")
        registry.promote(other)
        (home / "bundles" / "fast" / str(other.identity["version"]) / "detector.onnx").unlink()
        put(inbox / "b.flac")
        wait_for(lambda: len(rows()) == 2, "the next one is scored")
        heard = [row["bundle"]["version"] for row in rows()]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert heard == [one.identity["version"]] * 2
    assert "the bundle before goes on" in err and "Traceback" not in err


def test_what_went_and_came_back_is_scored(inbox: Path, tmp_path: Path) -> None:
    """Whole, and each by its own content: the folder goes while a batch of it waits."""
    for number in range(12):
        put(inbox / f"{number:02d}.flac", seed=number)
    away = inbox.with_name("away")
    with watching(inbox, tmp_path / "home", "--bundle", "fast") as (process, rows):
        wait_for(lambda: len(rows()) >= 2, "some are scored")
        inbox.rename(away)
        wait_for(lambda: rows() and not inbox.exists(), "it is gone")
        time.sleep(1)
        away.rename(inbox)
        wait_for(lambda: len(rows()) == 12, "all are scored")
        same = inbox / "00.flac"
        before = same.read_bytes()
        put(same, seed=99)
        wait_for(lambda: len(rows()) == 13, "another one of its name is scored")
        same.write_bytes(before)
        wait_for(lambda: len(rows()) == 14, "and the first one again")
        found = rows()
        process.terminate()
        process.communicate(timeout=60)
    assert sorted(paths_of(found[:12])) == [f"{number:02d}.flac" for number in range(12)]
    assert found[-1]["sha256"] == file_sha256(same)


def test_results_that_are_taken_away_end_it(inbox: Path, tmp_path: Path) -> None:
    put(inbox / "a.flac")
    with watching(inbox, tmp_path / "home", "--bundle", "fast") as (process, rows):
        wait_for(lambda: len(rows()) == 1, "it is scored")
        inbox.with_name("inbox.jsonl").unlink()
        put(inbox / "b.flac")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "bonafide: output_gone: " in err


def test_what_cannot_be_read_is_told_once_and_scored_later(inbox: Path, tmp_path: Path) -> None:
    path = put(inbox / "a.flac")
    path.chmod(0)
    results = inbox.with_name("inbox.jsonl")
    command = [*WITHOUT_RIGHTS, sys.executable, "-m", "bonafide.cli", "watch", str(inbox)]
    with subprocess.Popen(
        [*command, "--every", EVERY, "--bundle", "fast"],
        env={**os.environ, "BONAFIDE_HOME": str(tmp_path / "home")},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_for(lambda: results.exists() and results.read_text(), "that is told")
        time.sleep(1)
        path.chmod(0o644)
        wait_for(lambda: len(results.read_text().splitlines()) == 2, "it is scored")
        process.terminate()
    first, second = map(json.loads, results.read_text().splitlines())
    assert "error" in first and first["sha256"] == ""
    assert "verdict" in second and second["sha256"] == file_sha256(path)
