"""The gate: what a candidate must be to replace the bundle in production."""

from bonafide.training.gate.deciding import decide, rows_to_freeze
from bonafide.training.gate.decision import Decision, Ruling
from bonafide.training.gate.incumbent import Incumbent, incumbent_of

__all__ = ["Decision", "Incumbent", "Ruling", "decide", "incumbent_of", "rows_to_freeze"]
