"""Where a model came from, when the next one comes, and what it says of files."""

import json
import threading
from pathlib import Path

import pytest
from apscheduler.triggers.interval import IntervalTrigger

from bonafide.training.schedule.history import read_history
from bonafide.training.schedule.runner import Schedule, train_command
from tests.helpers.homes import LIMIT_S, Trained
from tests.helpers.servers import wait_for


def test_models_list_gives_the_contract_s_fields(trained: Trained) -> None:
    done = trained.home.run("models", "list", "--json")
    assert done.returncode == 0, done.stderr
    (model,) = (each for each in json.loads(done.stdout) if each["name"] == "tiny")
    assert set(model) == {"name", "version", "stage", "beside", "created", "sha256", "held"}
    assert (model["name"], model["version"], model["stage"]) == ("tiny", "1", "production")


def test_models_show_and_unknown_models(trained: Trained) -> None:
    shown = trained.home.run("models", "show", "--json")
    assert json.loads(shown.stdout)["metrics"]["eer"]["value"] >= 0
    unknown = trained.home.run("models", "show", "other:9")
    assert unknown.returncode == 2
    assert "no bundle 'other:9'; known are tiny:1" in unknown.stderr


def ended(trained: Trained) -> list[dict]:
    return [run for run in read_history(trained.home.folder) if run["ended"] != "-"]


def test_schedule_trains_by_the_clock_and_remembers(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in trained.home.environment.items():
        monkeypatch.setenv(name, value)
    command = train_command(trained.config, [str(trained.corpus)])
    said: list[str] = []
    often = IntervalTrigger(seconds=1)
    schedule = Schedule(often, command, trained.home.folder, say=said.append)
    thread = threading.Thread(target=schedule.run)
    thread.start()
    try:
        wait_for(lambda: len(ended(trained)) >= 2, "two runs", limit_s=LIMIT_S)
    finally:
        schedule.stop()
        thread.join()
    # the history is read by another process, as after a restart
    listed = trained.home.run("schedule", "history", "--json")
    runs = json.loads(listed.stdout)
    assert [run["status"] for run in runs[:2]] == ["ok", "ok"]
    assert {run["version"] for run in runs[:2]} == {"tiny:1"} and 0 <= runs[0]["eer"]["value"] <= 1
    assert runs[0]["ended"] <= runs[1]["started"]  # one at a time
    assert read_history(trained.home.folder) == runs
    assert "run ended: ok" in said
    assert "In production now." in Path(runs[0]["log"]).read_text()


def test_evaluate_writes_json_and_report(trained: Trained) -> None:
    folder = trained.home.folder
    done = trained.home.run(
        "evaluate",
        *("--corpus", trained.corpus, "--json", folder / "e.json", "--report", folder / "e.html"),
    )
    assert (
        done.returncode == 1
    )  # two of the broken files; the one cut short is scored as far as it goes
    metrics = json.loads((folder / "e.json").read_text())
    assert len(metrics["failed"]) == 2
    assert metrics["counts"]["rows"] == 58
    assert sum(metrics["left_out"].values()) == 2
    assert 0 <= metrics["systems"]["decision"]["eer"]["value"] <= 1
    assert "<svg" in (folder / "e.html").read_text()
