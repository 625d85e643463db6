"""What runs left in a home that no kept run needs: families of features, and logs."""

import contextlib
import re
import stat
from datetime import UTC
from pathlib import Path

from zenml.client import Client
from zenml.models import PipelineRunResponse

from bonafide.features.spec import FeatureSpec
from bonafide.training.caching import family_name
from bonafide.training.config import AugmentationConfig
from bonafide.training.store import AUGMENTATION, DONE, JOINED, SHARDS, SPEC

FITTING = ("training", "static_training", "tuning")  # they extract features
MADE = (SPEC, AUGMENTATION, DONE, JOINED)  # a folder with one of these is a store, or was begun
_FAMILY = re.compile("[0-9a-f]{12}")


def old_features(root: Path, kept: list[PipelineRunResponse]) -> list[Path]:
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
    families = filter(_is_family, (root / "features").glob("*"))
    return sorted(path for path in families if used and path.name not in used)


def _is_family(path: Path) -> bool:
    """Return whether a folder is one that the cache of features made, and no link to one."""
    if not _FAMILY.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    stores = (each for each in path.iterdir() if each.is_dir())
    begun = (each.name == SHARDS or any((each / name).exists() for name in MADE) for each in stores)
    return any(begun) or not any(path.iterdir())  # one that was removed may be empty


def old_logs(root: Path, kept: list[PipelineRunResponse]) -> list[Path]:
    """Return the logs that are older than every kept run; what else lies there is not ours."""
    if not kept:
        return []
    since = min(run.created for run in kept).replace(tzinfo=UTC).timestamp()
    found = []
    for path in (root / "logs").glob("*.log"):
        with contextlib.suppress(FileNotFoundError):  # it went just now
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_mtime < since:
                found.append(path)
    return sorted(found)


def size_of(root: Path) -> int:
    """Return the bytes of the files in the home and in ZenML's local artifacts, each once."""
    folders = {root.resolve(), Path(Client().active_stack.artifact_store.path).resolve()}
    files = (path for folder in folders for path in folder.rglob("*"))
    found = dict[int, int]()
    for path in files:
        with contextlib.suppress(FileNotFoundError, PermissionError):  # it went, or is closed
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found[status.st_ino] = status.st_size
    return sum(found.values())
