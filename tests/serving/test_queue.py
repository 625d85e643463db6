"""The folder that a server's workers share: private, and removed."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from bonafide.errors import ConfigError
from serving.workers.queue import TICKET, leave, open_queue, run_folder, socket_path, sweep


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def place(temp: Path, server: int) -> Path:
    return temp / f"bonafide-{os.getuid()}-{server}"


def gone() -> int:
    """Return the number of a process that ran and has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_the_folder_is_its_users_alone(temp: Path) -> None:
    old = os.umask(0)
    try:
        folder = run_folder(42)
    finally:
        os.umask(old)
    assert folder == place(temp, 42) == run_folder(42)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    pipe = (folder / "queue").stat().st_mode
    assert stat.S_ISFIFO(pipe) and stat.S_IMODE(pipe) == 0o600


def test_a_folder_that_others_may_enter_is_refused(temp: Path) -> None:
    place(temp, 42).mkdir()
    place(temp, 42).chmod(0o750)
    refused()


def test_a_file_in_its_place_is_refused(temp: Path) -> None:
    place(temp, 42).touch(mode=0o600)
    refused()


def test_a_link_in_its_place_is_refused(temp: Path) -> None:
    (temp / "elsewhere").mkdir(mode=0o700)
    place(temp, 42).symlink_to(temp / "elsewhere")
    refused()
    assert not list((temp / "elsewhere").iterdir())


def test_another_users_folder_is_refused(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    place(temp, 42).mkdir(mode=0o700)
    refused()


def refused() -> None:
    with pytest.raises(
        ConfigError, match="must be a folder of this user alone; remove it"
    ) as raised:
        run_folder(42)
    assert raised.value.code == "bad_run_folder"


def test_workers_share_one_queue_that_does_not_block() -> None:
    folder = run_folder(42)
    ends = [open_queue(folder), open_queue(folder)]
    with pytest.raises(BlockingIOError):
        os.read(ends[0], TICKET.size)
    tickets = [bytes([number]) * TICKET.size for number in range(3)]
    for ticket in tickets:
        os.write(ends[0], ticket)
    assert [os.read(end, TICKET.size) for end in (ends[1], ends[0], ends[1])] == tickets
    for end in ends:
        os.close(end)


def test_the_last_worker_that_leaves_removes_the_folder() -> None:
    folder, dead = run_folder(42), gone()
    workers = (os.getpid(), os.getppid())
    for worker in (*workers, dead):
        socket_path(folder, worker).touch()
    leave(folder, workers[0])
    assert sorted(path.name for path in folder.iterdir()) == sorted(["queue", f"{workers[1]}.sock"])
    leave(folder, workers[1])
    assert not folder.exists()
    leave(folder, workers[1])  # as when both leave at once


def test_what_killed_servers_left_is_swept(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, alive = run_folder(gone()), run_folder(os.getpid())
    socket_path(dead, 7).touch()
    stranger = temp / f"bonafide-{os.getuid() + 1}-{gone()}"
    stranger.mkdir()
    sweep()
    assert sorted(temp.iterdir()) == sorted([alive, stranger])
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    sweep()  # named like ours, and another's
    assert stranger.exists()
