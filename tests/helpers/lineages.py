"""Bundles with lineage that no training made: their recordings are any bytes, never decoded."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bonafide.artifact import file_sha256
from bonafide.bundle import Bundle, write_bundle
from bonafide.corpora.schema import Corpus, Row
from bonafide.features.spec import FeatureSpec
from bonafide.lineage.record import Step
from bonafide.registry import keep
from bonafide.training.config import parse_config
from bonafide.training.record import lineage_of, used_rows, with_lineage
from bonafide.training.recordings import MEASURES, Quarantine, Recordings, Rejected
from tests.helpers.bundles import BASE_MODELS, GRAPHS

ROWS_SHA256 = "a" * 64
STEPS = (
    Step("ingest", (), {"recordings": "1" * 64}),
    Step("split", ("recordings",), {"folds": "2" * 64}),
    Step("train_cnn", ("recordings", "folds"), {"fitted": "3" * 64}),
    Step("export", ("recordings", "fitted"), {"candidate": "4" * 64}),
)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def files_of(folder: Path, n_rows: int) -> Corpus:
    """Write files that are no recordings; return their rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n_rows):
        (folder / f"{number}.wav").write_text(f"file {number} of {folder.name}")
        label = ("bonafide", "spoof")[number % 2]
        rows.append(Row(f"{number}.wav", label, speaker=f"Ann {number}", source="Ann & sons"))
    return Corpus(folder, rows)


def recordings_of(corpus: Corpus, hashes: Sequence[str] | None = None) -> Recordings:
    hashes = hashes or [file_sha256(corpus.audio_path(row)) for row in corpus]
    sounds = np.array([sha256(f"sound {row.path}") for row in corpus])
    measures = np.zeros((len(corpus), len(MEASURES)))
    return Recordings(corpus, sounds, measures, np.array(hashes))


def candidate_of(folder: Path, salt: str = "") -> Bundle:
    folder.mkdir(parents=True)
    for graph in GRAPHS:
        (folder / f"{graph}.onnx").write_text(f"{graph} {salt}")
    return write_bundle(
        folder,
        {
            "name": "mine",
            "version": "0",
            "feature_spec": FeatureSpec().to_json(),
            "models": list(BASE_MODELS),
            "views": {},
            "prior_spoof": 0.5,
            "thresholds": {"bonafide_to": 0.2, "spoof_from": 0.8},
            "choice": "logistic",
            "calibration": {"slope": 1.0, "intercept": 0.0},
            "corpus": {"rows_sha256": ROWS_SHA256},
        },
    )


def keep_with_lineage(
    root: Path,
    work: Path,
    corpus: Corpus,
    *,
    n_held_out: int = 0,
    aside: Sequence[Rejected] = (),
    run: str = "first",
    made: str = "trained",
    hashes: Sequence[str] | None = None,
) -> Bundle:
    """Keep a bundle that was made from a corpus; the last rows of it are held out."""
    recordings = recordings_of(corpus, hashes)
    held_out = np.arange(len(corpus)) >= len(corpus) - n_held_out
    rows = used_rows(recordings, Quarantine(aside, len(corpus) + len(aside)), held_out)
    named = {"run": run, "run_id": f"id of {run}"}
    config = parse_config({"name": "mine", "seed": 7}, "test")
    lineage = lineage_of(made, recordings, rows, run=named, steps=STEPS, config=config)
    candidate = candidate_of(work, str(corpus.root))
    entries = {"zenml": named, "created": "2026-01-01T00:00:00+00:00", "code": lineage.code}
    with with_lineage(root, candidate, lineage, rows) as recorded:
        return keep(root, recorded, entries, "# mine")
