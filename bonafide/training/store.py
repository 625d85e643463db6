"""The feature store: memory-mapped arrays, one per view, in one folder or joined from several.

A store is written once and never changes. That of a corpus with some new recordings holds these
alone, joined with the stores that hold the others: new rows cost new rows.
"""

import contextlib
import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from bonafide.artifact import JSON, Sharded, link_or_copy
from bonafide.errors import BonafideError
from bonafide.features.spec import FeatureSpec
from bonafide.models.examples import Joined, SideBySide, Table
from bonafide.process.lock import try_lock
from bonafide.training.arrays import map_array
from bonafide.training.config import AugmentationConfig
from bonafide.types import Ints

DONE = "rows.jsonl"
SPEC = "spec.json"
AUGMENTATION = "augmentation.json"
JOINED = "joined.json"
SHARDS = "shards"  # of a joined store that was saved: the stores that it is joined from


@dataclass(frozen=True)
class FeatureStore(Sharded):
    """A folder with one array for each view and each vector, or one that joins such folders.

    ``<view>.npy`` is float32 (n_all, n_frames, n_features), ``<vector>.npy`` float32 (n_all, n). Of
    n_rows recordings, row i is recording i, and row i + k n_rows, for k = 1, 2 ..., is augmented
    copy k of recording i. ``rows.jsonl`` says which recordings are written, with the hash of each
    one's sound; ``spec.json`` is the feature spec, and ``augmentation.json`` says how the augmented
    copies were made. A joined store has ``joined.json`` instead of arrays and ``rows.jsonl``: the
    folders that it is joined from, and of each row which of them holds it, and where.

    One that lies elsewhere has `fetch`, which brings an array to its path before it is read.
    """

    folder: Path
    fetch: Callable[[Path], None] | None = field(default=None, compare=False)

    @property
    def spec(self) -> FeatureSpec:
        """The feature spec that it was made with."""
        return FeatureSpec.from_json(json.loads((self.folder / SPEC).read_text()))

    @property
    def augmentation(self) -> AugmentationConfig:
        """How the augmented copies were made."""
        return AugmentationConfig.model_validate_json((self.folder / AUGMENTATION).read_text())

    @cached_property
    def joined(self) -> "Join | None":
        """What it is joined from; None for a store with arrays of its own."""
        path = self.folder / JOINED
        return Join.read(path) if path.exists() else None

    def view(self, name: str) -> Table:
        """Map one view or vector into memory, read-only; (n_all, ...): `map_array` for errors."""
        if not self.joined:
            path = self.folder / f"{name}.npy"
            if self.fetch:  # which verifies it
                self.fetch(path)
            return map_array(path, trusted=self.fetch is not None)
        array, place = self.joined.array, self.joined.place
        parts = [replace(store, fetch=self.fetch).view(name) for store in self.joined.stores]
        count = 1 + self.augmentation.count
        sizes = np.array([len(part) // count for part in parts])
        stretches = np.arange(count)[:, None]
        places = (place + stretches * sizes[array]).ravel()
        return Joined(parts, np.tile(array, count), places)

    def vectors(self, names: Sequence[str]) -> SideBySide:
        """Map vectors into memory, side by side."""
        return SideBySide([self.view(name) for name in names])

    def bring(self, names: Sequence[str]) -> Path:
        """Have views and vectors here, for another process; return the folder that holds them."""
        for name in names if self.fetch else ():
            self.view(name)
        return self.folder

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all views and vectors."""
        spec = self.spec
        return (*spec.views, *spec.vectors)

    @property
    def sounds(self) -> dict[int, str]:
        """The hash of the sound in each recording that is written, by row."""
        if self.joined:
            known = [store.sounds for store in self.joined.stores]
            pairs = zip(self.joined.array.tolist(), self.joined.place.tolist(), strict=True)
            return {row: known[array][place] for row, (array, place) in enumerate(pairs)}
        path = self.folder / DONE
        if not path.exists():
            return {}
        found: dict[int, str] = {}
        for line in path.read_text().splitlines():
            try:
                found.update({int(row): sha for row, sha in json.loads(line).items()})
            except json.JSONDecodeError:  # the last line of a run that was killed while writing
                break
        return found

    @property
    def sha256(self) -> str:
        """Hash of spec, augmentation and sounds, which determine every number in the store."""
        sounds = [sha for _, sha in sorted(self.sounds.items())]
        text = json.dumps([self.spec.sha256, self.augmentation.model_dump(), sounds])
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def held(cls, folder: Path) -> Self | None:
        """Return the store in a folder; `remove` leaves it alone as long as the object lives.

        Parameters
        ----------
        folder : Path
            Where it may lie.

        Returns
        -------
        FeatureStore or None
            None if it is not there, damaged, or just being removed, or a store that it is joined
            from is.
        """
        with contextlib.ExitStack() as files:
            try:
                store = cls(folder)
                joined = store.joined.folders if store.joined else ()
                for each in (folder, *joined):
                    file = files.enter_context((each / SPEC).open("rb"))
                    if not (try_lock(file, shared=True) and (each / SPEC).exists()):
                        return None
                for name in store.names:
                    store.view(name)
            # gone, or not written to its end
            except (FileNotFoundError, BonafideError, ValueError, KeyError):
                return None
            weakref.finalize(store, files.pop_all().close)
            return store

    def remove(self) -> None:
        """Remove the folder, unless the store is `held`."""
        try:
            file = (self.folder / SPEC).open("rb")
        except FileNotFoundError:  # a draft that was begun, or nothing
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        with file:
            if try_lock(file):
                shutil.rmtree(self.folder, ignore_errors=True)

    def shards(self) -> dict[str, Path]:
        """Return the arrays."""
        if not self.joined:
            return {f"{name}.npy": self.folder / f"{name}.npy" for name in self.names}
        return {
            f"{SHARDS}/{number}/{name}": path
            for number, store in enumerate(self.joined.stores)
            for name, path in store.shards().items()
        }

    def save_rest(self, folder: Path) -> None:
        """Link or copy the files that are no arrays; a store that is complete never changes."""
        if not self.joined:
            arrays = set(self.shards().values())
            for path in set(self.folder.iterdir()) - arrays:
                link_or_copy(path, folder / path.name)
            return
        kept = [folder / SHARDS / f"{n}" for n in range(len(self.joined.folders))]
        for store, place in zip(self.joined.stores, kept, strict=True):
            place.mkdir(parents=True)
            store.save_rest(place)
        for name in (SPEC, AUGMENTATION):
            shutil.copyfile(self.folder / name, folder / name)
        replace(self.joined, folders=kept).write(folder)

    def fetching(self, fetch: Callable[[Path], None]) -> Self:
        """Return the store with `fetch`."""
        return replace(self, fetch=fetch)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Use the files where they lie."""
        return cls(folder)

    def digest(self) -> str:
        """Return the hash of spec, augmentation and sounds."""
        return self.sha256

    def facts(self) -> dict[str, JSON]:
        """Return the shape of each view, the spec, and how copies were made."""
        shapes = {name: str(self.view(name).shape) for name in self.names}
        copies = self.augmentation.model_dump(mode="json")
        return {**shapes, "feature_spec": self.spec.to_json(), "augmentation": copies}


@dataclass(frozen=True)
class Join:
    """What a store is joined from.

    Parameters
    ----------
    folders : sequence of Path
        Of stores with arrays of their own.
    array, place : ndarray of int64, shape (n_rows,)
        Of each recording, which of them holds it, and its row there.
    """

    folders: Sequence[Path]
    array: Ints
    place: Ints

    @cached_property
    def stores(self) -> list[FeatureStore]:
        """The stores."""
        return [FeatureStore(folder) for folder in self.folders]

    @classmethod
    def of(cls, stores: Sequence[FeatureStore], sounds: Sequence[str]) -> "Join":
        """Join stores so that they hold these sounds, in this order.

        Parameters
        ----------
        stores : sequence of FeatureStore
            Of one spec and one augmentation; those that nothing is taken from are left out.
        sounds : sequence of str
            Hash of each recording's sound; one of the stores holds it.

        Returns
        -------
        Join

        Raises
        ------
        KeyError
            If none holds it.
        """
        where: dict[str, tuple[int, int]] = {}
        for number, store in enumerate(stores):
            for row, sound in store.sounds.items():
                where.setdefault(sound, (number, row))
        found = np.array([where[sound] for sound in sounds], dtype=np.int64).reshape(-1, 2)
        used, array = np.unique(found[:, 0], return_inverse=True)
        return cls([stores[number].folder for number in used], array.astype(np.int64), found[:, 1])

    @classmethod
    def read(cls, path: Path) -> "Join":
        """Read what `write` wrote."""
        found = json.loads(path.read_text())
        folders = [path.parent / name for name in found["folders"]]
        return cls(folders, *(np.array(found[name], np.int64) for name in ("array", "place")))

    def write(self, folder: Path) -> None:
        """Write ``joined.json``, with paths relative to its folder."""
        names = [os.path.relpath(each, folder) for each in self.folders]
        content = {"folders": names, "array": self.array.tolist(), "place": self.place.tolist()}
        with (folder / JOINED).open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
