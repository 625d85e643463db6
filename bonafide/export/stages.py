"""The first stage of a two-stage bundle, as a bundle of its own."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from bonafide.bundle import FAMILIES, META_MODELS, Bundle
from bonafide.channel import CLEAN
from bonafide.errors import BundleError
from bonafide.evaluation.evaluate import percent
from bonafide.evaluation.metrics import Interval
from bonafide.evaluation.report import CHANNEL_HEADINGS, channel_rows, render
from bonafide.export.candidate import fuse, with_typical_bands
from bonafide.export.chain import fused_difference
from bonafide.export.parity import require_parity
from bonafide.export.rebuild import WORKED_OUT
from bonafide.export.scaler import read_standards, scaler_graph
from bonafide.monitoring.expected import EXPECTED, Expected
from bonafide.types import Waveform

FAST = "fast"
OF_MODELS = ("labels", "views", "hears")  # entries by base model
OF_STAGE = ("choice", "calibration", "thresholds", "channel_errors")
CARD = "card.md"
BEFORE, RESULTS, AFTER = ("Intended use", "Data", "Protocol"), "Results", "Limits"  # of a card


def first_stage(bundle: Bundle, folder: Path, waveforms: Waveform) -> Bundle:
    """Write the first stage of a bundle as a bundle of its own: no encoder, less time a window.

    Nothing is fitted. Where the whole bundle would ask its second stage, this one answers by the
    first, with the thresholds that were set for it alone.

    Parameters
    ----------
    bundle : Bundle
        Of two stages, with nothing over them.
    folder : Path
        Receives the bundle, named `FAST`; must not exist.
    waveforms : ndarray of float32, shape (n, window_samples)
        On which the fused graph is held against the chain of its parts.

    Returns
    -------
    Bundle
        As written, of the version of the whole one.

    Raises
    ------
    BundleError
        ``no_first_stage`` for a bundle of one stage, or one that was adapted.
    BonafideError
        ``parity_failed`` if the fused graph differs from its parts by over 1e-4.
    """
    if len(bundle.stages) != 2 or bundle.is_adapted:
        seen = f"{len(bundle.stages)} stages{', adapted' if bundle.is_adapted else ''}"
        raise BundleError("no_first_stage", f"{bundle.folder}: {seen}; must be two, not adapted")
    manifest = _manifest(bundle)
    folder.mkdir(parents=True)
    _copy_parts(bundle, manifest, folder)
    spec = replace(bundle.spec, encoder=None)
    standards = read_standards(onnx.load(bundle.graph_path("scaler")))
    onnx.save(scaler_graph(spec, standards), str(folder / "scaler.onnx"))
    fuse(folder, spec, standards, manifest)
    (folder / CARD).write_text(_card(bundle, manifest), encoding="utf-8")
    parity = {"detector": fused_difference(Bundle(folder, manifest), waveforms)}
    require_parity(parity)
    kept = {name: value for name, value in manifest["parity"].items() if "detector" not in name}
    return with_typical_bands(folder, {**manifest, "parity": {**kept, **parity}}, waveforms)


def _copy_parts(bundle: Bundle, manifest: Mapping[str, Any], folder: Path) -> None:
    """Copy what the first stage has of the bundle, under the names that it has alone."""
    told, prefix = (FAMILIES,) if FAMILIES in manifest else (), bundle.stages[0]["prefix"]
    for name in ("frontend", "router", *manifest["models"], *told):
        shutil.copyfile(bundle.graph_path(name), folder / f"{name}.onnx")
    for name in META_MODELS:
        source = bundle.graph_path(f"{prefix}meta_{name}")
        shutil.copyfile(source, folder / f"meta_{name}.onnx")
    if EXPECTED in bundle.manifest["files"]:
        Expected.read(bundle).first(prefix).write(folder)


def _manifest(bundle: Bundle) -> dict[str, Any]:
    """Return the bundle's entries, those of the second stage left out."""
    whole, stage = bundle.manifest, {**bundle.stages[0], "prefix": ""}
    spec = replace(bundle.spec, encoder=None)
    entries = {
        key: value for key, value in whole.items() if key not in (*WORKED_OUT, "route", "asked")
    }
    for key in OF_MODELS:
        entries[key] = {name: whole[key][name] for name in stage["models"] if name in whole[key]}
    return {
        **entries,
        "name": FAST,
        "feature_spec": spec.to_json(),
        "feature_spec_sha256": spec.sha256,
        "models": list(stage["models"]),
        "stages": [stage],
        **{key: stage[key] for key in OF_STAGE},
        "metrics": _metrics(stage["channel_errors"]),
        "parity": _parity(bundle),
    }


def _metrics(errors: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the first stage alone: how it does on clean sound."""
    if CLEAN not in errors:
        return {}
    return {
        "rows": "Training side, out of fold, heard as clean",
        "on": "clean recordings of sources it never heard",
        "eer": errors[CLEAN]["eer"],
    }


def _parity(bundle: Bundle) -> dict[str, float]:
    """Return the parity of the parts that the first stage has, by their names in it."""
    prefix, later = bundle.stages[0]["prefix"], bundle.stages[1]["models"]
    own = set(bundle.stages[0]["models"])
    left_out = {*later} - own | {f"meta_{name}" for name in META_MODELS}
    return {
        name.removeprefix(prefix): value
        for name, value in bundle.manifest.get("parity", {}).items()
        if name.removesuffix("_tf2onnx") not in left_out
    }


def _card(bundle: Bundle, manifest: Mapping[str, Any]) -> str:
    """Return the whole bundle's card with the results of the first stage alone."""
    path = bundle.folder / CARD
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, *parts = re.split(r"(?m)^(?=## )", card)
    sections = {part.partition("\n")[0].removeprefix("## "): part.strip() for part in parts}
    eer = manifest["metrics"].get("eer")
    return render(
        "first_stage.md.j2",
        name=manifest["name"],
        parent=bundle.identity,
        eer=eer,
        percent=percent(Interval(**eer)) if eer else "",
        words=head.partition("\n")[2].strip(),
        before=[text for title, text in sections.items() if title in BEFORE],
        results=_of_models(sections.get(RESULTS, ""), manifest["models"]),
        channel_headings=CHANNEL_HEADINGS,
        channels=channel_rows(manifest),
        after=[text for title, text in sections.items() if title == AFTER],
    )


def _of_models(results: str, models: Sequence[str]) -> str:
    """Return a card's results, of some base models alone."""
    shown = ("system", "---", *models)
    lines = results.splitlines()[1:]
    rows = [
        line for line in lines if not line.startswith("| ") or line.split(" | ")[0][2:] in shown
    ]
    return "\n".join(rows).strip()
