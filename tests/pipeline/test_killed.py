"""kill -9 and a full disk in each step of a run: nothing is lost, and the next run goes on.

In the end it makes the very bundle that `bonafide.train` makes, without an orchestrator.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bonafide.bundle import read_bundle
from bonafide.lineage.record import read_lineage
from bonafide.registry import Registry
from tests.conftest import REPOSITORY
from tests.helpers.homes import Home, demo_home, small_corpus, write_config
from tests.helpers.moments import ALL
from tests.helpers.servers import wait_for

EXAMPLE = REPOSITORY / "examples" / "train_on_your_corpus.py"
SEED = "23"
# What the command line sets before ZenML is imported.
QUIET = {"ZENML_ANALYTICS_OPT_IN": "false", "ZENML_LOGGING_VERBOSITY": "CRITICAL"}
# Finished steps are not done again, so that all steps together cost little more than one run.
# With all of them every step is disturbed, of two stages, which takes some minutes.
SOME = ("killed:ingest", "killed:train_rnn", "full:export", "killed:evaluate", "killed:promote")
# In the order of the run: what is finished when its moment comes would not be disturbed.
EVERY = (
    *("killed:ingest", "full:extract", "killed:extract", "killed:split", "killed:audit"),
    *("killed:scale", "killed:train_rnn", "full:train_speech", "killed:train_speech"),
    *("killed:train_xgboost", "killed:route", "killed:stack", "killed:calibrate", "full:export"),
    *("killed:export", "killed:evaluate", "full:promote", "killed:promote", "killed:promote"),
)
MOMENTS = EVERY if ALL else SOME
MODELS = ("rnn", "xgboost", "speech") if ALL else ("rnn", "xgboost")
ASK = """
import json
from pathlib import Path
from pipelines.store import prepare_store
prepare_store()
from zenml.client import Client
runs = Client().list_pipeline_runs(size=100, sort_by="asc:created", hydrate=True).items
print(json.dumps({
    "runs": [run.status.value for run in runs],
    "why": [run.get_body().status_reason for run in runs],
    "steps": [
        {name: step.status.value for name, step in Client().get_pipeline_run(run.id).steps.items()}
        for run in runs
    ],
    "artifacts": [a.uri for a in Client().list_artifact_versions(size=10_000).items],
}))
"""


def require_whole(home: Home, earlier: list[Any]) -> list[Any]:
    """Check that bundles and journal are whole; return the journal."""
    registry = Registry(home.folder)
    journal = registry.journal()
    assert journal[: len(earlier)] == earlier
    for folder in home.folder.glob("bundles/*/[0-9]*"):
        read_bundle(folder)
    stages = [registry.state().stage(version) for version in {entry.bundle for entry in journal}]
    assert stages.count("production") <= 1
    return journal


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A corpus, and a configuration of few base models."""
    folder = tmp_path_factory.mktemp("few")
    small_corpus(folder)
    write_config(config := folder / "tiny.yaml", *MODELS)
    return str(folder / "corpus" / "manifest.csv"), str(config)


@pytest.fixture(scope="module")
def story(material: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Disturb one run after another in one home, each a little further; let the last one end."""
    home = demo_home(tmp_path_factory.mktemp("killed") / "home")
    command = [sys.executable, "-m", "tests.helpers.killed"]
    ended, journal = [], []
    corpus, config = material
    with subprocess.Popen(
        [*command, config, corpus, SEED, *MOMENTS],
        cwd=REPOSITORY,
        env=home.environment | QUIET,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        for line in process.stdout:
            ended.append(json.loads(line))
            journal = require_whole(home, journal)
            wait_for(lambda: len(home.processes()) <= 1, "nothing but the helper is left")
            process.stdin.write("on\n")
            process.stdin.flush()
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=REPOSITORY,
        env=home.environment | QUIET,
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stderr
    return {"home": home, "ended": ended, **json.loads(asked.stdout.splitlines()[-1])}


def test_the_last_run_ends(story: dict[str, Any]) -> None:
    last, home = story["ended"][-1], story["home"]
    assert last["status"] == 0
    assert [path.name for path in (home.folder / "bundles" / "tiny").iterdir()] == ["1"]
    promotions = [entry for entry in Registry(home.folder).journal() if entry.action == "promote"]
    assert len(promotions) == 1


def test_without_an_orchestrator_the_same_comes_of_it(
    story: dict[str, Any], material: tuple[str, str], tmp_path: Path
) -> None:
    """Models side by side, by the example that trains: hash for hash the bundle of the runs."""
    home = demo_home(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, EXAMPLE, *material],
        env={**os.environ, "BONAFIDE_HOME": str(home.folder)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[0])
    assert folder == home.folder / "bundles" / "tiny" / "1"
    assert f"base models: {', '.join(MODELS)}\nEER " in done.stdout
    ours = read_bundle(folder)
    theirs = read_bundle(story["home"].folder / "bundles" / "tiny" / "1")
    made, piped = ours.manifest, theirs.manifest
    assert made["files"] == piped["files"] | {"lineage.json": made["files"]["lineage.json"]}
    assert made["sha256"] == piped["sha256"]
    lineages = [read_lineage(each) for each in (ours, theirs)]
    assert lineages[0] and lineages[1]
    assert lineages[0].run.keys() == {"ended"} < lineages[1].run.keys()
    outputs, inputs = (
        [{step.name: read(step) for step in each.steps} for each in lineages if each]
        for read in (lambda step: step.outputs, lambda step: set(step.inputs))
    )
    assert outputs[0] == outputs[1] and inputs[0] == inputs[1]
    assert not list((home.folder / "work").glob("*"))
    assert (home.folder / "journal" / "00000001.json").is_file()


def test_every_moment_was_one(story: dict[str, Any]) -> None:
    """Killed where it was meant to be, or told that the disk is full; finished steps stay."""
    ended = story["ended"]
    killed = [each for each in ended if each["how"] == "killed"]
    assert len(killed) == len([each for each in MOMENTS if each.startswith("killed")])
    assert {each["status"] for each in killed} == {-9}, killed
    full = [each for each in ended if each["how"] == "full"]
    assert {each.get("code") for each in full} == {"disk_full"}, full
    assert "ingest" in ended[-1]["cached"] and "promote" in ended[-1]["ran"]


def test_records_say_how_runs_ended(story: dict[str, Any]) -> None:
    states = [each["status"] for each in story["ended"]]
    assert len(story["runs"]) <= len(states)  # a run may end before it has a record
    assert set(story["runs"]) == {"failed", "completed"}
    assert "its process ended before the run did" in story["why"]
    assert not {"running", "retrying", "initializing"} & {
        status for run in story["steps"] for status in run.values()
    }


def test_nothing_is_left_behind(story: dict[str, Any]) -> None:
    root = story["home"].folder
    assert not list((root / "work").glob("*")) and not list((root / "runs").glob("*"))
    assert not [path for path in root.glob("features/*/*-*") if path.parent.name != "locks"]
    stored = {Path(uri).parent.name for uri in story["artifacts"]}
    found = {path.name for path in root.glob("zenml/local_stores/*/*/*/*") if path.is_dir()}
    assert found - stored == set()
    assert story["home"].processes() == []
