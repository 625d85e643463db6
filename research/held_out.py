"""docs/results/answers.npz: what a bundle answers to recordings whose source it never heard.

    python -m research.held_out --corpus MANIFEST --work DIR [--bundle NAME]

The decisions of every seed are stacked and calibrated from scores.npz, fold by fold, and kept by
``bundle|seed`` beside those of other bundles.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bonafide.evaluation.evaluate import DECISION
from research.ablations import SEEDS
from research.answers import Answers, answers_of, configured, keep_answers
from research.folds import read_editions
from research.judging import BUNDLES, SHIPPED, Results
from research.protocol import options
from research.results import read_scores
from research.workspace import Workspace


def out_of_fold(results: Results, bundle: str, manifest: Mapping[str, Any]) -> dict[str, Answers]:
    """Return the answers of every seed's decision to every row, by ``bundle|seed``."""
    return {
        f"{bundle}|{seed}": answers_of({"llr": systems[DECISION]}, manifest)
        for seed, systems in zip(SEEDS, results.by_seed, strict=True)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep the answers of every seed."""
    parser = options(__doc__)
    parser.add_argument("--bundle", choices=BUNDLES, default=SHIPPED, help="what was fitted")
    chosen = parser.parse_args(arguments)
    workspace = Workspace.open(chosen.corpus, chosen.config, chosen.work)
    sound = workspace.recordings.sha256
    scores = read_scores(chosen.scores / "scores.npz", sound)
    results = Results(workspace, scores, {}, {}, read_editions(workspace.recordings.corpus), {})
    found = out_of_fold(results, chosen.bundle, configured(workspace.config.decision))
    keep_answers(chosen.scores / "answers.npz", sound=sound.astype("U16"), **found)


if __name__ == "__main__":
    main()
