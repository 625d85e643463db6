"""What each step of an orchestrator takes of a configuration: no more, so that no more counts."""

from typing import Any

from bonafide.models.config import FitConfig, Section
from bonafide.training.config import Config
from bonafide.training.data_config import AugmentationConfig, FoldsConfig


class IngestConfig(Section):
    """What is read: manifests or folders, their reader, and the fingerprint of what they hold."""

    corpora: list[str]
    corpus_format: str | None = None
    fingerprint: str


class SplitConfig(Section):
    """How rows are split: into which folds, by which seed, and without which golden set."""

    folds: FoldsConfig
    seed: int
    golden: str = ""


class ExtractConfig(Section):
    """What is extracted: the front end, and the augmented copies; anew, since some were damaged."""

    features: dict[str, Any]
    augmentation: AugmentationConfig
    anew: str = ""


class AuditConfig(Section):
    """How the audit draws: how many resamples, by which seed."""

    resamples: int
    seed: int


class TrainConfig(Section):
    """One base model: its name, its own configuration, how all are fitted, and the seed."""

    name: str
    model: dict[str, Any]
    fit: FitConfig
    seed: int


class TuneConfig(Section):
    """A search: of which base model of which configuration, and how many trials in all."""

    config: Config
    model: str
    trials: int


class MonitorConfig(Section):
    """A look at a service's answers: the record, whose answers, how many a window, how many.

    `reference` is the folder of a bundle whose training recordings they are compared with.
    """

    record: str
    bundle: str
    window_rows: int
    last: int
    reference: str = ""
