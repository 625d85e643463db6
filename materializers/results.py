"""Artifacts of the judging side: the shortcut audit, the judgement, and what a search found."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.metadata.metadata_types import MetadataType

from bonafide.evaluation.evaluate import DECISION
from bonafide.evaluation.report import html_page, html_table
from bonafide.training.audit import Audit
from bonafide.training.judgement import Judgement, Outcome
from bonafide.training.tuning import Study
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
        """Return the EER that is held against the detector's."""
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
        """Return the EER of every system on sources it never heard."""
        judged = data.outcome.judged
        eers = {name: metrics["eer"].value for name, metrics in judged.systems.items()}
        return {"eer": eers[DECISION], "eer_by_system": eers, **judged.counts}

    def pages(self, data: Judgement) -> dict[str, tuple[str, VisualizationType]]:
        """Show the report."""
        return {"report.html": (data.page, VisualizationType.HTML)}


class StudyMaterializer(FolderMaterializer):
    """A search for hyper-parameters as JSON, its trials as a page."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Study,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA_ANALYSIS

    def write(self, data: Study, folder: Path) -> None:
        """Write ``study.json``."""
        (folder / "study.json").write_text(json.dumps(asdict(data)))

    def read(self, folder: Path) -> Study:
        """Read it back."""
        return Study(**json.loads((folder / "study.json").read_text()))

    def digest(self, data: Study) -> str:
        """Hash its trials."""
        return sha256_of(json.dumps(asdict(data)))

    def facts(self, data: Study) -> dict[str, MetadataType]:
        """Return model, loss and the best values."""
        return {
            "model": data.model,
            "loss": data.loss,
            "trials": len(data.trials),
            "best": json.dumps(data.best),
        }

    def pages(self, data: Study) -> dict[str, tuple[str, VisualizationType]]:
        """Show every trial, the best first."""
        ranked = sorted(data.trials, key=lambda trial: float(trial["loss"]))
        lines = [
            [str(trial["number"]), f"{trial['loss']:.4f}", json.dumps(trial["values"])]
            for trial in ranked
        ]
        table = html_table(("trial", "loss", "values"), lines)
        page = html_page(f"Hyper-parameters: {data.model}", [table])
        return {"trials.html": (page, VisualizationType.HTML)}
