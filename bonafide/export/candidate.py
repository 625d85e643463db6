"""A candidate: every fitted part as .onnx, compared with its source, in a bundle."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bonafide.bundle import META_MODELS, Bundle, write_bundle
from bonafide.detector import PARTS_FROM, p_spoof_of, verdict_of
from bonafide.export.chain import Chain
from bonafide.export.fused import detector_graph
from bonafide.export.meta import meta_logistic_graph, meta_trees_graph
from bonafide.export.models import export_models, samples_of
from bonafide.export.parity import largest, require_parity
from bonafide.export.scaler import scaler_graph
from bonafide.features.frontend import build_frontend
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.models.examples import Standard
from bonafide.models.xgboost import load_booster
from bonafide.runtime import Graph
from bonafide.training.config import Config
from bonafide.training.extraction import training_windows
from bonafide.training.fitting import FittedBase
from bonafide.training.recordings import Recordings
from bonafide.training.stacking import Calibration, Stack
from bonafide.training.store import FeatureStore
from bonafide.types import Features

PARITY_ROWS = 64


def export_stack(stack: Stack, folder: Path, models: Features) -> dict[str, float]:
    """Write ``meta_<name>.onnx`` of both meta-models.

    Parameters
    ----------
    stack : Stack
        The fitted meta-models.
    folder : Path
        Receives the graphs.
    models : ndarray of float32, shape (n_rows, n_models)
        Base scores on which graphs and meta-models are compared.

    Returns
    -------
    dict of str to float
        Largest absolute difference of each graph.
    """
    graphs = (meta_logistic_graph(stack.logistic), meta_trees_graph(load_booster(stack.trees)))
    source = stack.predict(models)
    parity = {}
    for column, (name, graph) in enumerate(zip(META_MODELS, graphs, strict=True)):
        path = folder / f"meta_{name}.onnx"
        onnx.save(graph, str(path))
        seen = Graph(path)({"models": models})["p_spoof"]
        parity[f"meta_{name}"] = largest(seen, source[:, column])
    return parity


def build_candidate(
    folder: Path,
    *,
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    scaler: Mapping[str, Standard],
    fitted: Sequence[FittedBase],
    stack: Stack,
    calibration: Calibration,
    parts_from: float | None,
) -> tuple[Bundle, dict[str, float]]:
    """Export every model, compare each with its source on real features, and make a bundle.

    Parameters
    ----------
    folder : Path
        Receives the bundle; must not exist.
    config : Config
        Goes into the manifest; sets prior and thresholds.
    recordings : Recordings
        What the models were trained on; some are scored again.
    store : FeatureStore
        Of these recordings.
    scaler : mapping of str to Standard
        By view, and of the statistics.
    fitted : sequence of FittedBase
        In the order of the bundle's `models`.
    stack : Stack
        Both meta-models, and which one decides.
    calibration : Calibration
        Of the meta-model that decides.
    parts_from : float or None
        The bar for parts, as `bonafide.training.parts.parts_bar` sets it; None for no parts.

    Returns
    -------
    Bundle
        Without metrics and card, which are added when it is kept.
    dict of str to float
        Largest absolute difference of each .onnx from its source: of a single model from what was
        trained, of the detector from the chain of the single models.

    Raises
    ------
    BonafideError
        ``parity_failed`` if a difference is over 1e-4, or a verdict differs.
    """
    work = folder.with_name(folder.name + "-work")
    for path in (folder, work):
        path.mkdir(parents=True)
    spec = store.spec
    onnx.save(build_frontend(spec), str(folder / "frontend.onnx"))
    rows = np.unique(np.linspace(0, len(recordings.corpus) - 1, PARITY_ROWS).astype(np.intp))
    parity = {"scaler": _export_scaler(store, scaler, rows, folder)}
    samples = samples_of({base.name: base.view for base in fitted}, store, scaler, rows.tolist())
    parity |= export_models(fitted, samples, folder, work)
    parity |= export_stack(stack, folder, np.stack([base.oof for base in fitted], axis=1))
    manifest = _manifest(config, recordings, store, fitted, stack, calibration)
    if parts_from is not None:
        manifest["thresholds"][PARTS_FROM] = parts_from
    fuse(folder, spec, scaler, manifest)
    bundle = write_bundle(folder, manifest)
    parity |= fused_parity(bundle, recordings, rows)
    require_parity(parity)
    return bundle, parity


def _export_scaler(
    store: FeatureStore, scaler: Mapping[str, Standard], rows: NDArray[np.intp], folder: Path
) -> float:
    onnx.save(scaler_graph(store.spec, scaler), str(folder / "scaler.onnx"))
    features = {name: store.view(name)[rows] for name in (*store.spec.views, STATISTICS)}
    seen = Graph(folder / "scaler.onnx")(features)
    return max(largest(seen[f"scaled_{n}"], scaler[n](values)) for n, values in features.items())


def fuse(
    folder: Path,
    spec: FeatureSpec,
    scaler: Mapping[str, Standard],
    manifest: Mapping[str, Any],
) -> None:
    """Write detector.onnx, made of the graphs in the folder."""
    models = list(manifest["models"])
    parts = (*models, *(f"meta_{name}" for name in META_MODELS))
    fused = detector_graph(
        spec,
        scaler,
        models,
        {name: onnx.load(folder / f"{name}.onnx") for name in parts},
        manifest["views"],
        choice=manifest["choice"],
        calibration=Calibration(**manifest["calibration"]),
        prior_spoof=manifest["prior_spoof"],
    )
    onnx.save(fused, str(folder / "detector.onnx"))


def fused_parity(
    bundle: Bundle, recordings: Recordings, rows: NDArray[np.intp]
) -> dict[str, float]:
    """Compare detector.onnx with the chain of single graphs.

    Parameters
    ----------
    bundle : Bundle
        With all its graphs.
    recordings : Recordings
        Scored from their files.
    rows : ndarray of int, shape (n,)
        Which of them.

    Returns
    -------
    dict of str to float
        ``detector``, the largest absolute difference of any p_spoof, and ``detector, verdicts``,
        how many verdicts differ.
    """
    corpus, manifest = recordings.corpus, bundle.manifest
    paths = [corpus.audio_path(corpus.rows[row]) for row in rows]
    waveforms = training_windows(paths, bundle.spec)
    fused = Graph(bundle.graph_path("detector"))({"waveform": waveforms})
    llr, models, stack, *_ = Chain(bundle).score_windows(waveforms)
    p_spoof = p_spoof_of(llr, manifest["prior_spoof"])
    sources = {"p_spoof": p_spoof, "models": models, "stack": stack}
    verdicts = [
        [verdict_of(p, manifest["thresholds"]) for p in side]
        for side in (fused["p_spoof"], p_spoof)
    ]
    return {
        "detector": max(largest(fused[name], source) for name, source in sources.items()),
        "detector, verdicts": float(sum(a != b for a, b in zip(*verdicts, strict=True))),
    }


def _manifest(
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    fitted: Sequence[FittedBase],
    stack: Stack,
    calibration: Calibration,
) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    low, high = config.decision.undecided
    return {
        "name": config.name,
        "version": "0",  # until it is kept
        "feature_spec": store.spec.to_json(),
        "feature_spec_sha256": store.spec.sha256,
        "models": [base.name for base in fitted],
        "labels": {base.name: base.label for base in fitted},
        "views": {base.name: base.view for base in fitted if base.view},
        "corpus": {"rows_sha256": recordings.rows_sha256, "rows": len(recordings.corpus)},
        "config": values,
        "config_sha256": hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest(),
        "prior_spoof": config.decision.prior_spoof,
        "thresholds": {"bonafide_to": low, "spoof_from": high},
        "choice": stack.choice,
        "calibration": asdict(calibration),
    }
