"""The provenance desk: what a file itself says of its origin, apart from any verdict, offline."""

from bonafide.provenance.examine import examine
from bonafide.provenance.finding import (
    MEANING,
    NAMES,
    Facts,
    Finding,
    FindingCode,
    NotFound,
    NotLookedFor,
    Origin,
)

__all__ = [
    "MEANING",
    "NAMES",
    "Facts",
    "Finding",
    "FindingCode",
    "NotFound",
    "NotLookedFor",
    "Origin",
    "examine",
]
