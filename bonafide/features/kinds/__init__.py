"""View kinds by name. A new one is a file with a `ViewKind`, and an entry point that names it.

Another package adds one with a line of its pyproject.toml::

    [project.entry-points."bonafide.views"]
    imfcc = "its_package.imfcc:IMFCC"
"""

from bonafide.features.kinds.base import Bands, Table, ViewKind, cosine_table
from bonafide.features.kinds.linear import LFCC, LOGBAND
from bonafide.features.kinds.mel import LOGMEL, MFCC
from bonafide.plugins import Registry

__all__ = ["KINDS", "Bands", "Table", "ViewKind", "cosine_table"]

KINDS = Registry("bonafide.views", ViewKind, (MFCC, LFCC, LOGMEL, LOGBAND))
