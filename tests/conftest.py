"""What several test files share."""

import csv
import os
from pathlib import Path

import pytest

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
