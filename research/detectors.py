"""The detector of a fold: what the protocol fitted without it, as one `detector.onnx`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bonafide.export.candidate import export_stack, fuse
from bonafide.export.models import export_models, samples_of
from bonafide.export.parity import require_parity
from bonafide.models import family
from bonafide.models.config import view_of
from bonafide.models.examples import Standard
from bonafide.training.fitting import FittedBase
from research.ablations import MODELS, Run, model_settings
from research.fitting import read_standards
from research.workspace import Workspace, stacked

SAMPLE_ROWS = 4  # on which an exported model is compared with its source


def build_detector(workspace: Workspace, run: Run, fold: int) -> Path:
    """Export what was fitted without a fold, stack and calibration included; return the file."""
    folder = workspace.folder / "detectors" / f"{run.seed}-{fold}"
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    fitted = [_fitted(workspace, run, fold, name) for name in MODELS]
    standards = _standards(workspace, run, fold, fitted)
    views = {base.name: base.view for base in fitted}
    samples = samples_of(views, workspace.store, standards, range(SAMPLE_ROWS))
    parity = export_models(fitted, samples, folder, work)
    models = np.stack([base.nested[:, fold] for base in fitted], axis=1)
    is_spoof = workspace.recordings.corpus.is_spoof
    stack, calibration = stacked(models, is_spoof, workspace.folds[run.split], fold, run.seed)
    require_parity(parity | export_stack(stack, folder, models))
    manifest = {
        "models": MODELS,
        "views": {name: view for name, view in views.items() if view},
        "choice": stack.choice,
        "calibration": asdict(calibration),
        "prior_spoof": 0.5,
    }
    fuse(folder, workspace.store.spec, standards, manifest)
    return folder / "detector.onnx"


def _fitted(workspace: Workspace, run: Run, fold: int, name: str) -> FittedBase:
    """Return a base model that was fitted without a fold."""
    chosen, settings = family(name), model_settings(workspace.config, name)
    nested = workspace.scores(run, name)
    return FittedBase(
        name=name,
        label=chosen.label,
        view=view_of(settings),
        config=settings,
        content=workspace.path(run, name, (fold,), chosen.suffix).read_bytes(),
        suffix=chosen.suffix,
        oof=nested[:, fold],
        nested=nested,
        history={},
    )


def _standards(
    workspace: Workspace, run: Run, fold: int, fitted: Sequence[FittedBase]
) -> dict[str, Standard]:
    """Return the standard of each view and of the statistics, by name."""
    return {
        base.view if part == "frames" else part: standard
        for base in fitted
        for part, standard in read_standards(
            workspace.path(run, base.name, (fold,), ".npz")
        ).items()
    }
