"""Artifacts of the judging side: the shortcut audit, and the judgement with its report."""

import json
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.metadata.metadata_types import MetadataType

from bonafide.evaluation import DECISION
from bonafide.training.audit import Audit
from bonafide.training.outcome import Judgement, Outcome
from materializers.folder import FolderMaterializer, sha256_of


class AuditMaterializer(FolderMaterializer):
    """The shortcut audit as JSON."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Audit,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA_ANALYSIS

    def write(self, data: Audit, folder: Path) -> None:
        """Write ``audit.json``."""
        (folder / "audit.json").write_text(json.dumps(data.to_json()))

    def read(self, folder: Path) -> Audit:
        """Read it back."""
        return Audit.from_json(json.loads((folder / "audit.json").read_text()))

    def digest(self, data: Audit) -> str:
        """Hash its numbers."""
        return sha256_of(json.dumps(data.to_json()))

    def facts(self, data: Audit) -> dict[str, MetadataType]:
        """Give the EER that is held against the detector's."""
        return {"eer": data.eer.value, "fold_eer": data.fold_eer.value}


class JudgementMaterializer(FolderMaterializer):
    """The outcome as JSON with the HTML report beside it."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Judgement,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA_ANALYSIS

    def write(self, data: Judgement, folder: Path) -> None:
        """Write ``outcome.json`` and ``page.html``."""
        (folder / "outcome.json").write_text(json.dumps(data.outcome.to_json()))
        (folder / "page.html").write_text(data.page, encoding="utf-8")

    def read(self, folder: Path) -> Judgement:
        """Read them back."""
        outcome = Outcome.from_json(json.loads((folder / "outcome.json").read_text()))
        return Judgement(outcome, (folder / "page.html").read_text(encoding="utf-8"))

    def digest(self, data: Judgement) -> str:
        """Hash the numbers."""
        return sha256_of(json.dumps(data.outcome.to_json()))

    def facts(self, data: Judgement) -> dict[str, MetadataType]:
        """Give the EER of every system on sources it never heard."""
        judged = data.outcome.judged
        eers = {name: metrics["eer"].value for name, metrics in judged.systems.items()}
        return {"eer": eers[DECISION], "eer_by_system": eers, **judged.counts}

    def pages(self, data: Judgement) -> dict[str, tuple[str, VisualizationType]]:
        """Show the report."""
        return {"report.html": (data.page, VisualizationType.HTML)}
