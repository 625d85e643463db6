"""The steps from recordings to features."""

from pathlib import Path
from typing import Annotated

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import join
from bonafide.dependencies import files_behind
from bonafide.display import reporter
from bonafide.features.spec import FeatureSpec
from bonafide.home import home
from bonafide.models.config import FitConfig
from bonafide.training.caching import cached_extract
from bonafide.training.examined import Memory
from bonafide.training.fingerprint import file_hashes, require_unchanged
from bonafide.training.folds import Folds, split_corpus
from bonafide.training.golden import held_rows
from bonafide.training.ingest import examine
from bonafide.training.ingest import ingest as ingest_corpus
from bonafide.training.recordings import Quarantine, Recordings
from bonafide.training.scaling import Scaler, fit_scaler
from bonafide.training.step_config import ExtractConfig, IngestConfig, SplitConfig
from bonafide.training.store import FeatureStore
from steps.policy import RETRY, cached_step


@cached_step(retry=RETRY)
def ingest(
    config: IngestConfig,
) -> tuple[Annotated[Recordings, "recordings"], Annotated[Quarantine, "quarantine"]]:
    """Decode and measure every recording of this fingerprint."""
    corpora, named = config.corpora, config.corpus_format
    corpus = join([read_corpus(Path(path), named) for path in corpora])
    # ZenML counts a step's outputs in its return statement: two names, not a call that returns two.
    recordings, quarantine = ingest_corpus(
        corpus,
        memory=Memory(home() / "examined.sqlite", files_behind(examine)),
        hashes=file_hashes(corpora, named),
        progress=reporter("ingest"),
    )
    require_unchanged(config.fingerprint, corpora, named)  # or it would be reused for what was
    return recordings, quarantine


@cached_step
def split(config: SplitConfig, recordings: Recordings) -> Annotated[Folds, "folds"]:
    """Put every source and speaker as a whole into one fold, or hold it out for the judgement."""
    held = held_rows(home(), config.golden, recordings)
    return split_corpus(recordings.corpus, config.folds, config.seed, golden=held)


@cached_step(retry=RETRY)
def extract(config: ExtractConfig, recordings: Recordings) -> Annotated[FeatureStore, "features"]:
    """Extract every view of every recording and of its augmented copies."""
    return cached_extract(
        recordings,
        FeatureSpec.from_json(config.features),
        config.augmentation,
        home() / "features",
        progress=reporter("extract"),
    )


@cached_step
def scale(config: FitConfig, features: FeatureStore, folds: Folds) -> Annotated[Scaler, "scaler"]:
    """Fit the scaler on the training side."""
    return fit_scaler(features, folds, config.feature_weights)
