"""What several test files share."""

import csv
import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.helpers.homes import Trained, train_tiny

REPOSITORY = Path(__file__).resolve().parents[1]
CORPUS = REPOSITORY / "../shared/data/corpus"
N_CLIPS = 8
# They run, switch and watch in the home of `trained`: one after another, by one worker.
ONE_HOME = {
    f"tests/pipeline/test_{name}.py"
    for name in ("training", "zenml", "operations", "tuning", "score", "lineage")
}
# What takes long begins first, so that the workers end together.
ORDER = ("pipeline", "contract", "browser", "serving", "extension", "unit")


class _Scheduling(LoadFileScheduling):
    """One file after another, as `--dist loadfile` has it; `ONE_HOME` counts as one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "one home" if file in ONE_HOME else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return _Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> tuple[int, bool]:
        file = item.path.relative_to(REPOSITORY)
        return ORDER.index(file.parts[1]), str(file) not in ONE_HOME

    items.sort(key=rank)


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """Take back what a command that runs in this process has signals do."""
    before = {
        each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def corpus_folder() -> Path:
    """The real corpus beside the repository.

    In CI its absence is a failure. Users do not have it: for them its tests are skipped, and the
    summary says so.
    """
    if not (CORPUS / "manifest.csv").is_file():
        message = "the real corpus is not beside the repository (../shared/data/corpus)"
        assert not os.environ.get("CI"), message
        pytest.skip(message)
    return CORPUS.resolve()


@pytest.fixture(scope="session")
def real_clips(corpus_folder: Path) -> list[Path]:
    """Eight recordings, evenly spread over the manifest."""
    with (corpus_folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = [corpus_folder / row["path"] for row in rows[:: len(rows) // N_CLIPS][:N_CLIPS]]
    assert len(clips) == N_CLIPS and all(clip.is_file() for clip in clips)
    return clips


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def trained(shared_folder: Path) -> Trained:
    """A finished training run. Whoever asks first trains; whoever changes it is in `ONE_HOME`."""
    workshop = shared_folder / "workshop"
    with (shared_folder / "workshop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return train_tiny(workshop)


@pytest.fixture(scope="session")
def bundle_home(shared_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder that can be BONAFIDE_HOME, with a tiny bundle in production.

    All workers of a test run share it: read from it and write elsewhere.
    """
    home, draft = shared_folder / "bundle_home", shared_folder / "bundle_home_draft"
    with (shared_folder / "bundle_home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            done: Trained = request.getfixturevalue("trained")
            shutil.copytree(done.home.folder / "bundles", draft / "bundles")
            shutil.copytree(done.home.folder / "journal", draft / "journal")
            draft.rename(home)
    return home
