"""The one way in and out of an artifact store: a folder of files."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import VisualizationType
from zenml.io import fileio
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.metadata.metadata_types import MetadataType


class FolderMaterializer(BaseMaterializer):
    """Writes and reads an artifact as files in a folder.

    Subclasses give `write`, `read`, `digest`, and what people want to see: `facts` and `pages`.
    A local artifact store is written and read in place, another through a temporary folder.
    """

    SKIP_REGISTRATION: ClassVar[bool] = True

    @abstractmethod
    def write(self, data: Any, folder: Path) -> None:
        """Write the files."""

    @abstractmethod
    def read(self, folder: Path) -> Any:
        """Read what `write` wrote."""

    @abstractmethod
    def digest(self, data: Any) -> str:
        """Hash the content, the same for the same content."""

    def facts(self, data: Any) -> dict[str, MetadataType]:
        """Return shapes, counts and metrics to be shown beside the artifact."""
        return {}

    def pages(self, data: Any) -> dict[str, tuple[str, VisualizationType]]:
        """Return pages to look at: file name -> content and kind."""
        return {}

    @property
    def _is_local(self) -> bool:
        return "://" not in self.uri

    def save(self, data: Any) -> None:
        """Store the artifact."""
        if self._is_local:
            folder = Path(self.uri)
            folder.mkdir(parents=True, exist_ok=True)
            self.write(data, folder)
            return
        with self.get_temporary_directory(delete_at_exit=True) as name:
            self.write(data, Path(name))
            for path in Path(name).rglob("*"):
                if path.is_file():
                    target = f"{self.uri}/{path.relative_to(name).as_posix()}"
                    fileio.makedirs(target.rpartition("/")[0])
                    fileio.copy(str(path), target)

    def load(self, data_type: type[Any]) -> Any:
        """Load the artifact; a remote one is fetched for the length of the step."""
        if self._is_local:
            return self.read(Path(self.uri))
        with self.get_temporary_directory(delete_at_exit=False) as name:
            for folder, _, files in fileio.walk(self.uri):
                inner = str(folder).removeprefix(self.uri).lstrip("/")
                (Path(name) / inner).mkdir(parents=True, exist_ok=True)
                for file in files:
                    fileio.copy(f"{folder}/{file!s}", str(Path(name) / inner / str(file)))
            return self.read(Path(name))

    def save_visualizations(self, data: Any) -> dict[str, VisualizationType]:
        """Store the pages beside the artifact."""
        saved = {}
        for name, (content, kind) in self.pages(data).items():
            with fileio.open(f"{self.uri}/{name}", "w") as file:
                file.write(content)
            saved[f"{self.uri}/{name}"] = kind
        return saved

    def extract_metadata(self, data: Any) -> dict[str, MetadataType]:
        """Return the facts and the hash."""
        return {**self.facts(data), "sha256": self.digest(data)}

    def compute_content_hash(self, data: Any) -> str | None:
        """Let equal content be a cache hit whichever run made it."""
        return self.digest(data)
