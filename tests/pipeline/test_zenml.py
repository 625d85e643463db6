"""Training as users of ZenML know it: parameters, YAML, hooks, retries, images, step operators."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from zenml.config import DockerSettings
from zenml.utils.pipeline_docker_image_builder import PipelineDockerImageBuilder

from bonafide.errors import ConfigError
from pipelines.settings import LOCK, with_run_file
from pipelines.training import STEPS, static_training, training
from tests.conftest import REPOSITORY
from tests.helpers.homes import Home, Trained

EXAMPLE = REPOSITORY / "examples" / "zenml.yaml"
ASK = """
import contextlib
import json
import os
from pipelines.store import prepare_store
prepare_store()
from zenml.client import Client
(newest,) = Client().list_pipeline_runs(
    size=1, sort_by="desc:created", pipeline_name="training"
).items
run = Client().get_pipeline_run(newest.id)
graph = Client().zen_store.get_pipeline_run_dag(run.id)
print(json.dumps({
    "status": run.status.value,
    "tags": sorted(tag.name for tag in run.tags),
    "steps": {name: {
        "status": step.status.value,
        "parameters": sorted(step.config.parameters),
        "inputs": sorted({i.input_type.value for given in step.inputs.values() for i in given}),
        "retry": step.config.retry.max_retries if step.config.retry else 0,
        "memory": step.config.resource_settings.memory,
    } for name, step in run.steps.items()},
    "nodes": [node.type for node in graph.nodes],
    "artifacts": [each.name for each in Client().list_artifacts(size=500).items],
}))
"""


def python(home: Home, code: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *words]
    environment = home.environment | {"ZENML_CUSTOM_SOURCE_ROOT": str(REPOSITORY)}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done


def newest(home: Home) -> dict[str, Any]:
    return dict(json.loads(python(home, ASK).stdout.splitlines()[-1]))


def test_a_step_has_one_parameter_and_no_artifact_stands_for_one(trained: Trained) -> None:
    run = newest(trained.home)
    assert len(run["steps"]) == 18 and "bonafide" in run["tags"]
    for name, step in run["steps"].items():
        assert step["parameters"] == ([] if name == "route" else ["config"]), name
        assert step["inputs"] == ([] if name == "ingest" else ["step_output"]), name
    assert Counter(run["nodes"]) == {"step": 18, "artifact": 22}  # there were 65
    assert not [name for name in run["artifacts"] if name.startswith("external")]
    retried = {name for name, step in run["steps"].items() if step["retry"]}
    assert retried == {"ingest", "extract"}
    fitting = {name for name, step in run["steps"].items() if step["memory"]}
    assert fitting == {name for name in run["steps"] if name.startswith("train_")}


OPERATOR = """
from pipelines.store import prepare_store
prepare_store()
from zenml.client import Client
from zenml.enums import StackComponentType as T
client = Client()
client.create_flavor("tests.helpers.here.HereFlavor", T.STEP_OPERATOR)
client.create_stack_component("nearby", "here", T.STEP_OPERATOR, {})
parts = {kind: parts[0].id for kind, parts in client.active_stack_model.components.items()}
client.create_stack("with_operator", {**parts, T.STEP_OPERATOR: "nearby"})
"""
HOOKS = """
import json, os, pathlib
def said(line):
    with open(os.environ["BONAFIDE_SAID"], "a") as file: file.write(line + "\\n")
def tell_success(): said("success")
def tell_failure(error: BaseException): said(type(error).__name__)
"""


def test_a_run_by_zenmls_yaml(trained: Trained, tmp_path: Path, monkeypatch: Any) -> None:
    """Hooks, tags and settings as in the file; one step on a step operator, the rest cached."""
    python(trained.home, OPERATOR)
    (tmp_path / "told.py").write_text(HOOKS)
    monkeypatch.setenv("BONAFIDE_SAID", str(tmp_path / "said"))
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}:{tmp_path}")
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", "")
    values = yaml.safe_load(EXAMPLE.read_text())
    values |= {"on_success": "told.tell_success", "on_failure": "told.tell_failure"}
    values["steps"]["scale"] = {"step_operator": "nearby", "enable_cache": False}
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    activate = "from zenml.client import Client; Client().activate_stack({!r})"
    python(trained.home, activate.format("with_operator"))
    try:
        words = ("train", "--config", trained.config, "--corpus", trained.corpus)
        done = trained.home.run(*words, "--zenml", file)
    finally:
        python(trained.home, activate.format("default"))
    assert done.returncode == 0, done.stderr
    assert "Steps run: 2; taken from the cache: 16" in done.stdout
    assert (tmp_path / "said").read_text() == "success\n"
    run = newest(trained.home)
    assert {"bonafide", "nightly"} <= set(run["tags"])
    assert run["steps"]["train_gru"]["retry"] == 2
    assert run["steps"]["train_gru"]["memory"] == "16GB"
    assert run["steps"]["scale"]["status"] == "completed"


def test_zenmls_own_command_runs_it_too(trained: Trained, tmp_path: Path) -> None:
    config = yaml.safe_load(trained.config.read_text())
    values = {"parameters": {"config": config, "corpora": [str(trained.corpus)]}}
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    zenml = Path(sys.executable).with_name("zenml")
    words = [zenml, "pipeline", "run", "pipelines.training.training", "--config", file]
    environment = trained.home.environment | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr + done.stdout
    run = newest(trained.home)
    assert run["status"] == "completed"
    assert Counter(step["status"] for step in run["steps"].values()) == {
        "cached": 17,
        "completed": 1,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]", "must hold keys and values"),
        ("a: [", "not YAML"),
        ("stepz: {}", "stepz: no key of a run in ZenML's YAML"),
        ("parameters: {config: {}}", "parameters: what is computed follows from --config"),
        ("steps: {train: {parameters: {}}}", "steps.train.parameters: what is computed follows"),
        ("steps: {trian: {}}", "steps.trian: must be one of audit, calibrate"),
        ("steps: {train: }", "steps: must hold keys and values of each step"),
        ("steps: {train: {colour: red}}", "steps.train.colour: no key of a step"),
        ("steps: {train: {retry: {max_retries: 0}}}", "max_retries"),
        ("on_failure: no.such.hook", "No module named 'no'"),
    ],
)
def test_a_file_that_cannot_be_applied(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"run\.yaml: ") as caught:
        with_run_file(training, file)
    assert caught.value.code == "bad_zenml" and said in caught.value.message


def test_the_example_can_be_applied_to_either_pipeline() -> None:
    for wiring in (training, static_training):
        applied = with_run_file(wiring, EXAMPLE)
        assert applied.configuration.tags == ["bonafide", "nightly"]
    assert {step.name for step in STEPS} >= set(yaml.safe_load(EXAMPLE.read_text())["steps"])


def test_images_hold_the_locked_versions() -> None:
    given = training.configuration.settings["docker"]
    docker = DockerSettings.model_validate(given.model_dump())
    assert docker.requirements == str(LOCK)
    written = PipelineDockerImageBuilder._generate_zenml_pipeline_dockerfile(
        parent_image="python:3.11",
        docker_settings=docker,
        requirements_files=[("locked", LOCK.read_text(), [])],
    )
    assert re.search("^RUN .*install.* -r locked", written, re.MULTILINE), written


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = Home(tmp_path_factory.mktemp("tried") / "home")
    said = home.folder.with_suffix(".json")
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.tried", said],
        cwd=REPOSITORY,
        env=home.environment | {"ZENML_CUSTOM_SOURCE_ROOT": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(said.read_text()))


@pytest.mark.parametrize("pipeline", ["dynamic", "static"])
@pytest.mark.parametrize(
    ("case", "code", "calls", "told"),
    [
        ("passes", "done", 3, []),
        ("ours", "own_code", 1, ["CorpusError"]),
        ("full", "disk_full", 1, ["OSError"]),
        ("mistake", "step_failed", 1, ["KeyError"]),
        ("interrupt", "interrupted", 1, ["KeyboardInterrupt"]),
    ],
)
def test_only_what_can_pass_is_worked_at_again(
    tried: dict[str, Any], pipeline: str, case: str, code: str, calls: int, told: list[str]
) -> None:
    found = tried[f"{pipeline} {case}"]
    assert (found["code"], found["calls"], found["told"]) == (code, calls, told)
    ended = "completed" if code == "done" else "failed"
    assert found["run"] == ended and found["steps"] == sorted([ended, "retried", "retried"])


def test_a_notebook(tmp_path: Path) -> None:
    """In a loop that runs; in a thread, after an interrupt; in any folder, without any variable."""
    script = (REPOSITORY / "tests" / "helpers" / "notebook.py").read_text()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZENML_")}
    done = subprocess.run(
        [sys.executable, "-", tmp_path / "said.json"],
        input=script,  # like a notebook's kernel, it is no file
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    ended = dict.fromkeys(("loop", "thread"), "done")
    assert json.loads((tmp_path / "said.json").read_text()) == ended | {"stopped": "False"}
    assert (tmp_path / ".config" / "zenml" / "local_stores").is_dir()


@pytest.mark.parametrize("content", [b"no database", None])
def test_a_store_that_cannot_be_opened(tmp_path: Path, content: bytes | None) -> None:
    home = Home(tmp_path / "home")
    database = home.folder / "zenml" / "store.db"
    database.parent.mkdir(parents=True)
    if content is not None:
        database.write_bytes(content * 500)
    else:  # of a ZenML that there is not yet
        with contextlib.closing(sqlite3.connect(database)) as store:
            store.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            store.execute("INSERT INTO alembic_version VALUES ('99.0.0')")
            store.commit()
    code = "from pipelines.store import prepare_store; prepare_store()"
    environment = home.environment | {"ZENML_STORE_URL": f"sqlite:///{database}"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    said = r"ConfigError: ZenML's store, which \S+ names, cannot be opened: .+"
    assert re.search(said, done.stderr), done.stderr
