"""Artifacts of the model side: scaler, base models, stack, calibration, bundle."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from zenml.enums import ArtifactType, VisualizationType
from zenml.metadata.metadata_types import MetadataType

from bonafide.bundle import Bundle, read_bundle
from bonafide.evaluation.report import curves_figure, html_page
from bonafide.models.examples import Standard
from bonafide.training.fitting import FittedBase
from bonafide.training.scaling import Scaler
from bonafide.training.stacking import Calibration, Stack, load_stack, save_stack
from materializers.folder import FolderMaterializer, link_or_copy, sha256_of


class ScalerMaterializer(FolderMaterializer):
    """Mean, scale, limit and gain of every view and the statistics, as .npz."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Scaler,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def write(self, data: Scaler, folder: Path) -> None:
        """Write ``scaler.npz``: ``<view>`` holds mean, scale, limit and any gain, a row each."""
        arrays = {
            name: np.stack(
                [
                    s.mean,
                    s.scale,
                    np.full_like(s.mean, s.limit),
                    *([] if s.gain is None else [s.gain]),
                ]
            )
            for name, s in data.standards.items()
        }
        np.savez(folder / "scaler.npz", **arrays)

    def read(self, folder: Path) -> Scaler:
        """Read it back."""
        with np.load(folder / "scaler.npz", allow_pickle=False) as arrays:
            return Scaler(
                {
                    name: Standard(mean, scale, float(limit[0]), *gain)
                    for name in arrays.files
                    for mean, scale, limit, *gain in [arrays[name]]
                }
            )

    def digest(self, data: Scaler) -> str:
        """Hash names and numbers."""
        parts = [
            (
                n,
                s.mean.tobytes(),
                s.scale.tobytes(),
                str(s.limit),
                "" if s.gain is None else s.gain.tobytes(),
            )
            for n, s in data.standards.items()
        ]
        return sha256_of(*(piece for part in parts for piece in part))

    def facts(self, data: Scaler) -> dict[str, MetadataType]:
        """Count features a view."""
        return {name: len(standard.mean) for name, standard in data.standards.items()}


ABOUT = ("name", "label", "view", "config", "suffix", "history")


class FittedBaseMaterializer(FolderMaterializer):
    """A base model in its own format, with its out-of-fold scores and learning curves."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (FittedBase,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def write(self, data: FittedBase, folder: Path) -> None:
        """Write ``model.keras`` or ``model.ubj``, ``oof.npy`` and ``about.json``."""
        (folder / f"model{data.suffix}").write_bytes(data.content)
        np.save(folder / "oof.npy", data.oof, allow_pickle=False)
        np.save(folder / "nested.npy", data.nested, allow_pickle=False)
        about = {name: getattr(data, name) for name in ABOUT}
        (folder / "about.json").write_text(json.dumps(about))

    def read(self, folder: Path) -> FittedBase:
        """Read it back."""
        about = json.loads((folder / "about.json").read_text())
        content = (folder / f"model{about['suffix']}").read_bytes()
        oof, nested = (
            np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("oof", "nested")
        )
        return FittedBase(content=content, oof=oof, nested=nested, **about)

    def digest(self, data: FittedBase) -> str:
        """Hash scores and name; the .keras file itself carries the date it was saved."""
        about = json.dumps({name: getattr(data, name) for name in ABOUT})
        return sha256_of(about, data.oof.tobytes(), data.nested.tobytes())

    def facts(self, data: FittedBase) -> dict[str, MetadataType]:
        """Return name, view, size and the last loss of each fit."""
        losses = {k: float(v["loss"][-1]) for k, v in data.history.items()}
        return {
            "model": data.name,
            "view": data.view,
            "bytes": len(data.content),
            "loss": losses,
        }

    def pages(self, data: FittedBase) -> dict[str, tuple[str, VisualizationType]]:
        """Show the learning curves."""
        page = html_page(f"Learning curves: {data.name}", [curves_figure(data.history)])
        return {"curves.html": (page, VisualizationType.HTML)}


class StackMaterializer(FolderMaterializer):
    """Both meta-models as JSON and UBJSON."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Stack,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def write(self, data: Stack, folder: Path) -> None:
        """Write ``stack.json`` and ``trees.ubj``."""
        save_stack(data, folder)

    def read(self, folder: Path) -> Stack:
        """Read them back."""
        return load_stack(folder)

    def digest(self, data: Stack) -> str:
        """Hash both."""
        return sha256_of(json.dumps(asdict(data.logistic)), data.trees, data.choice)

    def facts(self, data: Stack) -> dict[str, MetadataType]:
        """Return the choice and what it was made by."""
        return {"choice": data.choice, "log_loss": dict(data.log_loss)}


class CalibrationMaterializer(FolderMaterializer):
    """Two numbers as JSON."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Calibration,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def write(self, data: Calibration, folder: Path) -> None:
        """Write ``calibration.json``."""
        (folder / "calibration.json").write_text(json.dumps(asdict(data)))

    def read(self, folder: Path) -> Calibration:
        """Read it back."""
        return Calibration(**json.loads((folder / "calibration.json").read_text()))

    def digest(self, data: Calibration) -> str:
        """Hash both numbers."""
        return sha256_of(json.dumps(asdict(data)))

    def facts(self, data: Calibration) -> dict[str, MetadataType]:
        """Return both numbers."""
        return asdict(data)


class BundleMaterializer(FolderMaterializer):
    """A bundle's own files, verified on the way back."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Bundle,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def write(self, data: Bundle, folder: Path) -> None:
        """Link or copy every file."""
        link_or_copy(data.folder, folder)

    def read(self, folder: Path) -> Bundle:
        """Read and verify."""
        return read_bundle(folder)

    def digest(self, data: Bundle) -> str:
        """Return the content hash."""
        return str(data.manifest["sha256"])

    def facts(self, data: Bundle) -> dict[str, MetadataType]:
        """Return identity, choice and origin."""
        manifest = data.manifest
        keys = ("name", "version", "choice", "config_sha256")
        return {
            **{key: str(manifest[key]) for key in keys},
            "created": str(manifest.get("created", "-")),
            "rows_sha256": str(manifest["corpus"]["rows_sha256"]),
        }
