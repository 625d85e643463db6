"""The folder that a server's processes share: private, held while it lives, and removed."""

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bonafide.errors import ConfigError
from serving.http.errors import ApiError
from serving.workers.exchange import Exchange
from serving.workers.folder import enter, leave, make_run_folder, sweep, temporary_folder
from serving.workers.queue import (
    ANSWER,
    HELLO,
    TICKET,
    audio_path,
    open_queue,
    socket_path,
    taken_path,
)

HOLD = """
import sys
from serving.workers import folder
folder.SOCKET_BYTES = 200
print(folder.make_run_folder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("serving.workers.folder.SOCKET_BYTES", 200)  # pytest's paths are long
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(temp: Path) -> Path:
    """A run folder that no process holds."""
    folder = temp / f"bonafide-{os.getuid()}-abcdefgh"
    os.close(enter(folder))
    return folder


@pytest.fixture
def held(temp: Path) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """A run folder, and the process that holds it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD], text=True, **pipes) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert Path(line).parent == temp, line  # tests remove what is in it
        yield Path(line), process
        process.kill()


def gone() -> int:
    """Return the number of a process that ran and has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_the_folder_is_its_users_alone(temp: Path) -> None:
    old = os.umask(0)
    try:
        made = make_run_folder()
        os.close(open_queue(made))
    finally:
        os.umask(old)
    assert made.parent == temp and made != make_run_folder()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    pipe = (made / "queue").stat().st_mode
    assert stat.S_ISFIFO(pipe) and stat.S_IMODE(pipe) == 0o600


def test_a_folder_that_vanished_is_made_again(folder: Path) -> None:
    folder.rmdir()
    old = os.umask(0)
    try:
        os.close(enter(folder))
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_may_enter_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    refused(folder)


def test_a_file_in_its_place_is_refused(folder: Path) -> None:
    folder.rmdir()
    folder.touch(mode=0o600)
    refused(folder)


def test_a_link_in_its_place_is_refused(temp: Path, folder: Path) -> None:
    folder.rename(temp / "elsewhere")
    folder.symlink_to(temp / "elsewhere")
    refused(folder)
    assert not list((temp / "elsewhere").iterdir())


def test_another_users_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    refused(folder)


def refused(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match="must be a folder of this user alone; remove it"
    ) as raised:
        enter(folder)
    assert raised.value.code == "bad_run_folder"


BAD = {
    "missing": ("missing", "must be a folder that is there"),
    "a file": ("file", "must be a folder that is there"),
    "too long": ("long" * 40, r"its \d+ bytes leave no room for a socket's name; must be at most"),
}


@pytest.mark.parametrize("name", BAD)
def test_no_folder_takes_the_place_of_one_that_cannot_be_used(
    temp: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    word, match = BAD[name]
    (temp / "file").touch()
    (temp / BAD["too long"][0]).mkdir()
    monkeypatch.setenv("TMPDIR", str(temp / word))
    with pytest.raises(ConfigError, match=match) as raised:
        make_run_folder()
    assert raised.value.code == "bad_tmpdir"


def test_a_folder_that_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc")  # not even root may
    with pytest.raises(ConfigError, match="TMPDIR=/proc: No such file") as raised:
        make_run_folder()
    assert raised.value.code == "bad_tmpdir"


def test_a_relative_folder_is_made_absolute(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(temp)
    monkeypatch.setenv("TMPDIR", ".")
    assert temporary_folder() == temp


def test_workers_share_one_queue_that_does_not_block(folder: Path) -> None:
    ends = [open_queue(folder), open_queue(folder)]
    with pytest.raises(BlockingIOError):
        os.read(ends[0], TICKET.size)
    tickets = [bytes([number]) * TICKET.size for number in range(3)]
    for ticket in tickets:
        os.write(ends[0], ticket)
    assert [os.read(end, TICKET.size) for end in (ends[1], ends[0], ends[1])] == tickets
    for end in ends:
        os.close(end)


def test_a_request_that_finds_the_queue_closed_is_told_so(folder: Path) -> None:
    async def ask() -> None:
        exchange = Exchange(folder)
        await exchange.open()
        upload = exchange.new_upload()
        upload.add(b"RIFF")
        exchange.close()
        upload.seal()
        with (folder / "another").open("wb"):  # gets the number that the queue had
            await exchange.answer("detect", upload)

    with pytest.raises(ApiError, match="lost in the service") as raised:
        asyncio.run(ask())
    assert raised.value.code == "not_ready"
    assert (folder / "another").read_bytes() == b""


def pretend_to_score(folder: Path, until: threading.Event) -> None:
    """Take tickets and answer them as a scorer does."""
    queue, number = open_queue(folder), 4_000_000
    with socket.socket(socket.AF_UNIX) as worker:
        worker.connect(str(socket_path(folder, os.getpid())))
        worker.sendall(HELLO.pack(number))
        while not until.wait(0.01):
            with contextlib.suppress(BlockingIOError):
                _, request, _, _ = TICKET.unpack(os.read(queue, TICKET.size))
                audio, notes = audio_path(folder, os.getpid(), request), b"{}"
                try:
                    audio.rename(taken_path(audio, number))
                except FileNotFoundError:
                    notes = b""
                time.sleep(0.1)  # two checks meanwhile
                worker.sendall(ANSWER.pack(request, len(notes), 0) + notes)
    os.close(queue)


def test_a_ticket_that_ended_with_a_scorer_is_written_again(folder: Path) -> None:
    async def ask() -> None:
        exchange, until = Exchange(folder), threading.Event()
        await exchange.open()
        upload = exchange.new_upload()
        upload.add(b"RIFF")
        upload.seal()
        waiting = asyncio.create_task(exchange.answer("detect", upload))
        await asyncio.sleep(0)
        queue = open_queue(folder)
        os.read(queue, TICKET.size)  # as one that is killed before it has the file
        os.close(queue)
        scoring = asyncio.create_task(asyncio.to_thread(pretend_to_score, folder, until))
        try:
            for _ in range(20):
                assert await exchange.is_heard(1.0)
                await asyncio.sleep(0.02)
            assert (await asyncio.wait_for(waiting, 5.0)).notes == {}
        finally:
            until.set()
            await scoring
            exchange.close()
            upload.close()

    asyncio.run(ask())
    assert [path for path in folder.iterdir() if "-" in path.name] == []


def test_the_last_worker_of_a_server_that_is_gone_removes_the_folder(folder: Path) -> None:
    (folder / "bentoml").mkdir()
    dead, workers = gone(), (os.getpid(), os.getppid())
    for worker in (*workers, dead):
        socket_path(folder, worker).touch()
    leave(folder, workers[0], server_is_gone=True)
    left = ["bentoml", f"{workers[1]}.sock"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(left)
    leave(folder, workers[1], server_is_gone=False)
    assert sorted(path.name for path in folder.iterdir()) == ["bentoml"]
    leave(folder, workers[1], server_is_gone=True)
    assert not folder.exists()
    leave(folder, workers[1], server_is_gone=True)  # as when both leave at once


def test_what_killed_servers_left_is_swept(
    temp: Path, folder: Path, held: tuple[Path, "subprocess.Popen[str]"]
) -> None:
    (folder / "bentoml").mkdir()
    socket_path(folder, 7).touch()
    living, process = held
    stranger = temp / f"bonafide-{os.getuid() + 1}-abcdefgh"
    stranger.mkdir()
    sweep(temp)
    assert sorted(temp.iterdir()) == sorted([living, stranger])
    process.kill()
    process.wait()
    sweep(temp)
    assert sorted(temp.iterdir()) == [stranger]


def test_a_folder_is_held_whatever_a_cleaner_does_to_it(
    temp: Path, held: tuple[Path, "subprocess.Popen[str]"]
) -> None:
    living, _ = held
    os.utime(living, (0, 0))
    for path in living.iterdir():
        path.unlink()
    sweep(temp)
    assert living.exists()


def test_another_users_folder_is_not_swept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getuid()
    named = folder.rename(folder.with_name(f"bonafide-{own + 1}-abcdefgh"))
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    sweep(folder.parent)  # named like ours, and another's
    assert named.exists()
