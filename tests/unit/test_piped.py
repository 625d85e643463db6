"""What comes through a pipe: scored like a file, and never waited for without end."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.sounds import encode, speech
from bonafide import piped
from bonafide.cli import main
from bonafide.errors import AudioError
from bonafide.piped import is_piped, opened

SCORE = f"exec '{sys.executable}' -m bonafide.cli score --format jsonl"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "a.wav"
    path.write_bytes(encode(speech(3.0), "wav"))
    return path


@pytest.fixture(scope="module")
def expected(clip: Path) -> dict[str, object]:
    (result,) = shell(f"{SCORE} '{clip}'")
    assert "error" not in result
    return {**result, "path": ""}


def shell(line: str) -> list[dict[str, object]]:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    results = [json.loads(text) for text in done.stdout.splitlines()]
    assert done.returncode == any("error" in result for result in results), done.stderr
    return results


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Make a named pipe; its suffix must not matter."""
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    return path


@pytest.fixture
def written(pipe: Path, clip: Path) -> Iterator[Path]:
    """Write a recording to the pipe, from another thread."""
    thread = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    thread.start()
    yield pipe
    thread.join()


@pytest.mark.parametrize(
    "line",
    [
        "cat {clip} | ({score} -)",
        "{score} - < {clip}",
        "cat {clip} | ({score} /dev/stdin)",
        "cat {clip} | ({score} /dev/fd/0)",
        "{score} <(cat {clip})",
        "{score} <(sleep 0.3; cat {clip})",
    ],
)
def test_is_scored_like_the_file(line: str, clip: Path, expected: dict[str, object]) -> None:
    (result,) = shell(line.format(score=SCORE, clip=clip))
    assert {**result, "path": ""} == expected


def test_so_is_a_named_pipe_whatever_its_suffix(
    written: Path, expected: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_piped(str(written))
    assert main(["score", "--format", "jsonl", str(written)]) == 0
    assert {**json.loads(capsys.readouterr().out), "path": ""} == expected


def test_others_are_scored_beside_it(clip: Path) -> None:
    """Also where it holds nothing, is closed, or is named twice."""
    first, second = shell(f"{SCORE} - '{clip}' < /dev/null")
    assert first["path"] == "-"
    assert first["error"] == {
        "code": "empty",
        "message": "standard input: the file is empty (0 bytes)",
    }
    assert "error" not in second
    closed, _ = shell(f"{SCORE} - '{clip}' <&-")
    assert closed["error"]["code"] == "unreadable"  # type: ignore[index]
    once, twice = shell(f"cat '{clip}' | ({SCORE} - -)")
    assert "error" not in once and twice["error"]["code"] == "empty"  # type: ignore[index]


@pytest.mark.parametrize("line", ["{score} /dev/zero /dev/urandom", "{score} - - < /dev/zero"])
def test_devices_never_end(line: str) -> None:
    results = shell(line.format(score=SCORE))
    assert [result["error"]["code"] for result in results] == ["unreadable"] * 2  # type: ignore[index]
    assert "is a device; must be a file or a pipe" in str(results)


def test_sockets(tmp_path: Path) -> None:
    path = tmp_path / "s.wav"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with pytest.raises(AudioError, match=r"s\.wav: is a socket; must be a file or a pipe"):
            with opened(str(path)):
                pass


def test_what_is_too_large(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piped, "MAX_BYTES", 1_000)
    with pytest.raises(AudioError, match=r"longer than the 0\.001 MB limit") as caught:
        with opened(str(written)):
            pass
    assert caught.value.code == "too_large"


def test_a_pipe_that_nobody_writes_to(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piped, "WRITER_S", 0.1)
    with pytest.raises(AudioError, match=r"nobody has written to this pipe within 0\.1 s"):
        with opened(str(pipe)):
            pass


def test_a_slow_writer_is_waited_for(
    pipe: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piped, "WRITER_S", 0.1)
    keep = os.open(pipe, os.O_RDWR)  # so that the next does not block
    writer = os.open(pipe, os.O_WRONLY)
    os.close(keep)

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(clip.read_bytes())

    timer = threading.Timer(0.5, write)
    timer.start()
    with opened(str(pipe)) as source:
        assert sum(map(len, source)) == 48_000  # type: ignore[arg-type]
    timer.join()


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(AudioError, match=r"'a\\x00\.wav': no file has this name") as caught:
        with opened("a\0.wav"):
            pass
    assert caught.value.code == "unreadable"


def test_files_pass_as_they_are(clip: Path, tmp_path: Path) -> None:
    for path in (clip, tmp_path / "gone.wav", tmp_path):
        with opened(str(path)) as source:
            assert source == path
        assert not is_piped(str(path))
    assert is_piped("-") and is_piped("/dev/stdin") and not is_piped("a\0.wav")
