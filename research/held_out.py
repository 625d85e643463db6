"""docs/results/answers.npz: what a bundle answers to recordings whose source it never heard.

    python -m research.held_out --corpus MANIFEST --work DIR [--seeds N ...]

For every seed and fold, router, stacks and rules are fitted on the other folds as a training run
fits them, on what `research.protocol` fitted. The answers of both bundles are kept by
``bundle|seed`` beside those of other bundles; parts.npz keeps what the stacks said, and the first
seed's decision with one part after another left out.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bonafide.export.stages import FAST
from bonafide.training.config import CascadeConfig
from bonafide.types import AnyFloats
from research.ablations import NO_NARROW, SEEDS, Run, runs, seed_run
from research.answers import ANSWER, keep_answers
from research.detectors import (
    Design,
    design_of,
    fitted_without,
    router_without,
    without_router,
)
from research.judging import SHIPPED
from research.protocol import options
from research.workspace import Workspace

Fold = Callable[[int], Design]
EVERYWHERE = CascadeConfig(share=1.0, clean_from=1.0)


def designs(workspace: Workspace, seed: int, **changes: Any) -> Fold:
    """Return what fits the design of a fold, with changes as `design_of` takes them."""

    def fit(fold: int) -> Design:
        named = dict.fromkeys(workspace.config.models, seed_run(seed))
        fitted, router = fitted_without(workspace, named, fold), router_without(workspace, fold)
        return design_of(workspace, fitted, router, fold, seed, **changes)

    return fit


def answers_of_seed(workspace: Workspace, seed: int) -> dict[str, Any]:
    """Return the answers of both bundles to every row, and the last stage's stack, by key."""
    corpus, prior = workspace.recordings.corpus, workspace.config.decision.prior_spoof
    answers = {name: np.empty(len(corpus), ANSWER) for name in (FAST, SHIPPED)}
    stack = np.empty((len(corpus), 2), np.float32)
    fit = designs(workspace, seed)
    for fold in range(workspace.folds["sources"].count):
        design = fit(fold)
        own = design.folds.is_test
        answers[FAST][own], answers[SHIPPED][own] = (design.answers(n, prior) for n in (0, -1))
        stack[own] = design.stages[-1].cross_fitted[own, 0]
    return {
        **{f"{name}|{seed}": found for name, found in answers.items()},
        f"stack|{seed}": stack,
    }


def left_out(workspace: Workspace) -> Iterator[tuple[str, Fold, int]]:
    """Yield the first seed's decision with one part left out: its name, what fits it, the stage."""
    config, seed = workspace.config, SEEDS[0]
    doubtful = config.cascade.model_copy(update={"clean_from": 0.0})
    yield "all", designs(workspace, seed), -1
    yield "without encoder", designs(workspace, seed), 0
    yield "encoder on every window", designs(workspace, seed, cascade=EVERYWHERE), -1
    yield "without router", _without_router(workspace, seed, cascade=doubtful), -1
    yield "without narrow", _without_narrow(workspace, seed), -1
    for name in config.stages[0]:
        stages = [[other for other in names if other != name] for names in config.stages]
        yield f"without {name}", designs(workspace, seed, stages=stages), -1


def _without_router(workspace: Workspace, seed: int, **changes: Any) -> Fold:
    def fit(fold: int) -> Design:
        named = dict.fromkeys(workspace.config.models, seed_run(seed))
        router = without_router(router_without(workspace, fold))
        fitted = fitted_without(workspace, named, fold)
        return design_of(workspace, fitted, router, fold, seed, **changes)

    return fit


def _without_narrow(workspace: Workspace, seed: int) -> Fold:
    narrow: Run = next(run for run in runs(workspace.config) if run.name == NO_NARROW)

    def fit(fold: int) -> Design:
        named = dict.fromkeys(workspace.config.models, seed_run(seed))
        named |= dict.fromkeys(narrow.models, narrow)
        fitted, router = fitted_without(workspace, named, fold), router_without(workspace, fold)
        return design_of(workspace, fitted, router, fold, seed)

    return fit


def decided(workspace: Workspace, fit: Fold, stage: int) -> AnyFloats:
    """Return the decision's llr of recordings and copies, out of fold, (n_rows, n_channels)."""
    found = np.empty((len(workspace.recordings.corpus), len(workspace.channels)), np.float32)
    for fold in range(workspace.folds["sources"].count):
        design = fit(fold)
        own = design.folds.is_test
        found[own] = workspace.by_channel(design.rules.llr[own])[:, :, stage]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep the answers of every seed, and the decision with each part left out."""
    parser = options(__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=SEEDS)
    chosen = parser.parse_args(arguments)
    workspace = Workspace.open(chosen.corpus, chosen.config, chosen.work)
    sound = workspace.recordings.sha256.astype("U16")
    for seed in chosen.seeds:
        found = answers_of_seed(workspace, seed)
        stack = {f"stack|{seed}": found.pop(f"stack|{seed}")}
        keep_answers(chosen.scores / "answers.npz", sound=sound, **found)
        keep_answers(chosen.scores / "parts.npz", sound=sound, **stack)
        print(f"seed {seed}: answered", flush=True)
    for name, fit, stage in left_out(workspace):
        llr = decided(workspace, fit, stage)
        keep_answers(chosen.scores / "parts.npz", sound=sound, **{f"part|{name}": llr})
        print(f"{name}: decided", flush=True)


if __name__ == "__main__":
    main()
