"""What every bundle of the default configuration holds."""

from bonafide.bundle import META_MODELS
from bonafide.models import BUILT_IN

BASE_MODELS = tuple(BUILT_IN)
GRAPHS = ("detector", "frontend", "scaler", *BASE_MODELS, *(f"meta_{name}" for name in META_MODELS))
