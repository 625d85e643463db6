"""The file of results: written as scored, gone on with where a run was stopped, never lost."""

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import read_bundle
from bonafide.cli import main
from bonafide.home import SHIPPED
from tests.helpers.moments import ALL
from tests.helpers.servers import wait_for

WAV = encode(speech(2.0), "wav")
NAMES = ("a.wav", "b.wav", 'c,"\n".wav', "d\r.wav", os.fsdecode(b"na\xefve.wav"), "text.wav")
STYLES = ("csv", "jsonl")
ENDS = (signal.SIGINT, signal.SIGKILL, signal.SIGTERM)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(b"not a sound" if name == "text.wav" else WAV)
    return folder


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the files that are scored."""
    from bonafide.detector import Detector

    seen: list[str] = []
    score = Detector.score

    def counted(self: Detector, source: Path) -> object:
        seen.append(source.name)
        return score(self, source)

    monkeypatch.setattr(Detector, "score", counted)
    return seen


def run(folder: Path, style: str, output: Path, *words: str) -> int:
    return main(["score", str(folder), "--format", style, "--output", str(output), *words])


@pytest.mark.parametrize("style", STYLES)
def test_a_stopped_run_goes_on_wherever_it_was_stopped(
    style: str, folder: Path, tmp_path: Path, scored: list[str]
) -> None:
    output = tmp_path / "out"
    assert run(folder, style, output) == 1
    whole = output.read_bytes()
    third = whole.index(b"/c,") + 7  # in a name that holds a line end
    for size in (0, 3, 60, 70, third, third + 2, len(whole) // 2, len(whole) - 1, len(whole)):
        output.write_bytes(whole[:size])
        scored.clear()
        assert run(folder, style, output) == 1  # the text is among them, kept or not
        assert output.read_bytes() == whole
        assert scored == [Path(name).name for name in sorted(NAMES)][len(NAMES) - len(scored) :]
        assert size < third or len(scored) <= 4
    assert scored == []


def test_a_new_file_among_them_is_scored(
    folder: Path, tmp_path: Path, scored: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    run(folder, "csv", output)
    (folder / "aa.wav").write_bytes(WAV)
    scored.clear()
    capsys.readouterr()
    assert run(folder, "csv", output) == 1
    assert scored == ["aa.wav"]
    assert capsys.readouterr().err == f"{output}: 6 results are there and are kept\n"
    with output.open(newline="", errors="surrogateescape") as file:
        paths = [Path(row["path"]).name for row in csv.DictReader(file)]
    assert paths == [*sorted(NAMES), "aa.wav"]


@pytest.mark.parametrize("style", STYLES)
def test_what_cannot_be_gone_on_with_is_left_alone(
    style: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    other = {"csv": "jsonl", "jsonl": "csv"}[style]
    run(folder, other, output)
    of_the_other_style = output.read_bytes()
    mine = (b'{"my": "settings"}', b'{"path": "a.wav", "label": "mine"}')
    others = (of_the_other_style, WAV, b"\n", b"[]\n", b"path,label\na.wav,real\n")
    for content in (*others, *mine):
        output.write_bytes(content)
        assert run(folder, style, output) == 2
        error = capsys.readouterr().err
        assert f"bonafide: output_exists: {output}: exists; these are no results in" in error
        assert error.endswith("name another file or pass --overwrite\n")
        assert output.read_bytes() == content
    assert run(folder, style, output, "--overwrite") == 1
    first = output.read_text(errors="replace")[:5]
    assert first == {"csv": "path,", "jsonl": '{"pat'}[style]


@pytest.mark.parametrize("style", STYLES)
def test_results_of_another_bundle_are_left_alone(
    style: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    run(folder, style, output)
    sha256 = read_bundle(SHIPPED).identity["sha256"]
    content = output.read_bytes().replace(sha256.encode(), b"0" * 64)
    output.write_bytes(content)
    assert run(folder, style, output) == 2
    said = f"these are results of bundle 00000000, and {sha256[:8]} is to score"
    assert said in capsys.readouterr().err
    assert output.read_bytes() == content


@pytest.mark.parametrize("style", ["table", "json"])
def test_formats_that_are_not_resumed(
    style: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run(folder, style, output) == run(folder, style, output, "--overwrite") == 1
    capsys.readouterr()
    assert run(folder, style, output) == 2
    assert "is not resumed, only csv and jsonl are" in capsys.readouterr().err


def test_a_recording_is_never_written_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for style in ("table", "json", *STYLES):
        assert run(folder, style, folder / "a.wav") == 2
        assert (folder / "a.wav").read_bytes() == WAV
    assert capsys.readouterr().err.count("output_exists") == 4


def test_two_runs_do_not_write_to_one_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    with output.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run(folder, "csv", output) == 2
    assert f"output_busy: {output}: another run writes to it" in capsys.readouterr().err


def test_standard_input_is_scored_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    for _ in range(2):
        with (folder / "a.wav").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            assert main(["score", "-", "--format", "jsonl", "--output", str(output)]) == 0
    assert [json.loads(line)["path"] for line in output.read_text().splitlines()] == ["-", "-"]


def test_json_is_one_array(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(folder), "--format", "json"]) == 1
    results = json.loads(capsys.readouterr().out)
    assert [Path(result["path"]).name for result in results] == sorted(NAMES)
    assert main(["score", str(folder), "--format", "jsonl"]) == 1
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == results
    output = tmp_path / "out.csv"
    run(folder, "csv", output)
    assert json.loads(json.dumps(results)) == results


def test_an_interrupted_array_is_whole(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bonafide.detector import Detector

    score = Detector.score

    def stop_at_the_second(self: Detector, source: Path) -> object:
        if source.name == "b.wav":
            raise KeyboardInterrupt
        return score(self, source)

    monkeypatch.setattr(Detector, "score", stop_at_the_second)
    assert main(["score", str(folder), "--format", "json"]) == 130
    (result,) = json.loads(capsys.readouterr().out)
    assert result["path"] == str(folder / "a.wav")
    monkeypatch.setattr(Detector, "score", lambda *_: stop_at_the_second(*_))
    assert main(["score", str(folder / "b.wav"), "--format", "json"]) == 130
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("sent", ENDS if ALL else ENDS[:2])
def test_a_run_that_is_ended_leaves_whole_rows(
    sent: signal.Signals, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(200):
        (folder / f"many{number}.wav").symlink_to("a.wav")
    output = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "bonafide.cli", "score", str(folder), "--format", "jsonl"]
    with subprocess.Popen(
        [*command, "--output", str(output)], stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: output.exists() and output.read_bytes().count(b"\n") >= 5, "five rows")
        process.send_signal(sent)
        _, error = process.communicate(timeout=30)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent)
    assert "Traceback" not in error
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert 5 <= len(rows) < 200
    assert run(folder, "jsonl", output) == 1
    paths = [json.loads(line)["path"] for line in output.read_text().splitlines()]
    assert len(paths) == len(set(paths)) == 206


@pytest.mark.parametrize("kind", ["libsndfile", "FFmpeg", "no decoder"])
def test_ctrl_c_is_not_lost_in_a_decoder(kind: str, tmp_path: Path) -> None:
    """Most of the time a decoder asks Python for bytes, where an exception is their end.

    What nothing decodes is tried by one decoder after another, each of which raises.
    """
    path = tmp_path / "long"
    container = {"libsndfile": "flac", "FFmpeg": "m4a", "no decoder": ""}[kind]
    sound = np.tile(speech(10.0), 60)
    path.write_bytes(
        encode(sound, container) if container else np.random.default_rng(0).bytes(300_000)
    )
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bonafide.audio import AudioStream\n"
        "from bonafide.errors import AudioError\n"
        "from bonafide.process.interrupt import interruptible\n"
        "print('ready', flush=True)\n"
        "with interruptible():\n"
        "    while True:\n"
        "        try:\n"
        "            seconds = sum(map(len, AudioStream(Path(sys.argv[1])))) / 16_000\n"
        "        except AudioError:\n"
        "            continue\n"
        "        assert seconds > 599, seconds\n"
    )
    for number in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", code, path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout and process.stdout.readline() == "ready\n"
            time.sleep(0.05 + number * 0.0137)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGINT
        assert error.endswith("KeyboardInterrupt\n") and "cffi" not in error
        assert "ignored" not in error
