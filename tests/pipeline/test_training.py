"""The training pipeline as a user runs it: whole, again, interrupted, one after another."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bonafide.bundle import read_bundle
from bonafide.home import DEMO
from bonafide.monitoring.expected import Expected
from tests.conftest import REPOSITORY
from tests.helpers.homes import BASE_MODELS, GRAPHS, Home, Trained
from tests.helpers.moments import ALL
from tests.helpers.servers import wait_for

FreshHome = Callable[[str], Home]


def test_run_ends_in_a_promoted_bundle_and_a_readable_summary(trained: Trained) -> None:
    bundle = read_bundle(trained.home.folder / "bundles" / "tiny" / "1")
    assert {path.name for path in bundle.folder.iterdir()} == {
        *(f"{name}.onnx" for name in GRAPHS),
        *("card.md", "manifest.json", "expected.json", "lineage.json", "rows.parquet"),
    }
    expected = Expected.read(bundle)
    assert len(expected.channel) == bundle.manifest["corpus"]["rows"]
    silent = [p is None for p in expected.stages[""].models["speech"]]
    assert 0 < np.mean(silent) < 1 and {*expected.stages[""].models} == {*BASE_MODELS}
    for word in (
        *BASE_MODELS,
        "mean of the base models",
        "stack logistic",
        "stack xgboost",
        "decision",
    ):
        assert re.search(rf"^{word} +\d+\.\d % \[", trained.output, re.MULTILINE), word
    for part in ("Shortcut audit", "Next: bonafide score", "prove that the machinery runs"):
        assert part in trained.output
    assert bundle.manifest["zenml"]["run_id"]
    assert max(bundle.manifest["parity"].values()) <= 1e-4
    card = (bundle.folder / "card.md").read_text()
    assert "never that it detects" in card
    report = (trained.home.folder / "reports" / "tiny-1.html").read_text()
    assert report.count("<svg") == 4
    assert "Could it be a shortcut?" in report


def test_every_broken_file_is_listed_with_its_reason(trained: Trained) -> None:
    assert f"Set aside: {len(trained.broken)} of 60 rows" in trained.output
    for path in trained.broken:
        assert re.search(rf"row \d+: .*{re.escape(path)}: \w", trained.output), path
    (stored,) = trained.home.folder.glob("zenml/local_stores/*/ingest/quarantine/**/*.json")
    rejected = json.loads(stored.read_text())["rejected"]
    assert {item["path"]: item["code"] for item in rejected} == trained.broken


def test_no_pickle_is_stored(trained: Trained) -> None:
    stored = [path for path in trained.home.folder.rglob("*") if path.is_file()]
    assert not [path for path in stored if path.suffix in (".pkl", ".pickle", ".joblib")]
    # a pickle of protocol 2 or later starts with the byte 0x80
    assert not [p for p in stored if p.stat().st_size and p.read_bytes()[:1] == b"\x80"]


def test_same_command_again_repeats_nothing(trained: Trained) -> None:
    again = trained.home.run("train", "--config", trained.config, "--corpus", trained.corpus)
    assert again.returncode == 0, again.stderr
    assert "Steps run: 1; taken from the cache: 17" in again.stdout
    assert [p.name for p in (trained.home.folder / "bundles" / "tiny").iterdir()] == ["1"]


def test_a_toy_is_kept_but_not_promoted_outside_of_the_demo(trained: Trained) -> None:
    """Without the marker, and with nothing in production: the shipped bundle stays."""
    root = trained.home.folder
    marker, journal = root / DEMO, root / "journal"
    marker.unlink()
    away = journal.rename(root / "away")
    try:
        done = trained.home.run("train", "--config", trained.config, "--corpus", trained.corpus)
        assert done.returncode == 1, done.stderr
        assert "Not promoted:\n  57 of 57 recordings are simulated: what learned" in done.stdout
        assert "In production now." not in done.stdout
        assert not journal.exists()
        told = json.loads((root / "reports" / "tiny-1.gate.json").read_text())
        assert len(told["reasons"]) == 1
    finally:
        marker.touch()
        away.rename(journal)


CHANGES = [("training/audit", {"audit", "evaluate"}), ("evaluation/report", {"evaluate"})]


@pytest.mark.parametrize(("changed", "ran"), CHANGES if ALL else CHANGES[:1])
def test_a_changed_module_runs_the_steps_that_use_it_again(
    trained: Trained, tmp_path: Path, changed: str, ran: set[str]
) -> None:
    for package in ("bonafide", "pipelines", "steps", "materializers"):
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    with (tmp_path / "bonafide" / f"{changed}.py").open("a") as file:
        file.write("\nCHANGED = 1\n")
    words = ("train", "--config", trained.config, "--corpus", trained.corpus)
    again = trained.home.run(*words, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    # `promote` always runs
    assert f"Steps run: {len(ran | {'promote'})}; taken from the cache:" in again.stdout


def test_interrupt_stops_cleanly(trained: Trained, fresh_home: FreshHome) -> None:
    home = fresh_home("interrupted")
    words = ("train", "--config", trained.config, "--corpus", trained.corpus)
    status = home.run_until("extract: 100", signal.SIGINT, *words)
    assert status == 130
    said = home.folder.with_suffix(".log").read_text()
    assert "stopped; what is finished is kept" in said
    assert "Traceback" not in said
    # Python's own resource tracker ends only after the last process that shared its pipe
    wait_for(lambda: not home.processes(), "nothing of the run is left")
    assert not list((home.folder / "work").glob("*"))


IN_A_TRANSACTION = """
import os, signal, time
from pipelines.run import _stoppable
from zenml.enums import ExecutionMode
from zenml.orchestrators.signal_handler import SignalHandler

COMMIT = '''
def commit():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.3)
    print("committed")
'''
database = {"__name__": "sqlalchemy.engine", "os": os, "signal": signal, "time": time}
exec(COMMIT, database)
try:
    with _stoppable(), SignalHandler(None, ExecutionMode.FAIL_FAST):  # ZenML's, of each step
        database["commit"]()
        time.sleep(60)
except KeyboardInterrupt:
    print("stopped")
"""


def test_interrupt_waits_for_the_end_of_a_transaction(fresh_home: FreshHome) -> None:
    environment = fresh_home("transaction").environment
    command = [sys.executable, "-c", IN_A_TRANSACTION]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "committed\nstopped\n", ended.stderr


ONE_CLASS = "path,label\na.wav,real\nb.wav,real\n"
NO_LABEL = "path,speaker\na.wav,s\n"
BAD_LABEL = "path,label\na.wav,real\nb.wav,maybe\n"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (ONE_CLASS, "one_class", "rows 2 to 3 are all bonafide; at least one spoof is needed"),
        (NO_LABEL, "missing_column", "row 1: column 'label' is missing"),
        (BAD_LABEL, "bad_label", "row 3: label 'maybe' is not known; must be one of bonafide"),
    ],
)
def test_corpus_that_cannot_be_trained_on_stops_at_once(
    fresh_home: FreshHome, tmp_path: Path, text: str, code: str, said: str
) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(text)
    done = fresh_home("bad").run("train", "--corpus", manifest)
    assert done.returncode == 2
    assert f"bonafide: {code}: {manifest}" in done.stderr.replace(str(tmp_path), str(tmp_path))
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failing_step_gives_its_own_error(trained: Trained, fresh_home: FreshHome) -> None:
    crowded = trained.config.with_name("crowded.yaml")
    crowded.write_text("name: tiny\nfolds: {count: 20}\n")
    done = fresh_home("crowded").run("train", "--config", crowded, "--corpus", trained.corpus)
    assert done.returncode == 2
    assert "bonafide: too_few_groups: " in done.stderr
    assert "20 parts need at least 20" in done.stderr
    assert "Traceback" not in done.stderr
