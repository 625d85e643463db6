"""The detector of a fold: what the protocol fitted without the fold, as one `detector.onnx`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from bonafide.export.candidate import export_networks
from bonafide.export.fused import detector_graph
from bonafide.export.tables import meta_logistic_graph, meta_trees_graph, trees_graph
from bonafide.features.spec import STATISTICS
from bonafide.models.xgboost import load_booster
from bonafide.training.sampling import Standard
from bonafide.training.stacking import Stack
from research.ablations import MODELS, NETWORKS, Run, model_settings
from research.fitting import read_standards
from research.workspace import Workspace, stacked

SAMPLE_ROWS = 4  # that an exported network is held against its source on


def build_detector(workspace: Workspace, run: Run, fold: int) -> Path:
    """Export what was fitted without a fold as one `detector.onnx`, stack and calibration too."""
    folder = workspace.folder / "detectors" / f"{run.seed}-{fold}"
    folder.mkdir(parents=True, exist_ok=True)
    views = {name: model_settings(workspace.config, name)["view"] for name in NETWORKS}
    standards = _standards(workspace, run, fold, views)
    _export_networks(workspace, run, fold, views, standards, folder)
    models = np.stack([workspace.scores(run, name)[:, fold] for name in MODELS], axis=1)
    is_spoof = workspace.recordings.corpus.is_spoof
    stack, calibration = stacked(models, is_spoof, workspace.folds[run.split], fold, run.seed)
    fused = detector_graph(
        workspace.store.spec,
        standards,
        _graphs(workspace, run, fold, stack, folder),
        views,
        choice=stack.choice,
        calibration=calibration,
        prior_spoof=0.5,
    )
    target = folder / "detector.onnx"
    onnx.save(fused, str(target))
    return target


def _standards(
    workspace: Workspace, run: Run, fold: int, views: Mapping[str, str]
) -> dict[str, Standard]:
    """Return the standard of each view and of the statistics, by name."""
    return {
        views[name] if part == "frames" else part: standard
        for name in MODELS
        for part, standard in read_standards(workspace.path(run, name, (fold,), ".npz")).items()
    }


def _export_networks(
    workspace: Workspace,
    run: Run,
    fold: int,
    views: Mapping[str, str],
    standards: Mapping[str, Standard],
    folder: Path,
) -> None:
    """Write each network as ONNX, checked on a few recordings."""
    rows, store = np.arange(SAMPLE_ROWS), workspace.store
    known = standards[STATISTICS](store.view(STATISTICS)[rows])
    samples = {
        name: {"frames": standards[view](store.view(view)[rows]), STATISTICS: known}
        for name, view in views.items()
    }
    fits = {name: workspace.path(run, name, (fold,), ".keras") for name in views}
    export_networks(fits, workspace.config, samples, folder)


def _graphs(
    workspace: Workspace, run: Run, fold: int, stack: Stack, folder: Path
) -> dict[str, onnx.ModelProto]:
    """Return the graphs of the base models and of both meta-models, by name."""
    graphs = {name: onnx.load(folder / f"{name}.onnx") for name in NETWORKS}
    trees = workspace.path(run, "xgboost", (fold,), ".ubj").read_bytes()
    return {
        **graphs,
        "xgboost": trees_graph(load_booster(trees)),
        "meta_logistic": meta_logistic_graph(stack.logistic),
        "meta_xgboost": meta_trees_graph(load_booster(stack.trees)),
    }
