"""The protocol: leave-sources-out cross-validation with the folds of configs/protocol.csv.

    python -m research.protocol --corpus MANIFEST --work DIR [--only RUN ...] [--models NAME ...]
    python -m research.protocol --corpus MANIFEST --work DIR --extend-protocol

Every fold is scored by models that heard none of its sources and speakers, stacked and calibrated
on the other folds alone. Each fit is kept with its settings, so that a run that was stopped can be
resumed; the scores of all that was fitted with this configuration go into one file, from which
`research.results` makes every table. `research.held_out` and `research.conditions` come after it.
Needs the extra ``train``.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bonafide.corpora import read_corpus
from research.ablations import MODELS, runs
from research.folds import extend_protocol
from research.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "configs" / "shipped.yaml"
SCORES = ROOT / "docs" / "results"


def options(description: str | None) -> argparse.ArgumentParser:
    """Return the options that the protocol, the conditions and the results share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--config", type=Path, default=CONFIG, help="YAML; default: the shipped")
    parser.add_argument("--work", type=Path, required=True, help="folder for features and fits")
    parser.add_argument("--scores", type=Path, default=SCORES, help="folder for the scores")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit every run and write its scores."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="*", metavar="RUN", help="names of runs; default: all")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    parser.add_argument(
        "--extend-protocol", action="store_true", help="give new sources a fold, and fit nothing"
    )
    chosen = parser.parse_args(arguments)
    if chosen.extend_protocol:
        extend_protocol(read_corpus(chosen.corpus))
        return
    workspace = Workspace.open(chosen.corpus, chosen.config, chosen.work)
    chosen.scores.mkdir(parents=True, exist_ok=True)
    path = chosen.scores / "scores.npz"
    for run in runs(workspace.config):
        if chosen.only and run.name not in chosen.only:
            continue
        workspace.fit(replace(run, models=[name for name in run.models if name in chosen.models]))
        sound = workspace.recordings.sha256.astype("U16")
        np.savez_compressed(path, allow_pickle=False, sound=sound, **workspace.fitted())
    config = json.dumps(workspace.config.model_dump(mode="json"), indent=1)
    (chosen.scores / "config.json").write_text(config + "\n")


if __name__ == "__main__":
    main()
