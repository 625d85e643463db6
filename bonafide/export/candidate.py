"""A candidate: every fitted part as .onnx, held against its source, in a bundle."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import xgboost
from numpy.typing import NDArray

from bonafide.bundle import MODELS, Bundle, write_bundle
from bonafide.detector import p_spoof_of, verdict_of
from bonafide.display import reporter
from bonafide.errors import BonafideError
from bonafide.export.chain import Chain
from bonafide.export.fused import detector_graph
from bonafide.export.tables import (
    meta_logistic_graph,
    meta_trees_graph,
    scaler_graph,
    trees_graph,
)
from bonafide.features.frontend import build_frontend
from bonafide.features.spec import META_MODELS, STATISTICS, FeatureSpec
from bonafide.models.xgboost import load_booster
from bonafide.process.isolate import run_isolated
from bonafide.runtime import Graph
from bonafide.training.base import FittedBase
from bonafide.training.config import Config
from bonafide.training.extraction import training_windows
from bonafide.training.recordings import Recordings
from bonafide.training.sampling import Standard
from bonafide.training.stacking import Calibration, Stack
from bonafide.training.store import FeatureStore

MAX_DIFFERENCE = 1e-4
PARITY_ROWS = 64
Features = NDArray[np.float32]


def _largest(seen: NDArray[np.floating[Any]], source: NDArray[np.floating[Any]]) -> float:
    return float(np.abs(seen.astype(np.float64) - source).max())


def export_networks(
    models: Mapping[str, Path],
    config: Config,
    samples: Mapping[str, dict[str, Features]],
    folder: Path,
) -> None:
    """Export .keras files: ``<name>.onnx`` and ``<name>.npy``, see `bonafide.export.networks`.

    Parameters
    ----------
    models : mapping of str to Path
        The .keras file of each network.
    config : Config
    samples : mapping
        Standardised ``frames`` and ``statistics`` of some rows, by network.
    folder : Path
    """
    jobs = []
    for name, model in models.items():
        path = folder / f"{name}_samples.npz"
        np.savez(path, allow_pickle=False, **samples[name])
        jobs.append(
            {
                "name": name,
                "config": getattr(config.models, name).model_dump(mode="json"),
                "model": str(model),
                "samples": str(path),
                "folder": str(folder),
            }
        )
    run_isolated("bonafide.export.networks:export_networks", {"jobs": jobs}, reporter("export"))


def _export_networks(
    fitted: Mapping[str, FittedBase],
    config: Config,
    samples: Mapping[str, dict[str, Features]],
    folder: Path,
    work: Path,
) -> dict[str, float]:
    """Write the networks' .onnx; return their largest differences from Keras and from tf2onnx."""
    models = {name: work / f"{name}.keras" for name in fitted}
    for name, path in models.items():
        path.write_bytes(fitted[name].content)
    export_networks(models, config, samples, work)
    parity: dict[str, float] = {}
    for name in fitted:
        content = (work / f"{name}.onnx").read_bytes()
        (folder / f"{name}.onnx").write_bytes(content)
        seen = Graph(content)(samples[name])["p_spoof"]
        source, witness = np.load(work / f"{name}.npy")
        parity |= {name: _largest(seen, source), f"{name}_tf2onnx": _largest(seen, witness)}
    return parity


def _export_trees(fitted: FittedBase, statistics: Features, folder: Path) -> float:
    """Write the trees' .onnx; return its largest difference from XGBoost."""
    booster = load_booster(fitted.content)
    onnx.save(trees_graph(booster), str(folder / "xgboost.onnx"))
    source = load_booster(fitted.content).predict(xgboost.DMatrix(statistics))
    seen = Graph(folder / "xgboost.onnx")({STATISTICS: statistics})["p_spoof"]
    return _largest(seen, source)


def _export_stack(stack: Stack, folder: Path, models: Features) -> dict[str, float]:
    """Write both meta-models; return their largest differences on real base scores."""
    graphs = (meta_logistic_graph(stack.logistic), meta_trees_graph(load_booster(stack.trees)))
    source = stack.predict(models)
    parity = {}
    for column, (name, graph) in enumerate(zip(META_MODELS, graphs, strict=True)):
        path = folder / f"meta_{name}.onnx"
        onnx.save(graph, str(path))
        parity[f"meta_{name}"] = _largest(
            Graph(path)({"models": models})["p_spoof"], source[:, column]
        )
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
) -> tuple[Bundle, dict[str, float]]:
    """Export every model, hold each against its source on real features, and make a bundle.

    Parameters
    ----------
    folder : Path
        Receives the bundle; must not exist.

    Returns
    -------
    Bundle
        Without metrics and card, which come when it is kept.
    dict of str to float
        Largest absolute difference of each .onnx from its source: of a single model from what was
        trained, of the detector from the chain of the single models.

    Raises
    ------
    BonafideError
        ``parity_failed`` if a difference is over 1e-4, or a verdict another.
    """
    work = folder.with_name(folder.name + "-work")
    for path in (folder, work):
        path.mkdir(parents=True)
    spec = store.spec
    onnx.save(build_frontend(spec), str(folder / "frontend.onnx"))
    rows = np.unique(np.linspace(0, len(recordings.corpus) - 1, PARITY_ROWS).astype(np.intp))
    parity = {"scaler": _export_scaler(store, scaler, rows, folder)}

    by_name = {base.name: base for base in fitted}
    statistics = scaler[STATISTICS](store.view(STATISTICS)[rows])
    trees = by_name.pop("xgboost")
    samples = {
        name: {
            "frames": scaler[base.view](store.view(base.view)[rows]),
            STATISTICS: statistics,
        }
        for name, base in by_name.items()
    }
    parity |= _export_networks(by_name, config, samples, folder, work)
    parity["xgboost"] = _export_trees(trees, statistics, folder)
    models = np.stack([base.oof for base in fitted], axis=1)
    parity |= _export_stack(stack, folder, models)
    manifest = _manifest(config, recordings, store, fitted, stack, calibration)
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
    return max(_largest(seen[f"scaled_{n}"], scaler[n](values)) for n, values in features.items())


def fuse(
    folder: Path,
    spec: FeatureSpec,
    scaler: Mapping[str, Standard],
    manifest: Mapping[str, Any],
) -> None:
    """Write detector.onnx, made of the graphs that lie in the folder."""
    fused = detector_graph(
        spec,
        scaler,
        {name: onnx.load(folder / f"{name}.onnx") for name in MODELS},
        manifest["views"],
        choice=manifest["choice"],
        calibration=Calibration(**manifest["calibration"]),
        prior_spoof=manifest["prior_spoof"],
    )
    onnx.save(fused, str(folder / "detector.onnx"))


def fused_parity(
    bundle: Bundle, recordings: Recordings, rows: NDArray[np.intp]
) -> dict[str, float]:
    """Hold detector.onnx against the chain on these rows' recordings.

    Return the largest difference of any p_spoof, and how many verdicts differ.
    """
    corpus, manifest = recordings.corpus, bundle.manifest
    paths = [corpus.audio_path(corpus.rows[row]) for row in rows]
    waveforms = training_windows(paths, bundle.spec)
    fused = Graph(bundle.graph_path("detector"))({"waveform": waveforms})
    llr, models, stack = Chain(bundle).score_windows(waveforms)
    p_spoof = p_spoof_of(llr, manifest["prior_spoof"])
    sources = {"p_spoof": p_spoof, "models": models, "stack": stack}
    verdicts = [
        [verdict_of(p, manifest["thresholds"]) for p in side]
        for side in (fused["p_spoof"], p_spoof)
    ]
    return {
        "detector": max(_largest(fused[name], source) for name, source in sources.items()),
        "detector, verdicts": float(sum(a != b for a, b in zip(*verdicts, strict=True))),
    }


def require_parity(parity: Mapping[str, float]) -> None:
    """Refuse differences that are too large, or not numbers."""
    bad = {name: value for name, value in parity.items() if not value <= MAX_DIFFERENCE}
    if bad:
        raise BonafideError(
            "parity_failed",
            f"exported models differ from their sources by {bad}; must be at most {MAX_DIFFERENCE}",
        )


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
        "version": "0",  # given when it is kept
        "feature_spec": store.spec.to_json(),
        "feature_spec_sha256": store.spec.sha256,
        "views": {base.name: base.view for base in fitted if base.view},
        "corpus": {"rows_sha256": recordings.rows_sha256, "rows": len(recordings.corpus)},
        "config": values,
        "config_sha256": hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest(),
        "prior_spoof": config.decision.prior_spoof,
        "thresholds": {"bonafide_to": low, "spoof_from": high},
        "choice": stack.choice,
        "calibration": asdict(calibration),
    }
