"""Free what runs left behind: records and artifacts of all but the newest, features, and logs."""

import contextlib
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from zenml.client import Client
from zenml.models import ArtifactVersionResponse, PipelineRunResponse

from bonafide.artifact import Plain
from bonafide.errors import storing
from bonafide.features.spec import FeatureSpec
from bonafide.training.caching import family_name, remove_family
from bonafide.training.config import AugmentationConfig
from pipelines.records import alone
from pipelines.store import prepare_store

PIPELINES = ("training", "static_training", "tuning")
PAGE = 200
# What ZenML's own materializers keep for us; all else of ours is known by `materializers`.
PLAIN_OUTPUTS = ("stages", "parity")
PASSED_IN = "external_"  # what ZenML calls arguments that it keeps as artifacts


@dataclass(frozen=True)
class Pruned(Plain):
    """What was freed, or would be.

    Parameters
    ----------
    runs : list of str
        Names of the runs whose records went.
    artifacts : int
        How many artifacts nothing needs any more.
    features : list of str
        Folders of features that no kept run was made with.
    logs : list of str
        Log files older than the oldest kept run.
    freed_bytes : int
        On this machine's disks.
    """

    runs: list[str] = field(default_factory=list)
    artifacts: int = 0
    features: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    freed_bytes: int = 0


def prune(
    root: Path, keep: int, *, dry_run: bool = False, say: Callable[[str], None] = lambda _: None
) -> Pruned:
    """Free what all but the newest runs left behind; bundles, reports and the journal stay.

    It may be stopped at any moment: the next one goes on.

    Parameters
    ----------
    root : Path
        The home folder.
    keep : int
        How many runs of each pipeline to keep, 1 or more.
    dry_run : bool
        Say what would go, and free nothing.
    say : callable
        Told what is done.

    Returns
    -------
    Pruned

    Raises
    ------
    BonafideError
        ``busy`` while a run goes on in this home.
    StorageError
        As in `storing`.
    """
    prepare_store()
    with storing(root), alone(root):
        kept, old = _by_age(keep)
        before = _size(root)
        say(f"{len(old)} of {len(kept) + len(old)} runs are older than the {keep} newest")
        if not dry_run:
            for run in old:
                Client().delete_pipeline_run(run.id)
        unused = _unused(kept if dry_run else None)
        if not dry_run:
            for artifact in unused:
                Client().delete_artifact_version(
                    artifact.id, delete_metadata=True, delete_from_artifact_store=True
                )
        features, logs = _old_features(root, kept), _old_logs(root, kept)
        if not dry_run:
            features = [folder for folder in features if remove_family(folder)]
            for log in logs:
                log.unlink(missing_ok=True)
        return Pruned(
            [run.name for run in old],
            len(unused),
            [str(folder) for folder in features],
            [str(log) for log in logs],
            max(0, before - _size(root)),
        )


def _by_age(keep: int) -> tuple[list[PipelineRunResponse], list[PipelineRunResponse]]:
    """Return the runs to keep, and the others.

    Kept are the newest of each pipeline, those that have not ended, and those whose finished steps
    stood in for steps of these: ZenML takes no step from a record that only points to another.
    """
    runs, kept = list[PipelineRunResponse](), list[PipelineRunResponse]()
    for name in PIPELINES:
        listed = _pages(Client().list_pipeline_runs, pipeline_name=name, sort_by="desc:created")
        for place, run in enumerate(listed):
            runs.append(run)
            if place < keep or not run.status.is_finished:
                kept.append(run)
    needed = {run.id for run in kept} | {
        Client().get_run_step(step.original_step_run_id, hydrate=False).pipeline_run_id
        for run in kept
        for step in run.steps.values()
        if step.original_step_run_id
    }
    return [r for r in runs if r.id in needed], [r for r in runs if r.id not in needed]


def _pages(listing: Callable[..., Any], **wanted: Any) -> Iterator[Any]:
    page = 1
    while True:
        found = listing(page=page, size=PAGE, **wanted)
        yield from found.items
        if page >= found.total_pages:
            return
        page += 1


def _unused(kept: list[PipelineRunResponse] | None) -> list[ArtifactVersionResponse]:
    """Return our artifacts that no run needs, or none but these runs would."""
    listed = Client().list_artifact_versions
    if kept is None:
        return [a for a in _pages(listed, only_unused=True) if _is_ours(a)]
    used = {
        artifact.id
        for run in kept
        for step in run.steps.values()
        for several in (*step.inputs.values(), *step.outputs.values())
        for artifact in several
    }
    return [a for a in _pages(listed) if _is_ours(a) and a.id not in used]


def _is_ours(artifact: ArtifactVersionResponse) -> bool:
    made_by_us = artifact.materializer.module.startswith("materializers.")
    name = artifact.artifact.name
    return made_by_us or name in PLAIN_OUTPUTS or name.startswith(PASSED_IN)


def _old_features(root: Path, kept: list[PipelineRunResponse]) -> list[Path]:
    """Return the families of features that no kept run was made with; none if that is not known."""
    extracted = [run.steps["extract"] for run in kept if "extract" in run.steps]
    outputs = (several for step in extracted for several in step.outputs.values())
    made = [artifact.run_metadata for several in outputs for artifact in several]
    if not all("augmentation" in facts for facts in made):
        return []
    used = {
        family_name(
            FeatureSpec.from_json(facts["feature_spec"]),
            AugmentationConfig.model_validate(facts["augmentation"]),
        )
        for facts in made
    }
    families = (path for path in (root / "features").glob("*") if path.name != "locks")
    return sorted(path for path in families if used and path.name not in used)


def _old_logs(root: Path, kept: list[PipelineRunResponse]) -> list[Path]:
    """Return the logs that are older than every kept run."""
    if not kept:
        return []
    since = min(run.created for run in kept).replace(tzinfo=UTC).timestamp()
    return sorted(path for path in (root / "logs").glob("*") if path.stat().st_mtime < since)


def _size(root: Path) -> int:
    """Return the bytes of the files in the home and in ZenML's local artifacts, each once."""
    folders = {root.resolve(), Path(Client().active_stack.artifact_store.path).resolve()}
    files = (path for folder in folders for path in folder.rglob("*"))
    found = dict[int, int]()
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # it went just now
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found[status.st_ino] = status.st_size
    return sum(found.values())
