"""The cache of features: stores of the same family share what they hold."""

import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bonafide.features.frontend import build_frontend
from bonafide.features.spec import FeatureSpec
from bonafide.process.lock import is_locked, locked, open_lock, try_lock
from bonafide.process.pool import Progress, silent
from bonafide.training.augmentation import through
from bonafide.training.channels import heard_through
from bonafide.training.config import AugmentationConfig
from bonafide.training.extraction import extract
from bonafide.training.recordings import Recordings
from bonafide.training.store import (
    AUGMENTATION,
    DONE,
    JOINED,
    SHARDS,
    SPEC,
    FeatureStore,
    Join,
)

MOST_SHARDS = 16  # of a store; each is a few open files, and a folder in every artifact
NUMBERS = b"one window at a time"  # how they come about, where neither graph nor settings say so


def cached_extract(
    recordings: Recordings,
    spec: FeatureSpec,
    augmentation: AugmentationConfig,
    root: Path,
    *,
    progress: Progress = silent,
) -> FeatureStore:
    """Extract into a cache folder what the stores of the same family there do not hold yet.

    Parameters
    ----------
    recordings : Recordings
        The rows; their order is the store's.
    spec : FeatureSpec
        The front end.
    augmentation : AugmentationConfig
        How many augmented copies to make of each recording, and how.
    root : Path
        Holds ``<family>/<recordings>/`` stores; the three newest of a family are kept, and those
        that they are joined from, such as ``<family>/shards/<recordings>/``.
    progress : callable
        Called with (done, total), in rows.

    Returns
    -------
    FeatureStore
        In the cache folder; the next call with the same recordings returns it at once.
    """
    name, key = family_name(spec, augmentation), recordings.rows_sha256[:12]
    family = root / name
    with locked(root / "locks" / f"{name}-{key}"):  # another run may extract the very same
        known = FeatureStore.held(family / key)
        if known is not None and _is_whole(known, recordings, spec, augmentation):
            os.utime(known.folder)
            progress(len(recordings.sha256), len(recordings.sha256))
            return known
        found = _found(family)
        draft = family / f"{key}-{os.getpid()}"
        earlier = [_left_or_whole(path, key, root / "locks") for path in found if path != draft]
        stores = [
            store
            for store in earlier
            if store is not None and (store.spec, store.augmentation) == (spec, augmentation)
        ]
        new = _extract_missing(  # held, as `stores` are, until the store is there that needs them
            recordings, spec, augmentation, draft, family / key, stores, progress
        )
        with locked(root / "locks" / name):  # no other run removes stores meanwhile
            shutil.rmtree(family / key, ignore_errors=True)
            draft.rename(family / key)  # a run that is killed before this leaves a draft
            whole = FeatureStore.held(family / key)
            del earlier, stores, new
            _prune(family, family / key, root / "locks")
        return whole or FeatureStore(family / key)


def _extract_missing(
    recordings: Recordings,
    spec: FeatureSpec,
    augmentation: AugmentationConfig,
    draft: Path,
    final: Path,
    stores: Sequence[FeatureStore],
    progress: Progress,
) -> FeatureStore | None:
    """Write a store of its own into `draft`, or one that is joined; return what is new in it."""
    whole = [each for each in stores if "-" not in each.folder.name and each.folder != final]
    whole.sort(key=lambda store: -len(store.sounds))  # the fewest that hold all
    left = [each for each in stores if each not in whole]
    sounds = recordings.sha256.tolist()
    whole, spread = _worth_joining(whole, set(sounds))
    left += spread
    known = {sound for store in whole for sound in store.sounds.values()}
    missing = np.flatnonzero([sound not in known for sound in sounds])
    if len(missing) == len(sounds):
        return extract(recordings, spec, augmentation, draft, earlier=left, progress=progress)
    held = len(sounds) - len(missing)
    progress(held, len(sounds))
    added = None
    if len(missing):
        new = recordings.take(missing)
        extract(
            *(new, spec, augmentation, draft),
            earlier=left,
            progress=lambda done, _: progress(held + done, len(sounds)),
        )
        added = _as_shard(draft, final.parent / SHARDS / new.rows_sha256[:12])
        whole.append(added)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    (draft / SPEC).write_text(json.dumps(spec.to_json()))
    (draft / AUGMENTATION).write_text(augmentation.model_dump_json())
    Join.of(whole, sounds).write(draft)  # last: a folder with this file is a store
    return added


def _worth_joining(
    whole: Sequence[FeatureStore], sounds: set[str]
) -> tuple[list[FeatureStore], list[FeatureStore]]:
    """Return the stores to join, and those whose rows are copied: too many, or mostly others'."""
    used, still = list[FeatureStore](), set(sounds)
    for store in whole:
        own = set(store.sounds.values())
        if own & still:
            used.append(store)
            still -= own
    if sum(len(store.sounds) for store in used) > 2 * (len(sounds) - len(still)):
        return [], used
    return (used[:1], used[1:]) if len(used) >= MOST_SHARDS else (used, [])


def _as_shard(draft: Path, shard: Path) -> FeatureStore:
    """Move a finished store to where others find it; take the very same one that is there."""
    family = shard.parent.parent
    shard.parent.mkdir(exist_ok=True)
    with locked(family.parent / "locks" / family.name):  # nobody removes or moves one meanwhile
        there = FeatureStore.held(shard)
        if there is None:
            shutil.rmtree(shard, ignore_errors=True)
            draft.rename(shard)
            there = FeatureStore.held(shard)
    return there or FeatureStore(shard)


def _found(family: Path) -> list[Path]:
    """Return the folders of all stores with arrays of their own, the newest first."""
    return sorted((path.parent for path in family.glob(f"**/{DONE}")), key=_age)


def _left_or_whole(folder: Path, key: str, locks: Path) -> FeatureStore | None:
    """Return a store to take rows from: a whole one, or a draft that no run is writing."""
    theirs, dash, _ = folder.name.partition("-")
    if dash and theirs != key and is_locked(locks / f"{folder.parent.name}-{theirs}"):
        return None
    return FeatureStore.held(folder)


def _is_whole(
    store: FeatureStore, recordings: Recordings, spec: FeatureSpec, augmentation: AugmentationConfig
) -> bool:
    if store.sounds != dict(enumerate(map(str, recordings.sha256))):
        return False
    return (store.spec, store.augmentation) == (spec, augmentation)


def _prune(family: Path, newest: Path, locks: Path) -> None:
    """Remove drafts that were left behind, and all but three stores and those they are joined from.

    None that is in use is removed.
    """
    stores = {path.parent for name in (DONE, JOINED) for path in family.glob(f"*/{name}")}
    drafts = {path for path in family.iterdir() if "-" in path.name}
    asked_for = sorted(stores - drafts - {newest}, key=_age)
    kept = {newest, *asked_for[:2]}
    stores_kept = [store for store in map(FeatureStore.held, kept) if store is not None]
    joined = [store.joined for store in stores_kept if store.joined]
    kept |= {family / os.path.relpath(path, family) for each in joined for path in each.folders}
    for path in {*stores, *drafts, *_found(family)} - kept:
        theirs = path.name.partition("-")[0]
        with open_lock(locks / f"{family.name}-{theirs}") as writing:
            if theirs == newest.name or try_lock(writing):
                FeatureStore(path).remove()


def remove_family(folder: Path) -> bool:
    """Remove the stores of a family that are not in use.

    Parameters
    ----------
    folder : Path
        As `cached_extract` makes it, ``<root>/<family>``.

    Returns
    -------
    bool
        Whether none is left.
    """
    locks = folder.parent / "locks"
    with locked(locks / folder.name):
        for path in {*_found(folder), *(path.parent for path in folder.glob(f"*/{SPEC}"))}:
            with open_lock(locks / f"{folder.name}-{path.name.partition('-')[0]}") as writing:
                if try_lock(writing):
                    FeatureStore(path).remove()
        if not list(folder.glob(f"**/{SPEC}")):
            shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def family_name(spec: FeatureSpec, augmentation: AugmentationConfig) -> str:
    """Return the name of the stores that may share rows: one front end, one augmentation.

    The code counts, not the settings alone: the same settings may come to mean another graph, or
    other augmented copies.

    Parameters
    ----------
    spec : FeatureSpec
        Counts by the graph that is built of it.
    augmentation : AugmentationConfig
        Counts with the code that carries it out, unless no copies are made.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    graph = build_frontend(spec).SerializeToString()
    modules = (through, heard_through) if augmentation.count else ()
    code = b"".join(Path(inspect.getfile(module)).read_bytes() for module in modules)
    encoder = spec.encoder.sha256 if spec.encoder else ""
    parts = (graph, encoder.encode(), augmentation.model_dump_json().encode(), code, NUMBERS)
    whole = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts))
    return whole.hexdigest()[:12]


def _age(folder: Path) -> float:
    return -folder.stat().st_mtime
