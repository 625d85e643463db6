"""Free what runs left behind: records and artifacts of all but the newest, features, and logs."""

import contextlib
import json
import stat
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import UUID

from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.io import fileio
from zenml.models import PipelineRunResponse

from bonafide.artifact import Plain
from bonafide.errors import storing
from bonafide.features.spec import FeatureSpec
from bonafide.home import home_name
from bonafide.training.caching import family_name, remove_family
from bonafide.training.config import AugmentationConfig
from bonafide.training.store import FeatureStore
from materializers.shards import KEPT, LIST, kept_folder, place_of, read_list
from pipelines.records import alone, is_of
from pipelines.store import prepare_store

FITTING = ("training", "static_training", "tuning")  # they extract features
PIPELINES = (*FITTING, "monitoring")
PAGE = 200
PENDING = "pruning.json"  # in the home: artifacts of runs whose records are gone


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
    shards : int
        How many files of features this home stored in a remote artifact store for artifacts that
        are gone.
    logs : list of str
        Log files older than the oldest kept run.
    freed_bytes : int
        On this machine's disks.
    """

    runs: list[str] = field(default_factory=list)
    artifacts: int = 0
    features: list[str] = field(default_factory=list)
    shards: int = 0
    logs: list[str] = field(default_factory=list)
    freed_bytes: int = 0


def prune(root: Path, keep: int, *, dry_run: bool = False) -> Pruned:
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
        kept, old = _by_age(root, keep)
        before = _size(root)
        features, logs = _old_features(root, kept), _old_logs(root, kept)
        if dry_run:
            going = _pending(root) | (_artifacts(old) - _artifacts(kept))
            artifacts, shards = len(going), len(_unlisted(root, _listed(going)))
        else:
            artifacts, shards = _remove(root, old), _remove_shards(root)
            features = [folder for folder in features if remove_family(folder)]
            for log in logs:
                log.unlink(missing_ok=True)
        return Pruned(
            [run.name for run in old],
            artifacts,
            [str(folder) for folder in features],
            shards,
            [str(log) for log in logs],
            max(0, before - _size(root)),
        )


def _remove(root: Path, old: list[PipelineRunResponse]) -> int:
    """Remove runs, and those of their artifacts that no other run needs; return how many."""
    wanted = _pending(root) | _artifacts(old)
    draft = root / f".{PENDING}"
    draft.write_text(json.dumps(sorted(map(str, wanted))))
    draft.replace(root / PENDING)  # whoever is killed after this is gone on with
    for run in old:
        Client().delete_pipeline_run(run.id)
    removed = 0
    for artifact in list(_pages(Client().list_artifact_versions, only_unused=True)):
        if artifact.id in wanted:
            if fileio.exists(artifact.uri):  # else a pruning before was stopped after this
                fileio.rmtree(artifact.uri)
            Client().delete_artifact_version(artifact.id, delete_metadata=True)
            removed += 1
    (root / PENDING).unlink()
    return removed


def _listed(going: Container[UUID] = ()) -> set[str]:
    """Return the shards, by their hash, of all artifacts in the active store, whoever's."""
    store = Client().active_stack.artifact_store.path
    listed = set[str]()
    for artifact in _pages(
        Client().list_artifact_versions,
        data_type=f"contains:{FeatureStore.__name__}",
        uri=f"startswith:{store}",
    ):
        if artifact.id not in going:
            with contextlib.suppress(FileNotFoundError):  # stored before there were shards, or lost
                with fileio.open(f"{artifact.uri}/{LIST}", "rb") as file:
                    listed |= {shard.sha256 for shard in read_list(file.read()).values()}
    return listed


def _unlisted(root: Path, listed: set[str]) -> list[str]:
    """Return the URLs of the shards that this home stored and no artifact lists."""
    place = place_of(Client().active_stack.artifact_store.path, home_name(root))
    if "://" not in place or not fileio.exists(place):
        return []
    names = (str(name) for name in fileio.listdir(place))
    return [f"{place}/{name}" for name in names if name not in listed]


def _remove_shards(root: Path) -> int:
    """Remove shards that no artifact lists, here and in the artifact store; return how many there.

    Only this home stores where they are removed, and no run of it goes on.
    """
    if "://" not in Client().active_stack.artifact_store.path:
        return 0
    listed = _listed()
    gone = _unlisted(root, listed)
    for url in gone:
        fileio.remove(url)
    for path in kept_folder(root).glob("*"):
        if path.name not in listed:
            path.unlink()
    return len(gone)


def _pending(root: Path) -> set[UUID]:
    """Return the artifacts of runs that a pruning removed which was stopped before its end."""
    try:
        return {UUID(name) for name in json.loads((root / PENDING).read_text())}
    except FileNotFoundError:
        return set()


def _artifacts(runs: list[PipelineRunResponse]) -> set[UUID]:
    """Return what the steps of some runs took and made."""
    return {
        artifact.id
        for run in runs
        for step in run.steps.values()
        for several in (*step.inputs.values(), *step.outputs.values())
        for artifact in several
    }


def _by_age(root: Path, keep: int) -> tuple[list[PipelineRunResponse], list[PipelineRunResponse]]:
    """Return the runs of a home to keep, and the others.

    Kept are the newest of each pipeline that completed and all since, and those whose finished
    steps stood in for steps of others: ZenML takes no step from a record that only points to
    another. Other homes may share ZenML's store, and so may runs that do not say whose they are.
    """
    kept, old, others = (list[PipelineRunResponse]() for _ in range(3))
    for name in PIPELINES:
        completed = 0
        for run in _pages(
            Client().list_pipeline_runs, pipeline_name=name, sort_by="desc:created", hydrate=True
        ):
            if not is_of(root, run):
                others.append(run)
            elif completed < keep or not run.status.is_finished:
                kept.append(run)
                completed += run.status == ExecutionStatus.COMPLETED
            else:
                old.append(run)
    originals = {
        step.original_step_run_id
        for run in (*kept, *others)
        for step in run.steps.values()
        if step.original_step_run_id
    }
    needed = set[UUID]()
    for step in originals:
        with contextlib.suppress(KeyError):  # somebody has removed it
            needed.add(Client().get_run_step(step).pipeline_run_id)
    kept += [run for run in old if run.id in needed]
    return kept, [run for run in old if run.id not in needed]


def _pages(listing: Callable[..., Any], **wanted: Any) -> Iterator[Any]:
    page = 1
    while True:
        found = listing(page=page, size=PAGE, **wanted)
        yield from found.items
        if page >= found.total_pages:
            return
        page += 1


def _old_features(root: Path, kept: list[PipelineRunResponse]) -> list[Path]:
    """Return the families of features that no kept run was made with; none if that is not known."""
    fitted = [run for run in kept if run.pipeline and run.pipeline.name in FITTING]
    extracted = [run.steps["extract"] for run in fitted if "extract" in run.steps]
    outputs = (several for step in extracted for several in step.outputs.values())
    made = [artifact.run_metadata for several in outputs for artifact in several]
    if len(made) < len(fitted) or not all("augmentation" in facts for facts in made):
        return []
    used = {
        family_name(
            FeatureSpec.from_json(facts["feature_spec"]),
            AugmentationConfig.model_validate(facts["augmentation"]),
        )
        for facts in made
    }
    families = (path for path in (root / "features").glob("*") if path.name not in ("locks", KEPT))
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
