"""The decision on a candidate: every rule of the gate, asked in turn."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import Bundle
from bonafide.corpora.schema import Corpus
from bonafide.corpora.simulated import simulated_rows
from bonafide.display import reporter
from bonafide.errors import CorpusError
from bonafide.evaluation.evaluate import DECISION, percent
from bonafide.export.parity import MAX_DIFFERENCE
from bonafide.home import is_demo
from bonafide.lineage.trained_on import TrainedOn
from bonafide.training.config import Config
from bonafide.training.gate import data
from bonafide.training.gate.comparison import Comparison, compare, rule_on
from bonafide.training.gate.cost import cost
from bonafide.training.gate.decision import Decision, Ruling
from bonafide.training.gate.incumbent import Incumbent, incumbent_of
from bonafide.training.gate.paired import Pair
from bonafide.training.gate_config import GateConfig
from bonafide.training.golden import GoldenSet, golden_set
from bonafide.training.judgement import Judgement, Outcome
from bonafide.training.recordings import Quarantine, Recordings
from bonafide.training.served import Answers, answer_recordings, score_recordings


def decide(
    root: Path,
    bundle: Bundle,
    judgement: Judgement,
    recordings: Recordings,
    quarantine: Quarantine,
    config: Config,
) -> Decision:
    """Decide whether a candidate goes into production; docs/train.md describes the gate.

    Parameters
    ----------
    root : Path
        The home folder.
    bundle : Bundle
        The candidate, as it is kept.
    judgement : Judgement
        How it did, and the scores of all recordings by what never heard them.
    recordings : Recordings
        What it was trained and judged on.
    quarantine : Quarantine
        What was set aside of them.
    config : Config
        ``gate``, seed and number of bootstrap resamples.

    Returns
    -------
    Decision

    Raises
    ------
    BundleError
        If the shipped bundle is damaged.
    """
    incumbent, gate = incumbent_of(root), config.gate
    if incumbent.bundle.identity == bundle.identity:
        return Decision([], f"{incumbent.name} is in production already.")
    manual = gate.approval == "manual"
    rulings = [*absolute(judgement.outcome, gate), data.simulated(recordings.corpus)]
    if simulated_rows(recordings.corpus).any():
        if not is_demo(root):
            return Decision.by([rulings[-1], *rulings[:-1]], "")
        compared = "In the demo's home nothing is compared with what it replaces."
        return Decision.by(rulings[:-1], compared, manual=manual)
    rulings += [
        shortcut(judgement.outcome, gate),
        data.labels(recordings, judgement.llr, gate),
        data.repeated(recordings, quarantine, gate),
    ]
    try:
        golden = golden_set(root, gate.golden)
    except CorpusError as error:
        unread = Ruling("golden set", False, f"the golden set cannot be read: {error.message}")
        return Decision.by([unread, *rulings], unread.words)
    if golden:
        rulings.append(data.golden_labels(recordings, golden))
    beside = _Beside(bundle, incumbent, judgement, recordings, golden, config)
    found = beside.rulings()
    return Decision.by(
        [*found, *rulings],
        found[0].words + incumbent.note,
        golden=golden.sha256 if golden else "",
        manual=manual,
        champion=None if incumbent.damage else incumbent.bundle.identity,
    )


def absolute(outcome: Outcome, gate: GateConfig) -> list[Ruling]:
    """Return the rules on a candidate whatever it would replace.

    Parameters
    ----------
    outcome : Outcome
        How the candidate did.
    gate : GateConfig
        ``max_eer``.

    Returns
    -------
    list of Ruling
    """
    eer_seen = outcome.judged.systems[DECISION]["eer"]
    words = (
        f"EER on {outcome.unheard} is {percent(eer_seen)}; the gate allows "
        f"{100 * gate.max_eer:.1f} % at the interval's upper end"
    )
    largest = max(outcome.parity.values(), default=0.0)
    parity = (
        f"Exported models differ from their sources by at most {largest:.1e}; the gate allows "
        f"{MAX_DIFFERENCE:.0e}"
    )
    return [
        Ruling("better than chance", eer_seen.high <= gate.max_eer, words),
        Ruling("parity", largest <= MAX_DIFFERENCE, parity),
    ]


def shortcut(outcome: Outcome, gate: GateConfig) -> Ruling:
    """Return whether a candidate does better than trivial measures alone.

    Parameters
    ----------
    outcome : Outcome
        How the candidate did, and how the measures did.
    gate : GateConfig
        ``shortcut_margin``.

    Returns
    -------
    Ruling
    """
    ours, trivial = outcome.judged.systems[DECISION]["eer"], outcome.audit.eer
    words = (
        f"EER {percent(ours)}, and {percent(trivial)} of trivial measures alone; the gate asks for "
        f"at least {100 * gate.shortcut_margin:.1f} points less"
    )
    return Ruling("shortcut", trivial.value - ours.value >= gate.shortcut_margin, words)


class _Beside:
    """A candidate beside what it would replace."""

    def __init__(
        self,
        bundle: Bundle,
        incumbent: Incumbent,
        judgement: Judgement,
        recordings: Recordings,
        golden: GoldenSet | None,
        config: Config,
    ) -> None:
        self.bundle, self.incumbent, self.golden = bundle, incumbent, golden
        self.judgement, self.recordings, self.config = judgement, recordings, config

    def rulings(self) -> list[Ruling]:
        """Return what is said of it: the rule that leads first."""
        found = [each for each in (self._on_golden(), self._on_own_rows()) if each]
        comparisons = [each for each in found if isinstance(each, Comparison)]
        few = [each for each in found if isinstance(each, Ruling)]
        gate, name = self.config.gate, self.incumbent.name
        if not comparisons:
            return few
        rulings = rule_on(comparisons, gate)
        corpus = comparisons[0].pair.corpus
        costs = cost(self.bundle, self.incumbent.bundle, corpus, name, gate)
        if not comparisons[0].leads:
            return [*few, *rulings, *costs]
        return [*rulings, *few, *costs]

    def _on_golden(self) -> Comparison | Ruling | None:
        """Compare on the golden set's rows of which neither bundle heard anything."""
        if self.golden is None:
            return None
        corpus, sounds, where = self.golden.corpus, self.golden.sounds, self.golden.name
        trained_on = self.recordings.take(np.flatnonzero(self.judgement.trained))
        ours = TrainedOn.of_corpus(trained_on.corpus, trained_on.sha256)
        rows, where = _without(ours, "it", np.arange(len(corpus)), corpus, sounds, where)
        theirs = self.incumbent
        rows, where = _without(theirs.heard, theirs.name, rows, corpus, sounds, where)
        return self._answered(corpus.take(rows), where, leads=True)

    def _on_own_rows(self) -> Comparison | Ruling | None:
        """Compare on the candidate's own rows that count, but for those of the golden set."""
        rows, leads = self.judgement.rows, self.golden is None
        if self.golden is not None:
            rows = rows[~self.golden.holds(self.recordings)[rows]]
        held_out = self.judgement.outcome.held_out
        where = "its held-out rows" if held_out else "rows of its corpus, out of fold"
        everything, sounds = self.recordings.corpus, self.recordings.sha256
        theirs = self.incumbent
        rows, where = _without(theirs.heard, theirs.name, rows, everything, sounds, where)
        corpus = everything.take(rows)
        if held_out:
            return self._answered(corpus, where, leads=leads)
        ours = Answers.of_scores(self.judgement.llr[rows])
        if few := self._too_few(corpus, where, leads):
            return few
        llr, _, _ = score_recordings(
            theirs.bundle, corpus, middle=True, progress=reporter("compare")
        )
        return self._compared(ours, Answers.of_scores(llr), corpus, where, leads)

    def _answered(self, corpus: Corpus, where: str, *, leads: bool) -> Comparison | Ruling:
        if few := self._too_few(corpus, where, leads):
            return few
        ours, theirs = (
            answer_recordings(bundle, corpus, progress=reporter("compare"))
            for bundle in (self.bundle, self.incumbent.bundle)
        )
        return self._compared(ours, theirs, corpus, where, leads)

    def _compared(
        self, ours: Answers, theirs: Answers, corpus: Corpus, where: str, leads: bool
    ) -> Comparison | Ruling:
        both = np.flatnonzero(np.isfinite(ours.llr) & np.isfinite(theirs.llr))
        pair = Pair(ours, theirs, corpus).take(both)
        if few := self._too_few(pair.corpus, where, leads):
            return few
        resamples, seed = self.config.resamples, self.config.seed
        name = self.incumbent.name
        return compare(pair, where, name, leads=leads, n_resamples=resamples, seed=seed)

    def _too_few(self, corpus: Corpus, where: str, leads: bool) -> Ruling | None:
        """Return why rows are too few to compare on; None if they will do."""
        gate = self.config.gate
        none = Answers.of_scores(np.zeros(len(corpus)))
        pair = Pair(none, none, corpus)
        spoofs = int(pair.is_spoof.sum())
        few = min(spoofs, len(corpus) - spoofs)
        if pair.n_clusters >= gate.min_groups and few >= gate.min_rows:
            return None
        words = (
            f"not compared with {self.incumbent.name} on {where}: {pair.counts}; at least "
            f"{gate.min_groups} groups and {gate.min_rows} recordings of each label are needed"
        )
        if leads:
            advice = [": name sources and speakers", "add some"]
            if self.judgement.outcome.held_out:
                advice.append("have every row judged out of fold (folds.test_share: 0)")
            words += ", ".join([*advice, "or name a golden set that neither heard (gate.golden)"])
        return Ruling("rows", False if leads else None, words)


def _without(
    heard: TrainedOn | None,
    who: str,
    rows: NDArray[np.intp],
    corpus: Corpus,
    sounds: NDArray[np.str_],
    where: str,
) -> tuple[NDArray[np.intp], str]:
    """Leave out the rows that a bundle was trained on, where that is known, and say so."""
    if heard is None:
        return rows, where
    known = heard.among(corpus.take(rows), sounds[rows])
    if count := int(known.sum()):
        where += f" without the {count} recordings that {who} heard"
    return rows[~known], where


def rows_to_freeze(
    judgement: Judgement, recordings: Recordings, gate: GateConfig
) -> NDArray[np.intp] | None:
    """Return the held-out rows that may become a golden set; None where they cannot.

    Parameters
    ----------
    judgement : Judgement
        Names the rows that count.
    recordings : Recordings
        What they are rows of.
    gate : GateConfig
        ``golden`` and ``min_groups``.

    Returns
    -------
    ndarray of int or None
    """
    corpus = recordings.corpus
    if gate.golden or not judgement.outcome.held_out or simulated_rows(corpus).any():
        return None
    none = Answers.of_scores(np.zeros(len(judgement.rows)))
    enough = Pair(none, none, corpus.take(judgement.rows)).n_clusters >= gate.min_groups
    return judgement.rows if enough else None
