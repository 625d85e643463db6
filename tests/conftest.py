"""What several test files share."""

import csv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CORPUS = REPOSITORY / "../shared/data/corpus"
N_CLIPS = 8


@pytest.fixture(scope="session")
def corpus_folder() -> Path:
    """The real corpus beside the repository. Its absence is a failure, not a skip."""
    assert (CORPUS / "manifest.csv").is_file(), f"{CORPUS}: the real corpus is missing"
    return CORPUS.resolve()


@pytest.fixture(scope="session")
def real_clips(corpus_folder: Path) -> list[Path]:
    """Eight recordings, evenly spread over the manifest."""
    with (corpus_folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    clips = [corpus_folder / row["path"] for row in rows[:: len(rows) // N_CLIPS][:N_CLIPS]]
    assert len(clips) == N_CLIPS and all(clip.is_file() for clip in clips)
    return clips
