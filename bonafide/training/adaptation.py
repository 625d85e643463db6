"""Adapt a bundle to a user's own clips: measure the gain, and keep a new bundle if there is one."""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bonafide.bundle import ADAPTER, Bundle, write_bundle
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import LABELS, Corpus, describe
from bonafide.detection import rounded
from bonafide.display import reporter
from bonafide.errors import BundleError, CorpusError, storing
from bonafide.evaluation.evaluate import ROWS, TOO_NARROW, percent, rows_alone, simulated_note
from bonafide.evaluation.metrics import Interval, summarise
from bonafide.evaluation.report import render
from bonafide.export.adapted import adapted_graph, adapter_graph
from bonafide.export.candidate import fused_parity
from bonafide.export.parity import require_parity
from bonafide.export.rebuild import WORKED_OUT
from bonafide.home import home, scratch
from bonafide.judging import PARTS_FROM
from bonafide.lineage.record import hand_down
from bonafide.manifest import SEQUENTIAL
from bonafide.monitoring.expected import EXPECTED
from bonafide.process.pool import Progress
from bonafide.registry import find_bundle, keep
from bonafide.training.clips import Clips, read_clips
from bonafide.training.config import parse_config
from bonafide.training.final_layer import (
    NOTHING_MOVES,
    FinalLayer,
    Gain,
    Strength,
    choose_strength,
    fit_layer,
    group_clips,
    measure_gain,
    nested_llr,
)
from bonafide.training.record import lineage_of, used_rows, with_lineage
from bonafide.training.recordings import Quarantine, Recordings
from bonafide.types import Floats, Ints

MANY_CLIPS = 500
PARITY_CLIPS = 16
# What was measured of the parent's scores, which does not hold of others, and who made it.
OF_PARENT = ("audit", "channel_errors", "metrics", "parity", "zenml")


@dataclass(frozen=True)
class Adapted:
    """An adapted bundle, and what it is worth on the clips that it was adapted to.

    Parameters
    ----------
    bundle : Bundle
        As kept.
    gain : Gain
        Before and after, cross-validated.
    quarantine : Quarantine
        The clips that were set aside, and why.
    notes : tuple of str
        What must be read beside the numbers.
    """

    bundle: Bundle
    gain: Gain
    quarantine: Quarantine
    notes: tuple[str, ...]


def adapt(
    corpus: Corpus | Path | str,
    bundle: Bundle | Path | str | None = None,
    *,
    name: str | None = None,
    root: Path | str | None = None,
    progress: Callable[[str], Progress] = reporter,
) -> Adapted:
    """Refit the last step of a bundle on 50 to 500 labelled clips of a user's own.

    The clips are scored by the bundle, and a final layer over its llr and its base models' log odds
    is fitted to them; nothing else is trained. It is kept as a new bundle if cross-validation,
    nested and with sources and speakers whole, shows that it gains on these clips. The same clips
    and bundle give the same bundle, hash for hash.

    Parameters
    ----------
    corpus : Corpus, Path or str
        Labelled clips, or what `bonafide.read_corpus` reads.
    bundle : Bundle, Path, str or None
        The bundle to adapt, or its name, as everywhere; None for the one in production or shipped.
    name : str or None
        Of the new bundle; None for that of its parent and ``-adapted``.
    root : str, Path or None
        Where bundles are kept; None for `bonafide.home.home`.
    progress : callable
        Called with the name of a part; returns what to call with its (done, total).

    Returns
    -------
    Adapted

    Raises
    ------
    CorpusError
        If the corpus cannot be read; ``too_few_clips``; ``too_few_groups`` if clips of one label
        hang on one or two sources; ``reversed_labels`` if the bundle tells them apart the wrong way
        round; ``no_gain`` if none is shown.
    BundleError
        As in `bonafide.registry.find_bundle`; ``already_adapted`` for an adapted bundle,
        ``old_format`` for one that knows no channels.
    ConfigError
        ``bad_config`` for a name that no bundle can have.
    StorageError
        ``disk_full`` or ``unwritable``.
    BonafideError
        ``parity_failed`` if the new graph differs from its parts.
    """
    root = Path(root) if root else home()
    parent = bundle if isinstance(bundle, Bundle) else find_bundle(root, bundle)
    named = _checked_name(parent, name)
    rows = corpus if isinstance(corpus, Corpus) else read_corpus(corpus)
    clips = read_clips(parent, rows, ingested=progress("ingest"), scored=progress("score"))
    fitted = _fit(clips)
    with storing(root), scratch(root) as work:
        kept = _keep(root, work / "candidate", parent, named, clips, fitted)
    return Adapted(kept, fitted.gain, clips.quarantine, _notes(clips.recordings.corpus, fitted))


def _checked_name(parent: Bundle, name: str | None) -> str:
    """Return the name of the new bundle; refuse it, or a parent that is adapted itself."""
    identity = parent.identity
    if parent.is_adapted:
        origin = "{name}:{version}".format(**parent.manifest["parent"])
        raise BundleError(
            "already_adapted",
            f"{identity['name']}:{identity['version']} is adapted itself: adapt {origin}, which it "
            "was made from, to all clips together",
        )
    if not parent.channels:
        raise BundleError(
            "old_format",
            f"{identity['name']}:{identity['version']} knows no channels: an earlier version made "
            "it; adapt `default` or `fast`, or train anew",
        )
    return parse_config({"name": name or f"{identity['name']}-adapted"}, "adapted bundle").name


@dataclass(frozen=True)
class _Fitted:
    """A final layer, and how it was judged: `llr` is by layers that never saw a clip's group."""

    layer: FinalLayer
    strength: Strength
    gain: Gain
    grouping: str
    group: Ints
    llr: Floats


def _fit(clips: Clips) -> _Fitted:
    """Judge and fit a final layer; refuse where it shows no gain."""
    corpus, scores = clips.recordings.corpus, clips.scores
    is_spoof, (grouping, group) = corpus.is_spoof, group_clips(corpus)
    llr = nested_llr(scores, is_spoof, group)
    gain = measure_gain(scores.llr, llr, is_spoof, group)
    strength = choose_strength(scores, is_spoof, group)
    _require_gain(gain, strength, len(corpus))
    layer = fit_layer(scores, is_spoof, strength)
    return _Fitted(layer, strength, gain, grouping, group, llr)


def _require_gain(gain: Gain, strength: Strength, n_clips: int) -> None:
    before, after, change = (
        f"{number(side['cllr'])} bits" for side in (gain.before, gain.after, gain.change)
    )
    if gain.turned:
        raise CorpusError(
            "reversed_labels",
            f"the bundle tells the {n_clips} clips apart the wrong way round, with an EER of "
            f"{percent(gain.before['eer'])}: are the labels exchanged?",
        )
    if not gain.shown or strength == NOTHING_MOVES:
        blind = gain.after["cllr"].value >= 1
        why = "even adapted, it does not tell them apart" if blind else "that excludes no loss"
        raise CorpusError(
            "no_gain",
            f"no gain is shown on the {n_clips} clips, and nothing was made: Cllr {before} before, "
            f"{after} after, cross-validated, a change of {change}; {why}: add clips, check their "
            "labels, or use the bundle as it is",
        )


def _keep(
    root: Path, draft: Path, parent: Bundle, name: str, clips: Clips, fitted: _Fitted
) -> Bundle:
    """Write the new bundle and keep it."""
    entries = {"name": name, "version": "0", **_entries(parent, clips, fitted)}
    candidate = build_adapted(parent, fitted.layer, clips.recordings, draft, entries)
    rows = used_rows(
        clips.recordings, clips.quarantine, np.zeros(len(clips.recordings.corpus), np.bool_)
    )
    lineage = lineage_of("adapted", clips.recordings, rows)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with with_lineage(root, candidate, lineage, rows) as recorded:
        entries = {"created": created, "code": lineage.code}
        return keep(root, recorded, entries, _card(candidate, fitted.gain))


def _entries(parent: Bundle, clips: Clips, fitted: _Fitted) -> dict[str, Any]:
    """Return what the manifest says of the adaptation and of its parent."""
    recordings, layer = clips.recordings, fitted.layer
    is_spoof, prior = recordings.corpus.is_spoof, float(parent.manifest["prior_spoof"])
    labels = recordings.corpus.column("label").tolist()
    measured = summarise(
        fitted.llr,
        is_spoof,
        fitted.group,
        prior_spoof=prior,
        threshold=math.log(prior / (1 - prior)),
    )
    return {
        "parent": parent.identity,
        "adaptation": {
            "rows_sha256": recordings.rows_sha256,
            "clips": {label: labels.count(label) for label in LABELS},
            "set_aside": clips.quarantine.counts(),
            "strength": fitted.strength.to_json(),
            "slope": layer.slope,
            "offset": layer.offset,
            "weights": dict(zip(parent.models, layer.weights, strict=True)),
            "centre": dict(zip(parent.models, layer.centre, strict=True)),
            "clusters": fitted.grouping,
            **rounded(fitted.gain.to_json()),
        },
        "metrics": {
            "rows": "The user's own clips, cross-validated",
            "on": "clips of the adaptation, scored by final layers that never saw them",
            "clusters": fitted.grouping,
            **rounded({key: interval.to_json() for key, interval in measured.items()}),
        },
    }


def build_adapted(
    parent: Bundle,
    layer: FinalLayer,
    recordings: Recordings,
    folder: Path,
    entries: Mapping[str, Any],
) -> Bundle:
    """Write a bundle with a final layer, and compare its graph with the chain of its parts.

    Parameters
    ----------
    parent : Bundle
        Its models, calibration and thresholds are taken over, but not what was measured of its
        scores, nor its bar for parts: how often other scores exceed it is not known.
    layer : FinalLayer
        What is put over it.
    recordings : Recordings
        On some of which the graphs are compared.
    folder : Path
        Receives the bundle; must not exist.
    entries : mapping of str to Any
        Entries of the manifest that replace or join the parent's.

    Returns
    -------
    Bundle
        With ``parity`` in its manifest.

    Raises
    ------
    BonafideError
        ``parity_failed`` if the graph differs from its parts by over 1e-4, or a verdict differs.
    """
    shutil.copytree(parent.folder, folder)
    hand_down(folder)
    (folder / EXPECTED).unlink(missing_ok=True)  # by scores that are others now
    adapter, detector = adapter_graph(layer), onnx.load(parent.graph_path("detector"))
    onnx.save(adapter, str(folder / f"{ADAPTER}.onnx"))
    adapted = adapted_graph(detector, adapter, parent.manifest["prior_spoof"])
    onnx.save(adapted, str(folder / "detector.onnx"))
    left_out = (*WORKED_OUT, *OF_PARENT)
    kept = {key: value for key, value in parent.manifest.items() if key not in left_out}
    of_others = (PARTS_FROM, SEQUENTIAL)  # set by scores that are others now
    thresholds = {key: bar for key, bar in kept["thresholds"].items() if key not in of_others}
    stages = [{**stage, "channel_errors": {}} for stage in kept["stages"]]
    stages = [{**stage, "thresholds": thresholds} for stage in stages]
    manifest = {**kept, "stages": stages, "thresholds": thresholds, **entries}
    rows = np.unique(np.linspace(0, len(recordings.corpus) - 1, PARITY_CLIPS).astype(np.intp))
    parity = fused_parity(Bundle(folder, manifest), recordings, rows)
    require_parity(parity)
    return write_bundle(folder, {**manifest, "parity": parity})


def number(interval: Interval) -> str:
    """Return a number and its interval, such as ``0.644 [0.512, 0.790]``."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


GAIN_HEADINGS = ("", "before", "after", "change")


def gain_rows(gain: Gain) -> list[list[str]]:
    """Return the cells of a table of a gain, a metric a row, below `GAIN_HEADINGS`."""
    shown = {"eer": ("EER", percent), "cllr": ("Cllr, bits", number)}
    sides = (gain.before, gain.after, gain.change)
    return [[name, *(text(side[key]) for side in sides)] for key, (name, text) in shown.items()]


def _card(candidate: Bundle, gain: Gain) -> str:
    """Return the parent's card under the new name, with a section on the adaptation."""
    manifest, path = candidate.manifest, candidate.folder / "card.md"
    card = path.read_text(encoding="utf-8") if path.is_file() else ""
    heading, _, rest = card.partition("\n")
    section = render(
        "adapted.md.j2",
        **manifest["adaptation"],
        parent=manifest["parent"],
        headings=GAIN_HEADINGS,
        rows=gain_rows(gain),
    )
    title = f"# {manifest['name']}"
    trained = rest if heading.startswith("# ") else card
    return f"{title}\n\n{section.rstrip()}\n\n{trained.strip()}\n"


def _notes(corpus: Corpus, fitted: _Fitted) -> tuple[str, ...]:
    """Return what must be read beside the numbers."""
    notes = simulated_note(corpus)
    if fitted.grouping == ROWS:
        alone = rows_alone(describe(corpus))
        notes += (f"Folds and intervals take single clips, not groups ({alone}): {TOO_NARROW}.",)
    if len(corpus) > MANY_CLIPS:
        notes += (f"With over {MANY_CLIPS} clips, training is worth trying too: bonafide train.",)
    return notes
