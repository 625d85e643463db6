"""Why a detector answers as it does: which seconds, which bands and which base models."""

from bonafide.explanation.explainer import Explainer as Explainer
from bonafide.explanation.types import Explained as Explained
from bonafide.explanation.types import Explanation as Explanation
