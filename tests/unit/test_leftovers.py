"""What pruning takes for its own among features and logs, and what it says of the rest."""

import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bonafide.cli import prune as command
from pipelines import leftovers, prune
from pipelines.prune import Pruned

NOW: Any = [SimpleNamespace(created=datetime.now(UTC).replace(tzinfo=None))]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Logs, of which one is old and a run's; the others are links, folders and notes."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("train-1.log", "notes.txt", "elsewhere"):
        (folder / name).touch()
    (folder / "folder.log").mkdir()
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    (folder / "new.log").touch()
    os.utime(folder / "new.log", (2**32, 2**32))
    (folder / "dangling.log").symlink_to("/nowhere")
    (folder / "link.log").symlink_to(folder / "elsewhere")
    return folder


def test_old_logs_are_files_that_runs_wrote(logs: Path) -> None:
    assert leftovers.old_logs(logs.parent, NOW) == [logs / "train-1.log"]


def test_a_family_is_a_folder_that_the_store_of_features_made(tmp_path: Path) -> None:
    for name in ("0123456789ab/0123456789ab", "mine/0123456789ab", "00000000000a", "abcdefabcdef"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("0123456789ab", "mine"):
        (tmp_path / name / "0123456789ab" / "spec.json").touch()
    (tmp_path / "abcdefabcdef" / "notes.txt").touch()
    (tmp_path / "00000000000b").symlink_to(tmp_path / "0123456789ab")
    found = {path.name for path in tmp_path.iterdir() if leftovers._is_family(path)}
    assert found == {"0123456789ab", "00000000000a"}


def test_one_that_cannot_be_removed_is_told_beside_those_that_went(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(logs.parent))
    taken, free = logs / "a.log", logs / "b.log"
    taken.mkdir()
    free.touch()
    monkeypatch.setattr(prune, "prepare_store", lambda: None)
    monkeypatch.setattr(prune, "_by_age", lambda *_: (NOW, NOW * 0, []))
    monkeypatch.setattr(prune, "size_of", lambda _: 0)
    monkeypatch.setattr(prune, "old_features", lambda *_: [])
    monkeypatch.setattr(prune, "old_logs", lambda *_: [taken, free])  # it became a folder just now
    for name in ("_remove", "_remove_shards"):
        monkeypatch.setattr(prune, name, lambda *_: 0)
    command.prune_older(1)
    said, not_removed = capsys.readouterr().out.splitlines()
    assert said.endswith("logs: 1") and not free.exists() and taken.is_dir()
    assert not_removed == f"Not removed: {taken}: Is a directory"


def test_no_error_of_pruning_ends_a_run_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))

    def fail(*_: object) -> Pruned:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(prune, "prune", fail)
    command.prune_older(1)
    out = capsys.readouterr().out
    assert out == "Not pruned: [Errno 5] Input/output error; bonafide prune tries again\n"


def test_runs_that_are_needed_are_counted() -> None:
    said = command._in_words(Pruned(needed=["one", "two"]), dry_run=True).splitlines()
    assert said[1:] == ["Older runs that stay, since kept runs took steps of them: 2"]
