"""Conversion of base models to ONNX, in a process of its own, and comparison with their sources."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bonafide.display import reporter
from bonafide.errors import BonafideError
from bonafide.export.parity import largest
from bonafide.features.spec import STATISTICS
from bonafide.models import family_of
from bonafide.models.base import Inputs
from bonafide.models.config import FitConfig
from bonafide.models.examples import Standard
from bonafide.process.isolate import run_isolated
from bonafide.process.pool import Progress
from bonafide.runtime import Graph
from bonafide.training.fitting import FittedBase
from bonafide.training.store import FeatureStore
from bonafide.types import Scores

SOURCE = "source"
Samples = Mapping[str, Inputs]


def samples_of(
    fitted: Sequence[FittedBase],
    store: FeatureStore,
    scaler: Mapping[str, Standard],
    rows: Sequence[int],
) -> Samples:
    """Return standardised features of some rows, as each base model takes them.

    Parameters
    ----------
    fitted : sequence of FittedBase
        The base models.
    store : FeatureStore
        Holds the features, not standardised.
    scaler : mapping of str to Standard
        By view and vector.
    rows : sequence of int
        Rows of the store.

    Returns
    -------
    mapping of str to mapping
        By base model, what `BaseModel.score` takes.
    """
    chosen = list(rows)
    names = {name for base in fitted for name in (*base.hears, base.view) if name}
    scaled = {name: scaler[name](store.view(name)[chosen]) for name in names}
    samples = {}
    for base in fitted:
        inputs = {STATISTICS: np.concatenate([scaled[name] for name in base.hears], axis=1)}
        samples[base.name] = {**inputs, **({"frames": scaled[base.view]} if base.view else {})}
    return samples


def export_models(
    fitted: Sequence[FittedBase], samples: Samples, folder: Path, work: Path
) -> dict[str, float]:
    """Write ``<name>.onnx`` of every base model, and compare each with its source.

    Parameters
    ----------
    fitted : sequence of FittedBase
        The base models.
    samples : mapping of str to mapping
        By base model, the features to compare on; see `samples_of`.
    folder : Path
        Receives the graphs.
    work : Path
        Receives intermediate files.

    Returns
    -------
    dict of str to float
        Largest absolute difference of each graph's p_spoof from its source's and, as
        ``<name>_<converter>``, from that of another converter's graph.

    Raises
    ------
    IsolatedError
        ``training_failed`` if the process that converts them fails.
    BonafideError
        ``bad_export`` if a graph cannot be run, or returns other than ``p_spoof`` [batch].
    """
    jobs = []
    for base in fitted:
        source, inputs = work / f"{base.name}{base.suffix}", work / f"{base.name}_samples.npz"
        source.write_bytes(base.content)
        np.savez(inputs, allow_pickle=False, **samples[base.name])
        jobs.append({"name": base.name, "model": base.config, "path": str(source)})
    arguments = {"jobs": jobs, "folder": str(work)}
    run_isolated("bonafide.export.models:convert_models", arguments, reporter("export"))
    parity: dict[str, float] = {}
    for base in fitted:
        content = (work / f"{base.name}.onnx").read_bytes()
        (folder / f"{base.name}.onnx").write_bytes(content)
        seen = _scores_of(base.name, content, samples[base.name])
        with np.load(work / f"{base.name}_scores.npz") as sources:
            for name in sources.files:
                key = base.name if name == SOURCE else f"{base.name}_{name}"
                parity[key] = largest(seen, sources[name])
    return parity


def _scores_of(name: str, content: bytes, inputs: Inputs) -> Scores:
    """Run an exported graph, and hold it to what `BaseModel.to_onnx` promises."""
    try:
        seen = Graph(content)(inputs)
    except Exception as error:  # onnxruntime's errors have no class of their own
        raise BonafideError("bad_export", f"{name}.onnx cannot be run: {error}") from error
    shapes, n_rows = (
        {output: values.shape for output, values in seen.items()},
        len(inputs[STATISTICS]),
    )
    if shapes != {"p_spoof": (n_rows,)}:
        raise BonafideError(
            "bad_export", f"{name}.onnx returns {shapes}; must be p_spoof alone, ({n_rows},)"
        )
    return seen["p_spoof"]


def convert_models(
    *, progress: Progress, jobs: list[dict[str, Any]], folder: str
) -> dict[str, Any]:
    """Convert base models (an `Isolated` function).

    One process converts all of them: importing tensorflow takes longer than the work.

    Parameters
    ----------
    progress : callable
        Called with (done, total), in models.
    jobs : list of dict
        Each with ``name``, the family, ``model``, its configuration as JSON, and ``path``, the file
        of the fitted model.
    folder : str
        Holds ``<name>_samples.npz``; receives ``<name>.onnx`` and ``<name>_scores.npz``: p_spoof of
        the samples by the fitted model, as ``source``, and by each of its `BaseModel.witnesses`.

    Returns
    -------
    dict
        Empty: the results are files.
    """
    for done, job in enumerate(jobs, start=1):
        chosen, place = family_of(job["name"], job["model"]), Path(folder) / job["name"]
        base = chosen(chosen.Config.model_validate(job["model"]), FitConfig(), 0)
        base.load(Path(job["path"]))
        with np.load(f"{place}_samples.npz") as arrays:
            inputs = dict(arrays)
        onnx.save(base.to_onnx(inputs), f"{place}.onnx")
        scores = {SOURCE: base.score(inputs), **base.witnesses(inputs)}
        np.savez(f"{place}_scores.npz", allow_pickle=False, **scores)
        progress(done, len(jobs))
    return {}
