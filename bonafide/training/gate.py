"""The gate: what a candidate must be to replace the bundle in production."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bonafide.artifact import Plain
from bonafide.bundle import Bundle, read_bundle
from bonafide.corpora.schema import Corpus
from bonafide.corpora.simulated import simulated_rows
from bonafide.detector import Detector
from bonafide.display import reporter
from bonafide.errors import BundleError
from bonafide.evaluation.evaluate import DECISION, percent
from bonafide.evaluation.metrics import difference, eer
from bonafide.home import DEMO, SHIPPED, is_demo
from bonafide.registry import production_folder
from bonafide.training.config import Config
from bonafide.training.folds import connected_groups
from bonafide.training.judgement import Judgement, Outcome
from bonafide.training.recordings import Recordings
from bonafide.training.served import score_recordings
from bonafide.types import AnyFloats

MIN_GROUPS = 10  # simulated intervals of the difference hold from 8 on; real sources differ more


@dataclass(frozen=True)
class Decision(Plain):
    """Whether a candidate goes into production.

    Parameters
    ----------
    reasons : list of str
        Why it does not; empty if it does, or is there already.
    compared : str
        What it was held against, in words.
    """

    reasons: list[str]
    compared: str


@dataclass(frozen=True)
class Incumbent:
    """What a candidate would replace.

    Parameters
    ----------
    bundle : Bundle
        The one in production, or else the one that is shipped.
    damage : str
        Why the one in production cannot be read; empty if it can, or if there is none.
    """

    bundle: Bundle
    damage: str = ""

    @property
    def name(self) -> str:
        """Name and version, and whether it is the one that is shipped."""
        identity = self.bundle.identity
        name = f"{identity['name']}:{identity['version']}"
        return f"{name} (shipped)" if self.bundle.folder == SHIPPED else name


def incumbent_of(root: Path) -> Incumbent:
    """Return the bundle in production, or the shipped one where there is none or it is damaged.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    Incumbent

    Raises
    ------
    BundleError
        If the shipped bundle is damaged.
    """
    try:
        return Incumbent(_that_runs(production_folder(root) or SHIPPED))
    except BundleError as error:
        return Incumbent(_that_runs(SHIPPED), error.message)


def _that_runs(folder: Path) -> Bundle:
    """Read a bundle, and load its detector once to see that it can be served."""
    return Detector(read_bundle(folder)).bundle


def decide(
    root: Path, bundle: Bundle, judgement: Judgement, recordings: Recordings, config: Config
) -> Decision:
    """Decide whether a candidate goes into production; docs/train.md describes the gate.

    Parameters
    ----------
    root : Path
        The home folder.
    bundle : Bundle
        The candidate, as it is kept.
    judgement : Judgement
        How it did, and its scores on the rows to compare on.
    recordings : Recordings
        What it was trained and judged on.
    config : Config
        Holds the gate's limits.

    Returns
    -------
    Decision

    Raises
    ------
    BundleError
        If the shipped bundle is damaged.
    """
    incumbent = incumbent_of(root)
    if incumbent.bundle.identity == bundle.identity:
        return Decision([], f"{incumbent.name} is in production already.")
    poor = absolute(judgement.outcome, config)
    simulated = int(simulated_rows(recordings.corpus).sum())
    if simulated and is_demo(root):
        return Decision(poor, "In the demo's home nothing is compared with what it replaces.")
    if simulated:
        return Decision([_toy(simulated, len(recordings.corpus)), *poor], "")
    compared, worse = compare(incumbent, judgement, recordings, config)
    kept = f"kept as {bundle.identity['name']}:{bundle.identity['version']}, not promoted"
    return Decision([*poor, *([f"{worse}; {kept}"] if worse else [])], compared)


def _toy(simulated: int, n_rows: int) -> str:
    return (
        f"{simulated} of {n_rows} recordings are simulated: what learned from them is promoted "
        f"only in the demo's own home, which holds a file {DEMO}"
    )


def absolute(outcome: Outcome, config: Config) -> list[str]:
    """Return the reason not to promote a candidate whatever it would replace.

    Parameters
    ----------
    outcome : Outcome
        How the candidate did.
    config : Config
        ``gate.max_eer``.

    Returns
    -------
    list of str
        Empty or one sentence.
    """
    eer_seen = outcome.judged.systems[DECISION]["eer"]
    allowed = config.gate.max_eer
    if eer_seen.high <= allowed:
        return []
    return [
        f"EER on {outcome.unheard} is {percent(eer_seen)}; the gate allows {100 * allowed:.1f} % "
        "at the interval's upper end"
    ]


def compare(
    incumbent: Incumbent, judgement: Judgement, recordings: Recordings, config: Config
) -> tuple[str, str]:
    """Compare a candidate with what it would replace, on rows that the candidate never heard.

    Parameters
    ----------
    incumbent : Incumbent
        Scored in the same way as the candidate was.
    judgement : Judgement
        Rows and the candidate's scores.
    recordings : Recordings
        The rows' recordings.
    config : Config
        ``gate.margin``, seed and number of bootstrap resamples.

    Returns
    -------
    compared : str
        The outcome in words.
    worse : str
        Why the candidate may not replace it; empty if it may.
    """
    name, ours = incumbent.name, judgement.llr
    corpus = recordings.corpus.take(judgement.rows)
    instead = f"; what is in production cannot be read ({incumbent.damage})"
    instead = instead if incumbent.damage else ""
    if few := _too_few(corpus, name):
        return few + instead, few + instead
    middle = judgement.outcome.held_out is None
    report = reporter("compare")
    theirs, _, _ = score_recordings(incumbent.bundle, corpus, middle=middle, progress=report)
    both = np.flatnonzero(np.isfinite(theirs))
    corpus, ours, theirs = corpus.take(both), ours[both], theirs[both]
    if few := _too_few(corpus, name):
        return few + instead, few + instead
    return _difference(ours, theirs, corpus, name=name, instead=instead, config=config)


def _too_few(corpus: Corpus, name: str) -> str:
    """Return why rows are too few to compare on; empty if they will do."""
    n_groups, spoofs = len(np.unique(connected_groups(corpus))), int(corpus.is_spoof.sum())
    if n_groups >= MIN_GROUPS and 0 < spoofs < len(corpus):
        return ""
    return (
        f"not compared with {name}: {len(corpus)} recordings ({len(corpus) - spoofs} bona fide, "
        f"{spoofs} spoof) of {n_groups} groups of known sources and speakers were never heard; "
        f"at least {MIN_GROUPS} groups and both labels are needed: name sources and speakers, add "
        "some, or have every row judged out of fold (folds.test_share: 0)"
    )


def _difference(
    ours: AnyFloats,
    theirs: AnyFloats,
    corpus: Corpus,
    *,
    name: str,
    instead: str,
    config: Config,
) -> tuple[str, str]:
    is_spoof, groups = corpus.is_spoof, connected_groups(corpus)
    found = difference(
        ours, theirs, is_spoof, groups, n_resamples=config.resamples, seed=config.seed
    )
    points = [100 * end for end in (found.value, found.low, found.high)]
    compared = (
        f"EER {100 * eer(ours, is_spoof):.1f} % against {100 * eer(theirs, is_spoof):.1f} % of "
        f"{name} on the same {len(corpus)} rows: {points[0]:+.1f} points "
        f"[{points[1]:+.1f}, {points[2]:+.1f}] over {len(np.unique(groups))} groups of sources and "
        f"speakers{instead}"
    )
    margin = config.gate.margin
    if found.high <= margin:
        return compared, ""
    allowed = f"the gate allows {100 * margin:+.1f} at the interval's upper end"
    return compared, f"{compared}; {allowed} (rows that {name} was trained on favour it)"
