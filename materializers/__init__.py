"""How artifacts are stored: native formats, a hash each, pages to look at. Never pickle."""

from materializers.artifact import ArtifactMaterializer
from materializers.models import (
    BundleMaterializer,
    CalibrationMaterializer,
    FittedBaseMaterializer,
    ScalerMaterializer,
    StackMaterializer,
)

__all__ = [
    "ArtifactMaterializer",
    "BundleMaterializer",
    "CalibrationMaterializer",
    "FittedBaseMaterializer",
    "ScalerMaterializer",
    "StackMaterializer",
]
