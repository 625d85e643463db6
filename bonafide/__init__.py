"""Bonafide: tell machine-generated speech from human speech.

The names below are what the package offers; each is imported when it is first used, so that
``import bonafide`` costs nothing and scoring needs no training library.

Examples
--------
>>> import numpy as np
>>> from bonafide import Detector
>>> Detector().score(np.zeros(16_000, np.float32)).verdict
'inconclusive'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bonafide.bundle import Bundle, read_bundle
    from bonafide.corpora import read_corpus
    from bonafide.corpora.schema import Corpus
    from bonafide.detection import Detection
    from bonafide.detector import Detector
    from bonafide.errors import BonafideError
    from bonafide.training.adaptation import adapt
    from bonafide.training.config import Config, read_config
    from bonafide.training.run import train

__version__ = "0.1.0"
__all__ = [
    "BonafideError",
    "Bundle",
    "Config",
    "Corpus",
    "Detection",
    "Detector",
    "adapt",
    "read_bundle",
    "read_config",
    "read_corpus",
    "train",
]
_HOME_OF = {
    "BonafideError": "errors",
    "Bundle": "bundle",
    "Config": "training.config",
    "Corpus": "corpora.schema",
    "Detection": "detection",
    "Detector": "detector",
    "adapt": "training.adaptation",
    "read_bundle": "bundle",
    "read_config": "training.config",
    "read_corpus": "corpora",
    "train": "training.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names beside what is imported."""
    return sorted({*globals(), *__all__})
