"""A candidate: every fitted part as .onnx, compared with its source, in a bundle."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bonafide.bundle import ADAPTER, FAMILIES, META_MODELS, Bundle, write_bundle
from bonafide.corpora.families import FAMILIES as LABELS
from bonafide.detector import Detector
from bonafide.explanation import Explainer
from bonafide.explanation.families import FAMILY
from bonafide.export.adapted import adapted_graph
from bonafide.export.chain import fused_difference
from bonafide.export.expected import expected_answers
from bonafide.export.families import families_graph
from bonafide.export.fused import detector_graph
from bonafide.export.meta import meta_logistic_graph, meta_trees_graph
from bonafide.export.models import export_models, samples_of
from bonafide.export.parity import largest, require_parity
from bonafide.export.router import router_graph
from bonafide.export.scaler import scaler_graph
from bonafide.features.encoder import encoder_path
from bonafide.features.frontend import build_frontend
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.home import home
from bonafide.manifest import TYPICAL
from bonafide.models.examples import Standard
from bonafide.models.xgboost import load_booster
from bonafide.runtime import Graph
from bonafide.training.channels import channel_of
from bonafide.training.config import Config
from bonafide.training.families import Families
from bonafide.training.fitting import FittedBase
from bonafide.training.recordings import Recordings
from bonafide.training.routing import Router
from bonafide.training.rules import Answers, Rules
from bonafide.training.stacking import Stage
from bonafide.training.store import FeatureStore
from bonafide.training.windows import training_windows
from bonafide.types import Features, Scores, Waveform

PARITY_ROWS = 64
TYPICAL_ROWS = (16, 128)  # a band's share differs by about a nat from window to window
TYPICAL_SHARE = 8
NOT_FUSED = ("frontend", "scaler", ADAPTER)  # built anew, or put over it


def export_stack(stage: Stage, folder: Path, models: Scores, channel: Scores) -> dict[str, float]:
    """Write ``<prefix>meta_<name>.onnx`` of both meta-models of a stage.

    Parameters
    ----------
    stage : Stage
        The fitted meta-models.
    folder : Path
        Receives the graphs.
    models : ndarray of float32, shape (n, n_models)
        Base scores on which graphs and meta-models are compared.
    channel : ndarray of float32, shape (n, n_channels)
        Posteriors of the channels, likewise.

    Returns
    -------
    dict of str to float
        Largest absolute difference of each graph.
    """
    stack, n_models = stage.stack, models.shape[1]
    graphs = (
        meta_logistic_graph(stack.logistic, n_models),
        meta_trees_graph(load_booster(stack.trees), n_models),
    )
    source = stack.predict(models, channel)
    parity = {}
    for column, (name, graph) in enumerate(zip(META_MODELS, graphs, strict=True)):
        file = f"{stage.prefix}meta_{name}"
        onnx.save(graph, str(folder / f"{file}.onnx"))
        seen = Graph(folder / f"{file}.onnx")({"models": models, "channel": channel})["p_spoof"]
        parity[file] = largest(seen, source[:, column])
    return parity


def build_candidate(
    folder: Path,
    *,
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    scaler: Mapping[str, Standard],
    router: Router,
    families: Families,
    fitted: Sequence[FittedBase],
    stages: Sequence[Stage],
    rules: Rules,
) -> tuple[Bundle, dict[str, float]]:
    """Export every model, compare each with its source on real features, and make a bundle.

    Parameters
    ----------
    folder : Path
        Receives the bundle; must not exist.
    config : Config
        Goes into the manifest; sets the prior.
    recordings : Recordings
        What the models were trained on; some are scored again.
    store : FeatureStore
        Of these recordings.
    scaler : mapping of str to Standard
        By view and vector.
    router : Router
        Tells channels apart.
    families : Families
        Tells families of generators apart.
    fitted : sequence of FittedBase
        The base models.
    stages : sequence of Stage
        Their meta-models.
    rules : Rules
        Calibrations, route and thresholds.

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
        ``parity_failed`` if a difference is over 1e-4.
    """
    work = folder.with_name(folder.name + "-work")
    for path in (folder, work):
        path.mkdir(parents=True)
    spec = store.spec
    onnx.save(build_frontend(spec), str(folder / "frontend.onnx"))
    if spec.encoder:
        shutil.copyfile(encoder_path(spec.encoder, home()), folder / "encoder.onnx")
    fitted = in_order(fitted, stages)
    rows = np.unique(np.linspace(0, len(recordings.corpus) - 1, PARITY_ROWS).astype(np.intp))
    parity = {"scaler": _export_scaler(store, scaler, rows, folder)}
    parity |= _export_router(router, store, scaler, rows, folder)
    heard = np.hstack([scaler[name](store.view(name)[rows]) for name in families.hears])
    known, parity_of_families = export_families(families, heard, folder)
    parity |= parity_of_families
    samples = samples_of(fitted, store, scaler, rows.tolist())
    parity |= export_models(fitted, samples, folder, work)
    oof = {base.name: base.oof[:, 0] for base in fitted}
    for stage in stages:
        models = np.stack([oof[name] for name in stage.models], axis=1)
        parity |= export_stack(stage, folder, models, router.posteriors[:, 0])
    manifest = _manifest(config, recordings, store, fitted, router, stages, rules) | known
    expected_answers(manifest, router, fitted, stages, rules).write(folder)
    fuse(folder, spec, scaler, manifest)
    waveforms = _windows_of(recordings, rows, spec)
    parity["detector"] = fused_difference(Bundle(folder, manifest), waveforms)
    require_parity(parity)
    return with_typical_bands(folder, manifest, waveforms), parity


def with_typical_bands(folder: Path, manifest: Mapping[str, Any], waveforms: Waveform) -> Bundle:
    """Write a bundle together with what explanations compare its bands with.

    Parameters
    ----------
    folder : Path
        Holds every file of the bundle but its manifest.
    manifest : mapping
        As `write_bundle` takes it.
    waveforms : ndarray of float32, shape (n, window_samples)
        Of recordings of both labels; some are heard.

    Returns
    -------
    Bundle
        As written.
    """
    bundle = write_bundle(folder, manifest)
    count = typical_count(manifest["corpus"]["rows"])
    chosen = np.unique(np.linspace(0, len(waveforms) - 1, count).astype(np.intp))
    typical = Explainer(Detector(bundle)).typical_bands(waveforms[chosen])
    return write_bundle(folder, {**manifest, TYPICAL: typical})


def typical_count(n_recordings: int) -> int:
    """Return of how many windows, at most, the averages of bands are taken.

    What is learned from few recordings is no more exact than an average of few windows.

    Parameters
    ----------
    n_recordings : int
        In the corpus.

    Returns
    -------
    int

    Examples
    --------
    >>> [typical_count(n) for n in (60, 400, 4_171)]
    [16, 50, 128]
    """
    return int(np.clip(n_recordings // TYPICAL_SHARE, *TYPICAL_ROWS))


def in_order(fitted: Sequence[FittedBase], stages: Sequence[Stage]) -> list[FittedBase]:
    """Return base models in the order of the stages.

    Parameters
    ----------
    fitted : sequence of FittedBase
        In any order.
    stages : sequence of Stage
        Name their base models.

    Returns
    -------
    list of FittedBase
        Those of the first stage, then those that the second adds.
    """
    by_name = {base.name: base for base in fitted}
    return [by_name[name] for name in dict.fromkeys(n for s in stages for n in s.models)]


def _export_router(
    router: Router,
    store: FeatureStore,
    scaler: Mapping[str, Standard],
    rows: NDArray[np.intp],
    folder: Path,
) -> dict[str, float]:
    onnx.save(router_graph(router), str(folder / "router.onnx"))
    statistics = scaler[STATISTICS](store.view(STATISTICS)[rows])
    seen = Graph(folder / "router.onnx")({STATISTICS: statistics})
    posterior, distance = router(statistics)
    ratio = seen["distance"] / np.maximum(distance, 1e-6)
    return {
        "router": largest(seen["channel"], posterior),
        "router, distance": largest(ratio, np.ones_like(ratio)),
    }


def export_families(
    families: Families, vectors: Features, folder: Path
) -> tuple[dict[str, Any], dict[str, float]]:
    """Write ``families.onnx``, which is no part of the detector; nothing where none is known.

    Parameters
    ----------
    families : Families
        Its numbers.
    vectors : ndarray of float32, shape (n, n_numbers)
        What it hears, standardised, on which the graph is compared.
    folder : Path
        Receives the graph.

    Returns
    -------
    dict of str to Any
        Entries of the manifest.
    dict of str to float
        Largest absolute difference of the graph.
    """
    if not families.names:
        return {}, {}
    path = folder / f"{FAMILIES}.onnx"
    onnx.save(families_graph(families), str(path))
    seen = Graph(path)({STATISTICS: vectors})[FAMILY]
    known = [{"name": name, "label": LABELS[name].label} for name in families.names]
    entry = {"known": known, "hears": list(families.hears), "named_from": families.named_from}
    parity = {FAMILIES: largest(seen, families(vectors))}
    return {FAMILIES: {**entry, "measured": families.shares}}, parity


def _export_scaler(
    store: FeatureStore, scaler: Mapping[str, Standard], rows: NDArray[np.intp], folder: Path
) -> float:
    onnx.save(scaler_graph(store.spec, scaler), str(folder / "scaler.onnx"))
    features = {name: store.view(name)[rows] for name in store.names}
    seen = Graph(folder / "scaler.onnx")(features)
    return max(largest(seen[f"scaled_{n}"], scaler[n](values)) for n, values in features.items())


def fuse(
    folder: Path,
    spec: FeatureSpec,
    scaler: Mapping[str, Standard],
    manifest: Mapping[str, Any],
) -> None:
    """Write detector.onnx, made of the graphs in the folder.

    Parameters
    ----------
    folder : Path
        Of a bundle; holds an .onnx file for each part.
    spec : FeatureSpec
        The front end, which is built anew.
    scaler : mapping of str to Standard
        By view and vector.
    manifest : mapping
        The bundle's, without hashes.
    """
    names = [name for name in Bundle(folder, dict(manifest)).parts if name not in NOT_FUSED]
    graphs = {name: onnx.load(folder / f"{name}.onnx") for name in names}
    fused = detector_graph(spec, scaler, graphs, manifest)
    if "adaptation" in manifest:
        adapter = onnx.load(folder / f"{ADAPTER}.onnx")
        fused = adapted_graph(fused, adapter, manifest["prior_spoof"])
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
        ``detector``, as `fused_difference` returns it.
    """
    return {"detector": fused_difference(bundle, _windows_of(recordings, rows, bundle.spec))}


def _windows_of(recordings: Recordings, rows: NDArray[np.intp], spec: FeatureSpec) -> Waveform:
    corpus = recordings.corpus
    return training_windows([corpus.audio_path(corpus.rows[row]) for row in rows], spec)


def _manifest(
    config: Config,
    recordings: Recordings,
    store: FeatureStore,
    fitted: Sequence[FittedBase],
    router: Router,
    stages: Sequence[Stage],
    rules: Rules,
) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    entries = [
        {
            "prefix": stage.prefix,
            "models": list(stage.models),
            "choice": stage.stack.choice,
            "calibration": asdict(calibration),
            **_answered(answers),
        }
        for stage, calibration, answers in zip(
            stages, rules.calibrations, rules.answers, strict=True
        )
    ]
    last, last_of = entries[-1], rules.answers[-1]
    return {
        "name": config.name,
        "version": "0",  # until it is kept
        "feature_spec": store.spec.to_json(),
        "feature_spec_sha256": store.spec.sha256,
        "models": [base.name for base in fitted],
        "labels": {base.name: base.label for base in fitted},
        "views": {base.name: base.view for base in fitted if base.view},
        "hears": {base.name: list(base.hears) for base in fitted},
        "channels": [{"name": name, "label": channel_of(name).label} for name in router.channels],
        "corpus": {"rows_sha256": recordings.rows_sha256, "rows": len(recordings.corpus)},
        "config": values,
        "config_sha256": hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest(),
        "prior_spoof": config.decision.prior_spoof,
        "stages": entries,
        # The share is of the recordings that it was trained on, out of fold.
        **({"route": rules.route.to_json(), "asked": last_of.asked} if rules.route else {}),
        **{key: last[key] for key in ("choice", "calibration", "thresholds", "channel_errors")},
    }


def _answered(answers: Answers) -> dict[str, Any]:
    return {"thresholds": answers.thresholds, "channel_errors": answers.channel_errors}
