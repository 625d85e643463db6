"""The rules on a candidate beside what it would replace: not worse overall, nor in any respect.

One thing must be shown: that the EER is not higher by more than a margin (a test of
non-inferiority, which few rows fail). A loss in any other respect must be shown to refuse, at a
confidence shared by all of these rules together (Bonferroni), so that many rules and small groups
refuse no more equals than one rule would.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bonafide.training.gate.decision import Ruling
from bonafide.training.gate.paired import (
    CLLR,
    EER,
    SOURCES,
    UNDECIDED_SHARE,
    WRONG,
    Difference,
    Pair,
)
from bonafide.training.gate_config import GateConfig

POINTS = 100.0  # in one
NAMES = {
    EER: "EER",
    CLLR: "Cllr",
    UNDECIDED_SHARE: "undecided",
    "bonafide_called_spoof": "bona fide called spoof, of those decided",
    "spoof_called_bonafide": "spoofs called bona fide, of those decided",
    SOURCES: "errors in the tenth of the sources that fares worst",
}


@dataclass(frozen=True)
class Comparison:
    """What is found on one set of rows.

    Parameters
    ----------
    where : str
        Which rows, in words: ``golden set 1``.
    name : str
        What the candidate would replace.
    pair : Pair
        Both sides' answers.
    differences : dict of str to Difference
        Of `pair`.
    leads : bool
        Whether it must be shown here that the candidate is not worse.
    """

    where: str
    name: str
    pair: Pair
    differences: dict[str, Difference]
    leads: bool

    @property
    def respects(self) -> list[str]:
        """The measures that refuse where a loss is shown."""
        return [name for name in self.differences if not (self.leads and name == EER)]


def compare(
    pair: Pair, where: str, name: str, *, leads: bool, n_resamples: int, seed: int
) -> Comparison:
    """Compare two bundles on one set of rows.

    Parameters
    ----------
    pair : Pair
        Both sides' answers.
    where, name : str
        The rows, and what the candidate would replace, in words.
    leads : bool
        As in `Comparison`.
    n_resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    Comparison
    """
    found = pair.differences(n_resamples=n_resamples, seed=seed)
    return Comparison(where, name, pair, found, leads)


def rule_on(comparisons: Sequence[Comparison], gate: GateConfig) -> list[Ruling]:
    """Return what the rules say of all comparisons together.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Of one candidate with what it would replace.
    gate : GateConfig
        Margin, tolerances and confidence.

    Returns
    -------
    list of Ruling
        That on the margin first.
    """
    rules = sum(len(comparison.respects) for comparison in comparisons)
    level = 1.0 - (1.0 - gate.confidence) / max(rules, 1)
    leading = (_shown_no_worse(each, gate) for each in comparisons if each.leads)
    return [*leading, *(found for each in comparisons for found in _losses(each, gate, level))]


def _shown_no_worse(comparison: Comparison, gate: GateConfig) -> Ruling:
    found = comparison.differences[EER]
    high = found.high(gate.confidence)
    words = (
        f"{_seen(comparison, EER)}, at most {POINTS * high:+.1f} with {100 * gate.confidence:g} % "
        f"confidence; the gate allows at most {POINTS * gate.margin:+.1f}"
    )
    return Ruling("EER", high <= gate.margin, words)


def _losses(comparison: Comparison, gate: GateConfig, level: float) -> Iterator[Ruling]:
    for name in comparison.respects:
        low, allowed = comparison.differences[name].low(level), _tolerance(name, gate)
        shown, at_most = (
            (f"{low:+.3f}", f"{allowed:+.3f} bits")
            if name == CLLR
            else (f"{POINTS * low:+.1f}", f"{POINTS * allowed:+.1f}")
        )
        words = (
            f"{_seen(comparison, name)}, at least {shown} with {100 * level:.1f} % confidence; the "
            f"gate refuses above {at_most}"
        )
        yield Ruling(NAMES.get(name, name), low <= allowed, words)


def _tolerance(name: str, gate: GateConfig) -> float:
    """Return what may be lost in one respect."""
    tolerances = gate.tolerances
    if name == EER:
        return gate.margin
    if name in WRONG:
        return tolerances.wrong
    known = {
        CLLR: tolerances.cllr,
        UNDECIDED_SHARE: tolerances.undecided,
        SOURCES: tolerances.sources,
    }
    return known.get(name, tolerances.groups)


def _seen(comparison: Comparison, name: str) -> str:
    """Return both sides of a measure and their difference in words."""
    found = comparison.differences[name]
    of = NAMES.get(name) or f"EER, {name}"
    if name == SOURCES:
        worst, share = comparison.pair.worst_source(comparison.pair.ours)
        of = f"{of} (the worst: {worst}, {share:.0%})"
    where = f"on {comparison.where}"
    if name == CLLR:
        return f"{of} {found.ours:.3f} against {found.theirs:.3f} {where}: {found.value:+.3f} bits"
    sides = f"{POINTS * found.ours:.1f} % against {POINTS * found.theirs:.1f} %"
    if name == EER:
        where = f"of {comparison.name} {where}, {comparison.pair.counts}"
    return f"{of} {sides} {where}: {POINTS * found.value:+.1f} points"
