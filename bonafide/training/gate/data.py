"""The rules on what a candidate learned from: sources whose labels or recordings cannot be right.

A golden set cannot show these: one bad source of many changes a detector little, until there are
more of them.
"""

from collections.abc import Iterator

import numpy as np

from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.corpora.simulated import simulated_rows
from bonafide.evaluation.metrics import auc
from bonafide.home import DEMO
from bonafide.training.gate.decision import Ruling
from bonafide.training.gate_config import GateConfig
from bonafide.training.golden import GoldenSet
from bonafide.training.recordings import Quarantine, Recordings
from bonafide.types import Floats, Mask

MIN_LABEL_ROWS = 4  # of each label, to tell that a source's labels are exchanged
ENOUGH_ROWS = 8  # of each label, to refuse for one such source; of a smaller one it is said
REVERSED_AUC = 0.25  # at most; 0.5 is a source that the detector knows nothing of
CHANCE = 0.02  # that a source seems reversed where labels mean nothing; `research.gate_power`
MIN_REPEATED = 4
SHOWN = 3


def simulated(corpus: Corpus) -> Ruling:
    """Return whether nobody simulated a recording.

    Parameters
    ----------
    corpus : Corpus
        What the candidate learned from.

    Returns
    -------
    Ruling
    """
    found = int(simulated_rows(corpus).sum())
    words = (
        f"{found} of {len(corpus)} recordings are simulated: what learned from them is promoted "
        f"only in the demo's own home, which holds a file {DEMO}"
    )
    passed = not found
    return Ruling("no simulated sound", passed, "No recording is simulated." if passed else words)


def labels(recordings: Recordings, llr: Floats, gate: GateConfig) -> Ruling:
    """Return whether no source's labels seem to be exchanged.

    A source whose labels are right is told apart, or at worst is not; one that is told apart the
    wrong way round by what never heard it has its labels exchanged, or a shortcut turned round.
    One source of fewer than `ENOUGH_ROWS` of a label refuses nobody: among many, one may be so.

    Parameters
    ----------
    recordings : Recordings
        What the candidate learned from.
    llr : ndarray of float64, shape (n_rows,)
        Of each, by what never heard its source; NaN for those without one.
    gate : GateConfig
        ``trusted_sources``.

    Returns
    -------
    Ruling
    """
    corpus, scored = recordings.corpus, np.isfinite(llr)
    source, is_spoof = corpus.column("source"), corpus.is_spoof
    found, judged, large = [], 0, False
    sources = sorted({*source.tolist()} - {UNKNOWN, *gate.trusted_sources})
    for name in sources:
        rows = scored & (source == name)
        spoofs = int(is_spoof[rows].sum())
        fewer = min(spoofs, int(rows.sum()) - spoofs)
        if fewer < MIN_LABEL_ROWS:
            continue
        judged += 1
        area = auc(llr[rows], is_spoof[rows])
        if area <= REVERSED_AUC and _by_chance(llr[rows], is_spoof[rows]) <= CHANCE:
            found.append(f"{name} ({rows.sum()} recordings, AUC {area:.2f})")
            large |= fewer >= ENOUGH_ROWS
    if not found:
        words = f"Of {judged} sources with both labels, none is told apart the wrong way round."
        return Ruling("labels", True, words)
    words = (
        f"{_listed(found)}: told apart the wrong way round by models that never heard it, as if "
        "its labels were exchanged; correct them, or name it in gate.trusted_sources if they are "
        "right"
    )
    if large or len(found) > 1:
        return Ruling("labels", False, words)
    return Ruling("labels", None, f"{words}; one source this small refuses nobody")


def _by_chance(llr: Floats, is_spoof: Mask) -> float:
    """Return how likely labels that mean nothing are reversed as far (Mann and Whitney, 1947)."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(llr[~is_spoof], llr[is_spoof], alternative="less").pvalue)


def golden_labels(recordings: Recordings, golden: GoldenSet) -> Ruling:
    """Return whether recordings of the golden set bear the labels that they have there.

    Parameters
    ----------
    recordings : Recordings
        What the candidate learned from.
    golden : GoldenSet
        The golden set.

    Returns
    -------
    Ruling
    """
    kept = dict(zip(golden.sounds.tolist(), golden.corpus.column("label").tolist(), strict=True))
    changed = [
        row
        for row, sound in zip(recordings.corpus, recordings.sha256.tolist(), strict=True)
        if kept.get(sound, row.label) != row.label
    ]
    if not changed:
        return Ruling("labels of the golden set", True, "No recording has another label there.")
    sources = sorted({row.source for row in changed})
    words = (
        f"{len(changed)} recordings of {golden.name} have the other label in this corpus, of "
        f"{_listed(sources)}; correct them, or freeze another golden set (gate.golden)"
    )
    return Ruling("labels of the golden set", False, words)


def repeated(recordings: Recordings, quarantine: Quarantine, gate: GateConfig) -> Ruling:
    """Return whether no source repeats another.

    Repeated sounds are set aside, all but the first. A source that is there twice is a fault in
    how the corpus was put together, which its other rows will have too.

    Parameters
    ----------
    recordings : Recordings
        What the candidate learned from.
    quarantine : Quarantine
        What was set aside, and which source repeats which.
    gate : GateConfig
        ``max_repeated``.

    Returns
    -------
    Ruling
    """
    found = [*_repeating(recordings, quarantine, gate)]
    if not found:
        return Ruling("repeated sources", True, "No source repeats another.")
    words = f"{_listed(found)}: remove it, or give its recordings one source"
    return Ruling("repeated sources", False, words)


def _repeating(recordings: Recordings, quarantine: Quarantine, gate: GateConfig) -> Iterator[str]:
    source = recordings.corpus.column("source")
    for name, twins in sorted(quarantine.repeated.items()):
        n_repeated = sum(twins.values())
        n_rows = n_repeated + int((source == name).sum())
        if n_repeated >= MIN_REPEATED and n_repeated >= gate.max_repeated * n_rows:
            most = max(twins, key=lambda twin: twins[twin])
            of = "itself" if most == name else most
            yield f"source {name} repeats {of}: {n_repeated} of {n_rows} recordings sound the same"


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return "; ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
