"""The feature store: a folder of memory-mapped arrays, one per view."""

import contextlib
import hashlib
import json
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bonafide.artifact import JSON, Artifact, link_or_copy
from bonafide.features.spec import FeatureSpec
from bonafide.models.examples import SideBySide
from bonafide.process.lock import try_lock
from bonafide.training.config import AugmentationConfig

DONE = "rows.jsonl"
SPEC = "spec.json"
AUGMENTATION = "augmentation.json"


@dataclass(frozen=True)
class FeatureStore(Artifact):
    """A folder with one ``<view>.npy`` per view, float32 (n_all, n_frames, n_features),
    and one ``<vector>.npy`` per vector, float32 (n_all, n). Of n_rows recordings, row i is recording
    i, and row i + k n_rows, for k = 1, 2 ..., is augmented copy k of recording i. ``rows.jsonl``
    says which recordings are written, with the hash of each one's sound; ``spec.json`` is the
    feature spec, and ``augmentation.json`` says how the augmented copies were made.
    """

    folder: Path

    @property
    def spec(self) -> FeatureSpec:
        """The feature spec that it was made with."""
        return FeatureSpec.from_json(json.loads((self.folder / SPEC).read_text()))

    @property
    def augmentation(self) -> AugmentationConfig:
        """How the augmented copies were made."""
        return AugmentationConfig.model_validate_json((self.folder / AUGMENTATION).read_text())

    def view(self, name: str) -> NDArray[np.float32]:
        """Map one view or vector into memory, read-only."""
        mapped: NDArray[np.float32] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return mapped

    def vectors(self, names: Sequence[str]) -> SideBySide:
        """Map vectors into memory, side by side."""
        return SideBySide([self.view(name) for name in names])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all views and vectors."""
        spec = self.spec
        return (*spec.views, *spec.vectors)

    @property
    def sounds(self) -> dict[int, str]:
        """The hash of the sound in each recording that is written, by row."""
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
            None if it is not there, or just being removed.
        """
        try:
            file = (folder / SPEC).open("rb")
        except FileNotFoundError:
            return None
        if not (try_lock(file, shared=True) and (folder / SPEC).exists()):
            file.close()
            return None
        store = cls(folder)
        weakref.finalize(store, file.close)
        return store

    def remove(self) -> None:
        """Remove the folder, unless it is gone or the store is `held`."""
        with contextlib.suppress(FileNotFoundError), (self.folder / SPEC).open("rb") as file:
            if try_lock(file):
                shutil.rmtree(self.folder)

    def save(self, folder: Path) -> None:
        """Link or copy the files; a store that is complete never changes again."""
        link_or_copy(self.folder, folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Use the files where they lie."""
        return cls(folder)

    def digest(self) -> str:
        """Return the hash of spec, augmentation and sounds."""
        return self.sha256

    def facts(self) -> dict[str, JSON]:
        """Return the shape of each view and the spec."""
        shapes = {name: str(self.view(name).shape) for name in self.names}
        return {**shapes, "feature_spec": self.spec.to_json()}
