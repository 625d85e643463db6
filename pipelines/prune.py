"""Free what runs left behind: records and artifacts of all but the newest, features, and logs."""

import contextlib
import json
import re
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from zenml.client import Client
from zenml.enums import ExecutionStatus
from zenml.io import fileio
from zenml.models import PipelineRunResponse

from bonafide.artifact import Plain
from bonafide.errors import storing
from bonafide.home import home_name
from bonafide.training.caching import remove_family
from bonafide.training.store import FeatureStore
from materializers.shards import DRAFT, LIST, kept_folder, place_of, read_list
from pipelines.leftovers import FITTING, old_features, old_logs, size_of
from pipelines.records import alone, is_of
from pipelines.store import prepare_store

PIPELINES = (*FITTING, "monitoring")
PAGE = 200
Runs = list[PipelineRunResponse]
Place = TypeVar("Place", Path, str)
PENDING = "pruning.json"  # in the home: artifacts of runs whose records are gone
_SHARD = re.compile("[0-9a-f]{64}")


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
    needed : list of str
        Names of older runs that stay, since a run that stays took steps from them.
    left : list of str
        What could not be removed, and why; the next pruning tries again.
    """

    runs: list[str] = field(default_factory=list)
    artifacts: int = 0
    features: list[str] = field(default_factory=list)
    shards: int = 0
    logs: list[str] = field(default_factory=list)
    freed_bytes: int = 0
    needed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


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
        kept, needed, old = _by_age(root, keep)
        before, left = size_of(root), list[str]()
        features, logs = old_features(root, kept), old_logs(root, kept)
        if dry_run:
            going = _pending(root) | (_artifacts(old) - _artifacts(kept))
            artifacts, shards = len(going), len(_unlisted(root, _listed(going)))
        else:
            artifacts, shards = _remove(root, old, left), _remove_shards(root, left)
            features = [each for each in features if _done(left, each, remove_family)]
            logs = [each for each in logs if _done(left, each, _unlink)]
        return Pruned(
            [run.name for run in old],
            artifacts,
            [str(folder) for folder in features],
            shards,
            [str(log) for log in logs],
            max(0, before - size_of(root)),
            [run.name for run in needed],
            left,
        )


def _done(left: list[str], place: Place, remove: Callable[[Place], bool]) -> bool:
    """Remove one thing; one that cannot be removed is noted, and keeps no other from going."""
    try:
        return remove(place)
    except OSError as error:
        left.append(f"{place}: {error.strerror or error}")
        return False


def _unlink(path: Path) -> bool:
    path.unlink(missing_ok=True)
    return True


def _remove_artifact(uri: str) -> bool:
    if fileio.exists(uri):  # else a pruning before was stopped after this
        fileio.rmtree(uri)
    return True


def _remove(root: Path, old: list[PipelineRunResponse], left: list[str]) -> int:
    """Remove runs, and those of their artifacts that no other run needs; return how many."""
    wanted = _pending(root) | _artifacts(old)
    _note_pending(root, wanted)  # whoever is killed after this is gone on with
    for run in old:
        Client().delete_pipeline_run(run.id)
    removed, stuck = 0, set[UUID]()
    for artifact in list(_pages(Client().list_artifact_versions, only_unused=True)):
        if artifact.id not in wanted:
            continue
        if _done(left, artifact.uri, _remove_artifact):
            Client().delete_artifact_version(artifact.id, delete_metadata=True)
            removed += 1
        else:
            stuck.add(artifact.id)
    if stuck:
        _note_pending(root, stuck)
    else:
        (root / PENDING).unlink()
    return removed


def _note_pending(root: Path, artifacts: set[UUID]) -> None:
    draft = root / f".{PENDING}"
    draft.write_text(json.dumps(sorted(map(str, artifacts))))
    draft.replace(root / PENDING)


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
    return [f"{place}/{name}" for name in names if _SHARD.fullmatch(name) and name not in listed]


def _remove_shards(root: Path, left: list[str]) -> int:
    """Remove shards that no artifact lists, here and in the artifact store; return how many there.

    Only this home stores where they are removed, and no run of it goes on.
    """
    if "://" not in Client().active_stack.artifact_store.path:
        return 0
    listed = _listed()
    gone = [url for url in _unlisted(root, listed) if _done(left, url, _remove_file)]
    for path in kept_folder(root).glob("*"):
        name = path.name.removesuffix(DRAFT)  # of a download that was killed
        if _SHARD.fullmatch(name) and path.name not in listed:
            _done(left, path, _unlink)
    return len(gone)


def _remove_file(url: str) -> bool:
    fileio.remove(url)
    return True


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


def _by_age(root: Path, keep: int) -> tuple[Runs, Runs, Runs]:
    """Return the runs of a home to keep, those among them that are needed, and the others.

    Kept are the newest of each pipeline that completed and all since, and those whose finished
    steps stood in for steps of others, which are the needed ones: ZenML takes no step from a record
    that only points to another. Other homes may share ZenML's store, and so
    may runs that do not say whose they are.
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
    lenders = set[UUID]()
    for step in originals:
        with contextlib.suppress(KeyError):  # somebody has removed it
            lenders.add(Client().get_run_step(step).pipeline_run_id)
    needed = [run for run in old if run.id in lenders]
    return [*kept, *needed], needed, [run for run in old if run.id not in lenders]


def _pages(listing: Callable[..., Any], **wanted: Any) -> Iterator[Any]:
    page = 1
    while True:
        found = listing(page=page, size=PAGE, **wanted)
        yield from found.items
        if page >= found.total_pages:
            return
        page += 1
