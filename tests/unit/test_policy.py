"""Which code a cached step stands for: a changed file must not be answered from the cache."""

from pathlib import Path

import pytest

from steps.data import extract, ingest, scale, split
from steps.models import calibrate, export, stack, train
from steps.results import audit, evaluate

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = (ingest, split, extract, scale, train, stack, calibrate, export, audit, evaluate)


def files_of(step: object) -> set[str]:
    policy = step.configuration.cache_policy  # type: ignore[attr-defined]
    assert policy.include_artifact_values and not policy.include_artifact_ids
    return set(policy.file_dependencies)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_file_is_there(step: object) -> None:
    files = files_of(step)
    assert {"bonafide/errors.py", "bonafide/features/spec.py"} < files
    assert [name for name in files if not (REPOSITORY / name).is_file()] == []


def test_the_extraction_counts_what_writes_the_front_end() -> None:
    names = (
        "audio",
        "features/frontend",
        "features/graph",
        "features/statistics",
        "training/extraction",
    )
    assert {f"bonafide/{name}.py" for name in names} < files_of(extract)


@pytest.mark.parametrize(
    ("step", "names"),
    [
        (scale, {"training/sampling"}),
        (
            train,
            {
                "models/networks",
                "models/xgboost",
                "training/base",
                "training/sampling",
                "training/folds",
            },
        ),
        (stack, {"training/stacking"}),
        (audit, {"training/audit"}),
    ],
    ids=["scale", "train", "stack", "audit"],
)
def test_what_runs_in_another_process_counts_too(step: object, names: set[str]) -> None:
    assert {f"bonafide/{name}.py" for name in names} < files_of(step)


def test_the_export_counts_what_writes_the_graphs() -> None:
    written = {"networks", "tables", "candidate", "fused", "chain"}
    assert {f"bonafide/export/{name}.py" for name in written} < files_of(export)
