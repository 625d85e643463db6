"""The detectors of a fold: all that a training run makes, fitted on the other folds alone."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bonafide.bundle import Bundle
from bonafide.export.candidate import build_candidate
from bonafide.export.stages import FAST, first_stage
from bonafide.features.spec import STATISTICS
from bonafide.home import SHIPPED
from bonafide.models import family_of
from bonafide.models.config import view_of
from bonafide.training.families import Families
from bonafide.training.fitting import FittedBase
from bonafide.training.folds import TEST, Folds
from bonafide.training.routing import Router, fit_router
from bonafide.training.rules import Rules, fit_rules
from bonafide.training.scaling import feature_weights_of, fit_scaler, fit_standard
from bonafide.training.stacking import Stage, stack_models
from bonafide.training.windows import training_windows
from research.ablations import Run, model_settings
from research.answers import Answers, answers_of
from research.workspace import Workspace

SAMPLE_ROWS = 16  # on which the first stage's graph is held against its parts
RESAMPLES = 50  # of errors by channel, which are measured otherwise here


@dataclass(frozen=True)
class Design:
    """What a training run makes, fitted without one fold, whose rows are those of the test side.

    Parameters
    ----------
    folds : Folds
        The others.
    router : Router
        Never heard the fold.
    fitted : sequence of FittedBase
        The base models; their scores of other rows come from models that saw neither these rows'
        fold nor the one that is judged.
    stages : sequence of Stage
        Their meta-models.
    rules : Rules
        Calibrations, route and thresholds.
    """

    folds: Folds
    router: Router
    fitted: Sequence[FittedBase]
    stages: Sequence[Stage]
    rules: Rules

    def answers(self, stage: int, prior_spoof: float) -> Answers:
        """Return what it answers to the recordings of its test side, up to a stage."""
        own = self.folds.is_test
        outputs = {
            "llr": self.rules.llr[own, 0, stage],
            "channel": self.router.posteriors[own, 0],
            "distance": self.router.distances[own, 0],
        }
        manifest = {
            "thresholds": self.rules.answers[stage].thresholds,
            "channels": [{"name": name} for name in self.router.channels],
            "prior_spoof": prior_spoof,
        }
        return answers_of(outputs, manifest)


def others(folds: Folds, fold: int) -> Folds:
    """Return the other folds, numbered anew; the rows of this one are held out.

    Examples
    --------
    >>> others(Folds(np.arange(4), np.array([0, 1, 2, 1])), 1).fold.tolist()
    [0, -1, 1, -1]
    """
    numbered = np.where(folds.fold > fold, folds.fold - 1, folds.fold)
    return Folds(folds.group, np.where(folds.fold == fold, TEST, numbered))


def router_without(workspace: Workspace, fold: int) -> Router:
    """Return the router of a fold, which is kept: no seed plays a part in it."""
    folder, config = workspace.folder / "routers" / str(fold), workspace.config
    settings = {
        "store": "/".join(workspace.store.folder.parts[-2:]),
        "weights": config.model_dump(mode="json")["fit"]["feature_weights"],
    }
    done = folder / "settings.json"
    if done.exists() and json.loads(done.read_text()) == settings:
        return Router.load(folder)
    store, folds = workspace.store, others(workspace.folds["sources"], fold)
    rows = np.flatnonzero(~folds.is_test)
    gain = feature_weights_of(store.spec, config.fit.feature_weights)
    standard = fit_standard(store.view(STATISTICS), rows, gain=gain)
    router = fit_router(store, standard, folds, workspace.recordings.corpus)
    folder.mkdir(parents=True, exist_ok=True)
    router.save(folder)
    done.write_text(json.dumps(settings))
    return router


def without_router(router: Router) -> Router:
    """Return a router that says the same of every sound."""
    flat = {
        name: np.full_like(getattr(router, name), 1 / len(router.channels))
        for name in ("posteriors", "nested")
    }
    return replace(router, **flat)


def fitted_without(workspace: Workspace, runs: Mapping[str, Run], fold: int) -> list[FittedBase]:
    """Return base models that were fitted without a fold, each in a nested run, by name."""
    return [_fitted(workspace, run, name, fold) for name, run in runs.items()]


def _fitted(workspace: Workspace, run: Run, name: str, fold: int) -> FittedBase:
    settings = model_settings(workspace.config, name)
    chosen = family_of(name, settings)
    oof = workspace.scores(run, name)[:, fold]
    # Scores for the stack's inner folds may come from models that saw those: none of them is judged
    # here.
    nested = np.repeat(oof[:, None], workspace.folds[run.split].count - 1, axis=1)
    return FittedBase(
        name=name,
        label=settings["label"] or chosen.label,
        view=view_of(settings),
        config=settings,
        content=workspace.path(run, name, (fold,), chosen.suffix).read_bytes(),
        suffix=chosen.suffix,
        oof=oof,
        nested=nested,
        history={},
    )


def design_of(
    workspace: Workspace,
    fitted: Sequence[FittedBase],
    router: Router,
    fold: int,
    seed: int,
    *,
    stages: Sequence[Sequence[str]] | None = None,
    **changes: Any,
) -> Design:
    """Fit stacks and rules without a fold, as a training run fits them.

    Parameters
    ----------
    workspace : Workspace
        Recordings, folds and configuration.
    fitted : sequence of FittedBase
        The base models without the fold.
    router : Router
        Likewise.
    fold : int
        The one to be judged, of which nothing is used.
    seed : int
        Of the trees.
    stages : sequence of sequence of str, or None
        Names of the base models of each stage; None for the configuration's.
    **changes
        Sections of the configuration that are replaced.

    Returns
    -------
    Design
    """
    corpus, folds = workspace.recordings.corpus, others(workspace.folds["sources"], fold)
    config = workspace.config.model_copy(update={"resamples": RESAMPLES, **changes})
    given = (router, corpus, folds, workspace.stretches)
    stacks = stack_models(fitted, stages or config.stages, *given, seed)
    rules = fit_rules(
        stacks,
        router,
        workspace.recordings,
        folds,
        workspace.stretches,
        config,
        window_s=workspace.store.spec.window_s,
    )
    return Design(folds, router, fitted, stacks, rules)


def build_detectors(workspace: Workspace, run: Run, fold: int) -> dict[str, Bundle]:
    """Export what was fitted without a fold; return both bundles, by the names of those shipped."""
    folder = workspace.folder / "detectors" / f"{run.seed}-{fold}"
    shutil.rmtree(folder, ignore_errors=True)
    router = router_without(workspace, fold)
    fitted = fitted_without(workspace, dict.fromkeys(workspace.config.models, run), fold)
    design = design_of(workspace, fitted, router, fold, run.seed)
    config = workspace.config
    bundle, _ = build_candidate(
        folder / SHIPPED.name,
        config=config,
        recordings=workspace.recordings,
        store=workspace.store,
        scaler=fit_scaler(workspace.store, design.folds, config.fit.feature_weights).standards,
        router=router,
        families=Families.none(),
        fitted=fitted,
        stages=design.stages,
        rules=design.rules,
    )
    corpus = workspace.recordings.corpus
    paths = [corpus.audio_path(row) for row in corpus.rows[:SAMPLE_ROWS]]
    fast = first_stage(bundle, folder / FAST, training_windows(paths, bundle.spec))
    return {SHIPPED.name: bundle, FAST: fast}
