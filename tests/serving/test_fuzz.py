"""Five hundred damaged files; `python -m benchmarks.fuzz` sends as many as you like."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz import ENDPOINTS, Report, damage, fuzz
from bonafide.registry import find_bundle
from tests.helpers.moments import ALL


def test_damaged_files_are_answered_and_leave_nothing(bundle_home: Path, tmp_path: Path) -> None:
    report = fuzz(find_bundle(bundle_home), 500, seed=1, keep=tmp_path)
    assert report.faults() == []
    assert report.statuses.total() == 500
    assert report.statuses[200] > 100 and report.statuses[415] > 20  # damaged in many ways
    assert list(tmp_path.iterdir()) == [] and report.restarts == 0


@pytest.mark.parametrize("endpoint", ENDPOINTS[1:])
def test_so_they_are_by_the_other_endpoints(
    endpoint: str, bundle_home: Path, tmp_path: Path
) -> None:
    n_files = 80 if ALL else 40
    report = fuzz(find_bundle(bundle_home), n_files, seed=2, keep=tmp_path, endpoint=endpoint)
    assert report.faults() == []
    assert report.statuses.total() == n_files
    assert report.statuses[200] > 5 and report.statuses[415] > 1
    assert list(tmp_path.iterdir()) == [] and report.restarts == 0


def test_damage_follows_from_the_seed() -> None:
    files = [bytes(range(256)) * 20, b"short"]
    made = [[damage(np.random.default_rng((0, n)), files) for n in range(200)] for _ in "ab"]
    assert made[0] == made[1]
    assert len(set(made[0])) > 150 and sum(content in files for content in made[0]) < 20


def test_faults_are_named() -> None:
    report = Report(memory_mb=[1.0, 1.0], scorers={1, 2})
    report.statuses.update({200: 5, 422: 1, 504: 1, 429: 1})
    assert report.faults() == []
    report.statuses.update({500: 2, 0: 1})
    report.workers_lost, report.files_left = 1, ["upload"]
    assert report.faults() == [
        *("1 answers broken off", "2 answers 500", "1 workers died", "left: upload"),
    ]
