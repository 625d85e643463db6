"""A bundle whose graphs are fused anew from its own parts, with the front end of today."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from bonafide.bundle import Bundle, write_bundle
from bonafide.export.candidate import fuse
from bonafide.export.chain import fused_difference
from bonafide.export.parity import require_parity
from bonafide.export.scaler import read_standards
from bonafide.features.frontend import build_frontend
from bonafide.types import Waveform

WORKED_OUT = ("format", "files", "sha256")  # by `write_bundle`


def rebuild(
    bundle: Bundle, folder: Path, waveforms: Waveform, entries: Mapping[str, Any]
) -> Bundle:
    """Write a bundle with the same models and today's front end.

    For mends of the front end that leave features as they were on ordinary sound: what was trained
    stays, ``frontend.onnx`` and ``detector.onnx`` are built anew.

    Parameters
    ----------
    bundle : Bundle
        Its models, meta-models, scaler and card are taken over.
    folder : Path
        Receives the bundle; must not exist.
    waveforms : ndarray of float32, shape (n, window_samples)
        On which the fused graph is held against the chain of its parts.
    entries : mapping of str to Any
        Entries of the manifest that replace or join the bundle's, such as ``version``.

    Returns
    -------
    Bundle
        As written.

    Raises
    ------
    BonafideError
        ``parity_failed`` if the fused graph differs from its parts by over 1e-4.
    """
    shutil.copytree(bundle.folder, folder)
    kept = {key: value for key, value in bundle.manifest.items() if key not in WORKED_OUT}
    manifest = {**kept, **entries}
    onnx.save(build_frontend(bundle.spec), str(folder / "frontend.onnx"))
    fuse(folder, bundle.spec, read_standards(onnx.load(folder / "scaler.onnx")), manifest)
    rebuilt = write_bundle(folder, manifest)
    require_parity({"detector": fused_difference(rebuilt, waveforms)})
    return rebuilt
