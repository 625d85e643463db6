"""Artifacts of the data side: recordings, quarantine, folds, features, score arrays."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from zenml.enums import ArtifactType, VisualizationType
from zenml.metadata.metadata_types import MetadataType

from bonafide.corpora.schema import COLUMNS, Corpus, Row, describe
from bonafide.evaluation.report import html_page, html_table
from bonafide.features.spec import STATISTICS
from bonafide.training.folds import Folds
from bonafide.training.recordings import MEASURES, Quarantine, Recordings, Rejected
from bonafide.training.store import FeatureStore
from materializers.folder import FolderMaterializer, link_or_copy, sha256_of


class RecordingsMaterializer(FolderMaterializer):
    """Rows, sound hashes and measures as one Parquet table."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Recordings,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def write(self, data: Recordings, folder: Path) -> None:
        """Write ``recordings.parquet``; the corpus root goes into its metadata."""
        columns = {name: data.corpus.column(name).tolist() for name in COLUMNS}
        columns["sha256"] = data.sha256.tolist()
        measures = {name: data.measures[:, i] for i, name in enumerate(MEASURES)}
        table = pa.table({**columns, **{f"measured_{k}": v for k, v in measures.items()}})
        table = table.replace_schema_metadata({"root": str(data.corpus.root)})
        pq.write_table(table, folder / "recordings.parquet")

    def read(self, folder: Path) -> Recordings:
        """Read the table back."""
        table = pq.read_table(folder / "recordings.parquet")
        rows = [Row(**row) for row in table.select(list(COLUMNS)).to_pylist()]
        measures = [table.column(f"measured_{name}").to_numpy() for name in MEASURES]
        root = Path(table.schema.metadata[b"root"].decode())
        sha256 = np.array(table.column("sha256").to_pylist())
        return Recordings(Corpus(root, rows), sha256, np.stack(measures, axis=1))

    def digest(self, data: Recordings) -> str:
        """Hash rows and sound."""
        return data.rows_sha256

    def facts(self, data: Recordings) -> dict[str, MetadataType]:
        """Count rows, labels, sources, speakers, generators."""
        return {
            **describe(data.corpus),
            "rows_sha256": data.rows_sha256,
            "root": str(data.corpus.root),
            "hours": float(data.measures[:, 0].sum() / 3600),
        }

    def pages(self, data: Recordings) -> dict[str, tuple[str, VisualizationType]]:
        """Show the corpus by label and each descriptive column."""
        spoof = data.corpus.is_spoof
        sections = []
        for name in ("source", "system", "attack_type", "language", "original_codec", "licence"):
            values = data.corpus.column(name)
            groups = sorted(set(values.tolist()), key=lambda v: -int((values == v).sum()))
            lines = [
                [group, str(int((rows & ~spoof).sum())), str(int((rows & spoof).sum()))]
                for group in groups[:40]
                for rows in [values == group]
            ]
            sections.append(f"<h2>By {name}</h2>{html_table((name, 'bona fide', 'spoof'), lines)}")
        page = html_page("Corpus", sections)
        return {"corpus.html": (page, VisualizationType.HTML)}


class QuarantineMaterializer(FolderMaterializer):
    """Rows that were set aside, as JSON, and as CSV to look at."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Quarantine,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def write(self, data: Quarantine, folder: Path) -> None:
        """Write ``quarantine.json``."""
        (folder / "quarantine.json").write_text(self._json(data))

    @staticmethod
    def _json(data: Quarantine) -> str:
        rejected = [asdict(item) for item in data.rejected]
        return json.dumps({"n_rows": data.n_rows, "rejected": rejected})

    def read(self, folder: Path) -> Quarantine:
        """Read it back."""
        values = json.loads((folder / "quarantine.json").read_text())
        return Quarantine([Rejected(**item) for item in values["rejected"]], values["n_rows"])

    def digest(self, data: Quarantine) -> str:
        """Hash rows and reasons."""
        return sha256_of(self._json(data))

    def facts(self, data: Quarantine) -> dict[str, MetadataType]:
        """Count rows by reason."""
        return {"rows": data.n_rows, "set_aside": len(data.rejected), **data.counts()}

    def pages(self, data: Quarantine) -> dict[str, tuple[str, VisualizationType]]:
        """Show every row that was set aside."""
        lines = [[str(r.row + 2), r.path, r.code, r.message] for r in data.rejected]
        table = html_table(("row", "path", "code", "reason"), lines)
        page = html_page("Quarantine", [table])
        return {"quarantine.html": (page, VisualizationType.HTML)}


class FoldsMaterializer(FolderMaterializer):
    """Group and fold of each row, as CSV."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Folds,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def write(self, data: Folds, folder: Path) -> None:
        """Write ``folds.csv``."""
        with (folder / "folds.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("group", "fold"))
            writer.writerows(zip(data.group.tolist(), data.fold.tolist(), strict=True))

    def read(self, folder: Path) -> Folds:
        """Read it back."""
        table = np.loadtxt(folder / "folds.csv", np.int64, delimiter=",", skiprows=1, ndmin=2)
        return Folds(table[:, 0], table[:, 1])

    def digest(self, data: Folds) -> str:
        """Hash the assignment."""
        return sha256_of(data.group.tobytes(), data.fold.tobytes())

    def facts(self, data: Folds) -> dict[str, MetadataType]:
        """Return size and groups of each part."""
        return {
            name: {"rows": int(rows.sum()), "groups": len(set(data.group[rows].tolist()))}
            for name, rows in self._parts(data).items()
        }

    @staticmethod
    def _parts(data: Folds) -> dict[str, NDArray[np.bool_]]:
        folds = {f"fold {k}": data.fold == k for k in range(data.count)}
        return {"held out": data.is_test, **folds}

    def pages(self, data: Folds) -> dict[str, tuple[str, VisualizationType]]:
        """Show which groups went where."""
        lines = []
        for name, rows in self._parts(data).items():
            groups, sizes = np.unique(data.group[rows], return_counts=True)
            listed = ", ".join(f"{g} ({n})" for g, n in zip(groups, sizes, strict=True))
            lines.append([name, str(int(rows.sum())), str(len(groups)), listed])
        table = html_table(("part", "rows", "groups", "group (rows)"), lines)
        return {"folds.html": (html_page("Folds", [table]), VisualizationType.HTML)}


class FeatureStoreMaterializer(FolderMaterializer):
    """The store's own files; where the file system allows, linked instead of copied."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (FeatureStore,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def write(self, data: FeatureStore, folder: Path) -> None:
        """Link or copy the files; a store that is complete never changes again."""
        link_or_copy(data.folder, folder)

    def read(self, folder: Path) -> FeatureStore:
        """Map the files where they lie."""
        return FeatureStore(folder)

    def digest(self, data: FeatureStore) -> str:
        """Hash spec and sounds, which decide every number."""
        return data.sha256

    def facts(self, data: FeatureStore) -> dict[str, MetadataType]:
        """Return the shape of each view and the spec."""
        shapes: dict[str, MetadataType] = {
            name: str(data.view(name).shape) for name in (*data.spec.views, STATISTICS)
        }
        return {**shapes, "feature_spec": data.spec.to_json()}


class ArrayMaterializer(FolderMaterializer):
    """A NumPy array as .npy, without objects."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (np.ndarray,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def write(self, data: NDArray[Any], folder: Path) -> None:
        """Write ``array.npy``."""
        np.save(folder / "array.npy", data, allow_pickle=False)

    def read(self, folder: Path) -> NDArray[Any]:
        """Read it back."""
        array: NDArray[Any] = np.load(folder / "array.npy", allow_pickle=False)
        return array

    def digest(self, data: NDArray[Any]) -> str:
        """Hash shape, type and content."""
        return sha256_of(str(data.shape), str(data.dtype), np.ascontiguousarray(data).tobytes())

    def facts(self, data: NDArray[Any]) -> dict[str, MetadataType]:
        """Return shape and type."""
        return {"shape": str(data.shape), "dtype": str(data.dtype)}
