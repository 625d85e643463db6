"""Pruning: what no kept run needs goes, and nothing else does.

ZenML's store is a MariaDB server here, which two runs and a dashboard of another machine open at
once, and use at one time.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bonafide.artifact import file_sha256
from bonafide.process.lock import locked
from bonafide.simulation.corpus import simulate
from pipelines.records import FOLDER
from tests.helpers.databases import mariadb
from tests.helpers.homes import Home, demo_home
from tests.helpers.moments import ALL
from tests.pipeline.test_dashboard import ask, started

KILLS = 10 if ALL else 1
CONFIG = """
name: small
resamples: RESAMPLES
folds: {count: 2, test_share: 0.2}
augmentation: {channels: {clean: 1, telephone: COPIES}}
models: {xgboost: {trees: 10}}
gate: {max_eer: 1.0}
"""


def train(home: Home, corpus: Path, *words: str, resamples: int = 50, copies: int = 1) -> str:
    config = home.folder.with_name(f"small-{resamples}-{copies}.yaml")
    config.write_text(CONFIG.replace("RESAMPLES", str(resamples)).replace("COPIES", str(copies)))
    done = home.run("train", "--config", config, "--corpus", corpus, *words)
    assert done.returncode == 0, done.stderr
    return done.stderr + done.stdout


def pruned(home: Home, *words: str) -> dict[str, Any]:
    done = home.run("prune", "--keep", "1", "--json", *words)
    assert done.returncode == 0 and not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def in_words(home: Home) -> str:
    done = home.run("prune", "--keep", "1")
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def not_of_runs(home: Home) -> list[Path]:
    """Lay what no run made where runs lay theirs, older than any run."""
    logs, features = home.folder / "logs", home.folder / "features"
    (logs / "kept.log").mkdir(parents=True)
    (logs / "dangling.log").symlink_to("/nowhere")
    (logs / "notes.txt").write_text("mine")
    (features / "mine").mkdir()
    (features / "mine" / "notes.txt").write_text("mine")
    (features / "linked").symlink_to(features / "mine")
    (features / "0123456789ab").symlink_to(features / "mine")
    for path in (logs / "kept.log", logs / "notes.txt"):
        os.utime(path, (0, 0))
    names = ("kept.log", "dangling.log", "notes.txt"), ("mine/notes.txt", "linked", "0123456789ab")
    return [
        folder / name
        for folder, several in zip((logs, features), names, strict=True)
        for name in several
    ]


def kept_files(home: Home) -> dict[str, str]:
    """Hash what must stay: bundles, reports and journal."""
    folders = ("bundles", "reports", "journal")
    files = (path for name in folders for path in (home.folder / name).rglob("*"))
    return {str(path): file_sha256(path) for path in files if path.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("corpus"), clips=60, speakers=6)


@pytest.fixture(scope="module")
def home(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home after three runs: the last takes what it can from the second, which took nothing."""
    folder = tmp_path_factory.mktemp("prune")
    home, log = demo_home(folder / "home"), folder / "home" / "logs" / "old.log"
    log.parent.mkdir()
    log.touch()
    os.utime(log, (0, 0))
    other = simulate(folder / "other", clips=48, speakers=6)
    (folder / "database").mkdir()
    with mariadb(folder / "database") as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZENML_STORE_URL", url)
        with ThreadPoolExecutor() as pool:
            runs = [
                pool.submit(train, home, other, copies=2),
                pool.submit(train, home, corpus),
            ]
            _watch(demo_home(folder / "elsewhere"), runs)
            for run in runs:
                run.result()
        train(home, corpus, resamples=60)
        yield home


def _watch(elsewhere: Home, runs: list[Future[str]]) -> None:
    """Look at two runs by a dashboard of another machine until they end; each answer is whole."""
    seen = set[tuple[str, ...]]()
    with started(elsewhere) as (_, port):
        while not all(run.done() for run in runs):
            status, answer = ask(port, "/api/v1/runs?pipeline_name=training")
            assert status == 200
            items = json.loads(answer)["items"]
            seen.add(tuple(sorted(item["body"]["status"] for item in items)))
            time.sleep(0.5)
    assert ("running", "running") in seen, seen


def test_what_older_runs_left_goes_and_all_else_stays(home: Home, corpus: Path) -> None:
    families = {path for path in (home.folder / "features").iterdir() if path.name != "locks"}
    ours = not_of_runs(home)
    before, would = kept_files(home), pruned(home, "--dry-run")
    assert [len(would[name]) for name in ("runs", "features", "logs")] == [1, 1, 1]
    assert would["artifacts"] > 10 and would["freed_bytes"] == 0
    with locked(home.folder / FOLDER / "alive"):  # as a run that goes on has it
        refused = home.run("prune")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert refused.stderr.startswith("bonafide: busy: ")
    assert families == {path for path in families if path.exists()}
    for _ in range(KILLS):
        _kill_in_the_midst(home)
    found = pruned(home)
    assert found["artifacts"] <= would["artifacts"]  # of one cut short the record may be left
    left = {path for path in families if path.exists()}
    assert left == families - {Path(would["features"][0])}
    counts = {"artifacts": 0, "shards": 0, "freed_bytes": 0}
    nothing = {"runs": [], "features": [], "logs": [], "left": [], **counts}
    assert pruned(home) == {**nothing, "needed": would["needed"]} and len(would["needed"]) == 1
    assert "Older runs that stay, since kept runs took steps of them: 1" in in_words(home)
    assert all(os.path.lexists(path) for path in ours)
    assert kept_files(home) == before
    said = train(home, corpus, "--keep", "1", resamples=60)  # and all of it is there to take
    assert "ingest:" not in said and "xgboost:" not in said
    assert "Pruned, which freed " in said and "runs: 0, " in said  # the run before stands in for it
    assert home.run("models", "lineage").returncode == 0


def _kill_in_the_midst(home: Home) -> None:
    """Kill a pruning once it has begun to remove artifacts."""
    process = subprocess.Popen(
        home.command("prune", "--keep", "1"), env=home.environment, stdout=subprocess.DEVNULL
    )
    whole = len(artifacts(home))
    while process.poll() is None and len(artifacts(home)) == whole:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(artifacts(home)) < whole


def artifacts(home: Home) -> list[Path]:
    return list(home.folder.glob("zenml/local_stores/*/*/*/*/*"))
