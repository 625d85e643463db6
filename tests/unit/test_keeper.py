"""What the pages for who keeps a detector are made of, and files that are named by their paths."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from bonafide.cli.root import cli
from bonafide.errors import BonafideError, ConfigError, StorageError
from bonafide.history import HISTORY, Status, read_history
from bonafide.lineage.graph import lay_out
from bonafide.lineage.page import lineage_graph
from bonafide.monitoring.drift import Moved, Window, compare
from bonafide.registry import Registry
from bonafide.registry.journal import Stage
from bonafide.registry.listing import SHIPPED, listed, measured
from serving.app.allowed import Allowed
from serving.app.keeper import KEEPER
from serving.app.keeper.choice import minute
from serving.app.keeper.drift import moved_since
from serving.app.language import Words
from serving.app.launch import launch
from serving.local import read_local
from tests.helpers.traffic import TELEPHONES, answers

EN = Words("en")
MOST = 1000
OPEN = Path("/proc/self/fd")


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
        assert read_local(folder, named, MOST) == ("a voice.wav", b"sound")


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
        ("FILE://localhost{top}/secret.wav", "outside_folder"),
        ("file:{top}/secret.wav", "outside_folder"),
        (".", "no_file"),
    ],
)
def test_no_other_file_is_read(folder: Path, named: str, code: str) -> None:
    with pytest.raises(BonafideError) as caught:
        read_local(folder, named.replace("{top}", str(folder.parent)), MOST)
    assert caught.value.code == code and f"error.{code}" in EN


def test_no_descriptor_is_left_open(folder: Path) -> None:
    before = len(list(OPEN.iterdir()))
    for named in (".", "deep", "pipe.wav", "large.wav", "deep/a voice.wav", "gone.wav") * 3:
        with contextlib.suppress(BonafideError):
            read_local(folder, named, MOST)
    assert len(list(OPEN.iterdir())) == before


def test_a_folder_that_became_a_link_meanwhile_leads_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a voice.wav").write_bytes(b"secret")
    resolve = Path.resolve

    def swapped(path: Path, strict: bool = False) -> Path:
        found = resolve(path, strict)
        if path.name == "a voice.wav":
            (folder / "deep").rename(folder / "before")
            (folder / "deep").symlink_to(elsewhere)
        return found

    monkeypatch.setattr(Path, "resolve", swapped)
    with pytest.raises(BonafideError) as caught:
        read_local(folder, "deep/a voice.wav", MOST)
    assert caught.value.code == "no_file"


def test_an_error_names_no_more_than_can_be_read(folder: Path) -> None:
    with pytest.raises(BonafideError) as long:
        read_local(folder, "n" * 100_000, MOST)
    with pytest.raises(BonafideError, match=r"'large\.wav': 1001 bytes: must have at most 1000"):
        read_local(folder, "large.wav", MOST)
    assert len(long.value.message) < 300


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


@pytest.mark.parametrize(
    "line",
    [
        *("[1]", "5", "null", "{}", '{"started": 5}', '{"started": "yesterday"}'),
        *(
            json.dumps({"started": "2026-03-01T12:01:00+00:00", **odd})
            for odd in (
                *({"status": "odd"}, {"status": None}, {"ended": None}, {"log": 5}),
                *({"eer": [1]}, {"eer": {"value": 1}}, {"eer": {"value": "", "low": 0, "high": 1}}),
            )
        ),
    ],
)
def test_an_entry_of_another_kind_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / HISTORY).write_text(f"{line}\n")
    with pytest.raises(StorageError, match=r"line 1: .*must be") as caught:
        read_history(tmp_path)
    assert caught.value.code == "bad_history"


def test_a_history_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / HISTORY).write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError, match="cannot be read"):
        read_history(tmp_path)
    (tmp_path / HISTORY).unlink()
    (tmp_path / HISTORY).mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        read_history(tmp_path)


@pytest.mark.parametrize("metrics", [[1], None, {"eer": 0.3}, {"eer": {"value": 1}}])
def test_a_manifest_with_odd_metrics_has_none_to_list(tmp_path: Path, metrics: Any) -> None:
    folder = tmp_path / "bundles" / "odd" / "1"
    folder.mkdir(parents=True)
    facts = {"name": "odd", "version": "1", "sha256": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps({**facts, "metrics": metrics}))
    registry = Registry(tmp_path, tmp_path)
    (each,) = (each for each in listed(registry) if each["name"] == "odd")
    assert "eer" not in measured(registry, each)
    shutil.move(folder, folder.with_name("2"))
    (each,) = (each for each in listed(registry) if each["name"] == "odd")
    assert measured(registry, each) == {}


def test_a_graph_alone_runs_nothing_and_obeys_no_name() -> None:
    svg = lineage_graph("of <b>", lay_out({"<script>": '"x"', "b": ""}, {"b": {"<script>"}}))
    assert svg.startswith("<svg") and "<script" not in svg and "<b>" not in svg
    assert svg.count("<path") == 1 and svg.count("<rect") == 2
