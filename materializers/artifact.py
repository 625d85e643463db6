"""The one materializer: every artifact is a folder of files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from zenml.enums import ArtifactType, VisualizationType
from zenml.io import fileio
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.metadata.metadata_types import MetadataType

from bonafide.artifact import JSON, Artifact, Sharded, sha256_of
from materializers.shards import LIST, fetcher, store_shards

KINDS = {
    ".html": VisualizationType.HTML,
    ".md": VisualizationType.MARKDOWN,
    ".csv": VisualizationType.CSV,
}


@dataclass(frozen=True)
class Array(Artifact):
    """A NumPy array as .npy, without objects."""

    values: NDArray[Any]

    def save(self, folder: Path) -> None:
        """Write ``array.npy``."""
        np.save(folder / "array.npy", self.values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``array.npy``."""
        return cls(np.load(folder / "array.npy", allow_pickle=False))

    def digest(self) -> str:
        """Return a hash of shape, type and content."""
        content = np.ascontiguousarray(self.values).tobytes()
        return sha256_of(str(self.values.shape), str(self.values.dtype), content)

    def facts(self) -> dict[str, JSON]:
        """Return shape and type."""
        return {"shape": str(self.values.shape), "dtype": str(self.values.dtype)}


def _artifact(data: Artifact | NDArray[Any]) -> Artifact:
    return data if isinstance(data, Artifact) else Array(data)


class ArtifactMaterializer(BaseMaterializer):
    """Stores every `Artifact`, and NumPy arrays, as files in a folder.

    A local artifact store is written and read in place, a remote one through a temporary folder:
    but its shards, see `materializers.shards`, are stored once, and fetched as they are read.
    """

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Artifact, np.ndarray)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    @property
    def _is_local(self) -> bool:
        return "://" not in self.uri

    @property
    def _store(self) -> str:
        return str(self.artifact_store.path)

    def save(self, data: Any) -> None:
        """Store the artifact."""
        if self._is_local:
            folder = Path(self.uri)
            folder.mkdir(parents=True, exist_ok=True)
            _artifact(data).save(folder)
            return
        with self.get_temporary_directory(delete_at_exit=True) as name:
            artifact = _artifact(data)
            if isinstance(artifact, Sharded):
                artifact.save_rest(Path(name))
                listed = store_shards(self._store, artifact.shards())
                (Path(name) / LIST).write_bytes(listed)
            else:
                artifact.save(Path(name))
            for path in Path(name).rglob("*"):
                if path.is_file():
                    target = f"{self.uri}/{path.relative_to(name).as_posix()}"
                    fileio.makedirs(target.rpartition("/")[0])
                    fileio.copy(str(path), target)

    def load(self, data_type: type[Any]) -> Any:
        """Load the artifact; the files of a remote one stay for the length of the step."""
        with self._folder() as folder:
            if issubclass(data_type, np.ndarray):
                return Array.load(folder).values
            loaded = data_type.load(folder)
            if (folder / LIST).exists():
                loaded = loaded.fetching(fetcher(self._store, folder))
            return loaded

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        if self._is_local:
            yield Path(self.uri)
            return
        with self.get_temporary_directory(delete_at_exit=False) as name:
            for folder, _, files in fileio.walk(self.uri):
                inner = Path(name) / str(folder).removeprefix(self.uri).lstrip("/")
                inner.mkdir(parents=True, exist_ok=True)
                for file in files:
                    fileio.copy(f"{folder}/{file!s}", str(inner / str(file)))
            yield Path(name)

    def save_visualizations(self, data: Any) -> dict[str, VisualizationType]:
        """Store the pages beside the artifact."""
        saved = {}
        for name, content in _artifact(data).pages().items():
            path = f"{self.uri}/{name}"
            with fileio.open(path, "w") as file:
                file.write(content)
            saved[path] = KINDS[Path(name).suffix]
        return saved

    def extract_metadata(self, data: Any) -> dict[str, MetadataType]:
        """Return the facts and the hash; ZenML takes no None."""
        artifact = _artifact(data)
        known = {name: fact for name, fact in artifact.facts().items() if fact is not None}
        return {**known, "sha256": artifact.digest()}

    def compute_content_hash(self, data: Any) -> str:
        """Return the hash, so that equal content is a cache hit whichever run made it."""
        return _artifact(data).digest()
