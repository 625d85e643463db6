"""What several test files share."""

import csv
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from tests.helpers.homes import Trained, train_tiny

REPOSITORY = Path(__file__).resolve().parents[1]
CORPUS = REPOSITORY / "../shared/data/corpus"
N_CLIPS = 8


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
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished training run; each worker of pytest-xdist has its own."""
    return train_tiny(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def bundle_home(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that can be BONAFIDE_HOME, with a tiny bundle in production.

    All workers of a test run share it: read from it and write elsewhere. Whoever asks first trains.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    home, draft = shared / "bundle_home", shared / "bundle_home_draft"
    with (shared / "bundle_home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            done: Trained = request.getfixturevalue("trained")
            shutil.copytree(done.home.folder / "bundles", draft / "bundles")
            shutil.copytree(done.home.folder / "journal", draft / "journal")
            draft.rename(home)
    return home
