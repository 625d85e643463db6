"""What the pages for who keeps a detector are made of, and files that are named by their paths."""

import json
import os
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from bonafide.cli.root import cli
from bonafide.errors import BonafideError, ConfigError, StorageError
from bonafide.history import HISTORY, Status, read_history
from bonafide.lineage.graph import lay_out
from bonafide.lineage.page import lineage_graph
from bonafide.monitoring.drift import Moved, Window, compare
from bonafide.registry.journal import Stage
from bonafide.registry.listing import SHIPPED
from serving.app.allowed import Allowed
from serving.app.keeper import KEEPER
from serving.app.keeper.choice import minute
from serving.app.keeper.drift import moved_since
from serving.app.language import Words
from serving.app.launch import launch
from serving.app.local import read_local
from tests.helpers.traffic import TELEPHONES, answers

EN = Words("en")
MOST = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recording, a pipe, and links that stay, that leave and that go in circles."""
    folder = tmp_path / "open"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a voice.wav").write_bytes(b"sound")
    (folder / "large.wav").write_bytes(bytes(MOST + 1))
    (tmp_path / "secret.wav").write_bytes(b"secret")
    (tmp_path / "open beside").mkdir()
    (tmp_path / "open beside" / "b.wav").write_bytes(b"secret")
    (folder / "same.wav").symlink_to(folder / "deep" / "a voice.wav")
    (folder / "out.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "up").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe.wav")
    return folder


@pytest.mark.parametrize("link", [False, True])
def test_a_file_in_the_folder_is_read(folder: Path, link: bool) -> None:
    path = folder / "deep" / "a voice.wav"
    for named in ("deep/a voice.wav", path.as_uri() if link else str(path), "same.wav"):
        read = read_local(folder, named, MOST)
        assert (read.content, read.name) == (b"sound", "a voice.wav")
        assert read.media_type.startswith("audio/")


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ("../secret.wav", "outside_folder"),
        ("../open beside/b.wav", "outside_folder"),
        ("{top}/secret.wav", "outside_folder"),
        ("file://{top}/secret.wav", "outside_folder"),
        ("file://{top}/open/%2e%2e/secret.wav", "outside_folder"),
        ("../gone.wav", "outside_folder"),
        ("out.wav", "outside_folder"),
        ("up/secret.wav", "outside_folder"),
        ("gone.wav", "no_file"),
        ("deep", "no_file"),
        ("circle", "no_file"),
        ("pipe.wav", "no_file"),
        ("n" * 5000, "no_file"),
        ("a\0b", "no_file"),
        ("large.wav", "too_large"),
    ],
)
def test_no_other_file_is_read(folder: Path, named: str, code: str) -> None:
    with pytest.raises(BonafideError) as caught:
        read_local(folder, named.replace("{top}", str(folder.parent)), MOST)
    assert caught.value.code == code and f"error.{code}" in EN


def test_what_visitors_may_do_is_passed_on(tmp_path: Path) -> None:
    for allowed in (Allowed(), Allowed(own=True, manage=True), Allowed(files=tmp_path)):
        assert Allowed.from_environment(allowed.to_environment()) == allowed
    assert Allowed.from_environment({}) == Allowed(own=False, manage=False, files=None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Allowed(own=True)),
        (["--manage"], Allowed(own=True, manage=True)),
        (["--service", "http://127.0.0.1:3000"], Allowed()),
    ],
)
def test_the_command_says_what_visitors_may_do(
    words: list[str], expected: Allowed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Allowed] = []
    monkeypatch.setattr(
        "serving.app.launch.launch", lambda port, url, allowed, say: seen.append(allowed)
    )
    assert CliRunner().invoke(cli, ["app", *words]).exit_code == 0
    named = ["app", *words, "--files", str(tmp_path / ".." / tmp_path.name)]
    assert CliRunner().invoke(cli, named).exit_code == 0
    assert seen == [expected, Allowed(expected.own, expected.manage, tmp_path.resolve())]


def test_another_service_is_not_managed() -> None:
    with pytest.raises(ConfigError, match="--manage: must be about a service of the page's own"):
        launch(8501, "http://127.0.0.1:3000", Allowed(manage=True), print)


def window(number: int, *alarms: str) -> Window:
    names = ("scores", "channels")
    moved = tuple(Moved(name, 0.5, "KS", 0.5, name in alarms) for name in names)
    return Window(float(number), number + 1.0, 100, moved, 0.1)


def test_what_moved_and_since_when() -> None:
    seen = [window(0, "scores"), window(1), window(2, "scores"), window(3, "scores", "channels")]
    assert moved_since(seen) == {"scores": 2.0, "channels": 3.0}
    assert moved_since(seen[:2]) == {}


def test_all_that_may_be_shown_has_words() -> None:
    for name in KEEPER:
        assert EN(f"{name}.short") and EN(f"{name}.title") and EN(f"{name}.intro")
    assert all(f"runs.status_{status}" in EN for status in get_args(Status))
    assert all(f"models.stage_{stage}" in EN for stage in (*get_args(Stage), SHIPPED))
    found = compare(answers(1, 200), answers(2, 100, TELEPHONES))
    assert all(f"drift.{each.name.replace(' ', '_')}" in EN for each in found.statistics)


def test_times_are_shown_to_the_minute() -> None:
    assert minute("2026-03-01T12:01:59+00:00") == "2026-03-01 12:01"
    assert minute("-") == "-"


def test_a_damaged_history_is_an_error_with_a_code(tmp_path: Path) -> None:
    whole = json.dumps({"started": "2026-03-01T12:01:00+00:00"})
    (tmp_path / HISTORY).write_text(f"{whole}\n{{half\n{whole}\n")
    with pytest.raises(StorageError, match="line 2") as caught:
        read_history(tmp_path)
    assert caught.value.code == "bad_history"


def test_a_graph_alone_runs_nothing_and_obeys_no_name() -> None:
    svg = lineage_graph("of <b>", lay_out({"<script>": '"x"', "b": ""}, {"b": {"<script>"}}))
    assert svg.startswith("<svg") and "<script" not in svg and "<b>" not in svg
    assert svg.count("<path") == 1 and svg.count("<rect") == 2
