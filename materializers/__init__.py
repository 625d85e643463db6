"""How artifacts are stored: native formats, a hash each, pages to look at. Never pickle."""

from materializers.data import (
    ArrayMaterializer,
    FeatureStoreMaterializer,
    FoldsMaterializer,
    QuarantineMaterializer,
    RecordingsMaterializer,
)
from materializers.models import (
    BundleMaterializer,
    CalibrationMaterializer,
    FittedBaseMaterializer,
    ScalerMaterializer,
    StackMaterializer,
)
from materializers.results import AuditMaterializer, JudgementMaterializer, StudyMaterializer

__all__ = [
    "ArrayMaterializer",
    "AuditMaterializer",
    "BundleMaterializer",
    "CalibrationMaterializer",
    "FeatureStoreMaterializer",
    "FittedBaseMaterializer",
    "FoldsMaterializer",
    "JudgementMaterializer",
    "QuarantineMaterializer",
    "RecordingsMaterializer",
    "ScalerMaterializer",
    "StackMaterializer",
    "StudyMaterializer",
]
