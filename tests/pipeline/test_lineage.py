"""Lineage of a run as ZenML did it: back and forward, with ZenML's records and without."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bonafide.bundle import read_bundle
from tests.helpers.homes import BASE_MODELS, Home, Trained

STEPS = [
    *("ingest", "split", "extract", "audit", "scale", *(f"train_{name}" for name in BASE_MODELS)),
    *("route", "stack", "calibrate", "export", "evaluate"),
]
DELETE = """
import sys
from zenml.client import Client
Client().delete_pipeline_run(sys.argv[1])
"""


def asked(home: Home, *words: str | Path) -> Any:
    done = home.run("models", "lineage", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def child(tree: Any, name: str) -> Any:
    (found,) = (each for each in tree["children"] if each["name"].startswith(name))
    return found


def test_back_to_every_row_and_forward_from_each(trained: Trained) -> None:
    sha256 = read_bundle(trained.home.folder / "bundles" / "tiny" / "1").digest()
    tree = asked(trained.home, sha256)
    assert tree["name"] == "bundle tiny:1"
    run = child(tree, "run ")
    steps = {step["name"].removeprefix("step "): step["children"] for step in run["children"]}
    assert next(iter(steps)) == "ingest" and set(steps) == set(STEPS)
    assert all(len(made["facts"]["sha256"]) == 64 for each in steps.values() for made in each)
    corpus = child(tree, "corpus")["facts"]
    assert corpus["training"] + corpus["held_out"] == 60 - len(trained.broken)
    assert corpus["set_aside"] == len(trained.broken)

    listed = trained.home.run("models", "lineage", "tiny", "--rows")
    rows = list(csv.DictReader(io.StringIO(listed.stdout)))
    assert len(rows) == 60
    assert {row["path"]: row["reason"] for row in rows if row["reason"]} == trained.broken
    for row in (rows[0], rows[59]):
        for text in (row["file_sha256"], trained.corpus.parent / row["path"]):
            (bundle, *_) = asked(trained.home, "--recording", text)["children"]
            assert bundle["name"] == "bundle tiny:1"
            assert bundle["children"][0]["facts"]["path"] == row["path"]
    (bundle, *_) = asked(trained.home, "--corpus", trained.corpus)["children"]
    assert bundle["facts"]["training"] == corpus["training"]
    (artifact,) = steps["train_gru"]
    (bundle,) = asked(trained.home, "--artifact", artifact["facts"]["sha256"])["children"]
    assert bundle["facts"]["as"] == "lineage.steps.train_gru.outputs.fitted"


def test_records_of_zenml_are_added_while_they_exist(
    trained: Trained, fresh_home: Callable[[str], Home]
) -> None:
    """The home moves, and its run is deleted: what is missing is said, the rest stays."""
    records = child(asked(trained.home, "tiny", "--zenml"), "ZenML's records of run ")
    assert {f"step {name}" for name in (*STEPS, "promote")} == {
        step["name"] for step in records["children"]
    }
    before = asked(trained.home, "tiny")
    home = fresh_home("moved")
    shutil.copytree(trained.home.folder / "bundles", home.folder / "bundles")
    shutil.copytree(trained.home.folder / "zenml", home.folder / "zenml")
    (database,) = (home.folder / "zenml").glob("local_stores/**/zenml.db")
    environment = home.environment | {"ZENML_STORE_URL": f"sqlite:///{database}"}
    run_id = child(before, "run ")["facts"]["run_id"]
    command = [sys.executable, "-c", DELETE, run_id]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert asked(home, "tiny") == before
    words = ["models", "lineage", "tiny", "--zenml", "--json"]
    done = subprocess.run(home.command(*words), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [each["name"] for each in child(json.loads(done.stdout), "missing")["children"]]
    assert f"ZenML's records: there is no run {run_id} in ZenML's store that is active here" in said
