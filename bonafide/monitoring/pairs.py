"""What another bundle said to the same requests, as a shadow does."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bonafide.monitoring.feedback import WRONG, wilson
from bonafide.monitoring.record import Answered

OPPOSITE = {**WRONG, "partly_spoof": WRONG["spoof"]}


@dataclass(frozen=True)
class Disagreement:
    """How the answers of another bundle differ.

    Parameters
    ----------
    bundle : str
        Content hash of the other bundle.
    recordings : int
        Files that both answered to the same request; each counts once, by its first pair.
    differ : int
        Those of them with another verdict.
    opposite : int
        Those of them where one says human and the other machine.
    low, high : float
        Ends of the 95 % interval of the share of other verdicts (Wilson), in [0, 1].
    llr : float
        The median of the absolute difference of the scores, in nats.
    name : str
        What the registry calls the other bundle, such as ``fast:11``; empty if it does not know.
    """

    bundle: str
    recordings: int
    differ: int
    opposite: int
    low: float
    high: float
    llr: float
    name: str = ""

    @property
    def called(self) -> str:
        """Its name and the beginning of its hash, or that alone."""
        return f"{self.name} ({self.bundle[:8]})" if self.name else self.bundle[:8]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def in_words(self) -> str:
        """Return one sentence."""
        from bonafide.evaluation.evaluate import percent
        from bonafide.evaluation.metrics import Interval

        share = percent(Interval(self.differ / self.recordings, self.low, self.high))
        return (
            f"Recordings that bundle {self.called} answered, too: {self.recordings}; with another "
            f"verdict: {self.differ}, {share}; with the opposite one: {self.opposite}; scores "
            f"differ by {self.llr:.2f} nats in the median."
        )


def disagreements(answers: Sequence[Answered], bundle: str) -> list[Disagreement]:
    """Compare what other bundles said to the requests that a bundle answered, too.

    Parameters
    ----------
    answers : sequence of Answered
        Of all bundles.
    bundle : str
        Content hash of the one that they are compared with.

    Returns
    -------
    list of Disagreement
        One for each other bundle that answered the same file under a request of the same ID. In
        older records, which name no files, each request counts as a recording of its own, and those
        whose ID was repeated are left out.
    """
    said: dict[str, dict[tuple[str, str], list[Answered]]] = {}
    for each in answers:
        same = said.setdefault(each.bundle, {}).setdefault((each.request_id, each.file), [])
        same.append(each)
    ours = said.pop(bundle, {})
    paired = {other: _paired(ours, theirs) for other, theirs in said.items()}
    return [_compared(other, pairs) for other, pairs in paired.items() if pairs]


def _paired(
    ours: Mapping[tuple[str, str], Sequence[Answered]],
    theirs: Mapping[tuple[str, str], Sequence[Answered]],
) -> list[tuple[Answered, Answered]]:
    pairs: dict[str, tuple[Answered, Answered]] = {}
    for (request_id, file), said in theirs.items():
        own = ours.get((request_id, file))
        if own and (file or len(own) == len(said) == 1):
            pairs.setdefault(file or request_id, (own[0], said[0]))
    return list(pairs.values())


def _compared(other: str, pairs: Sequence[tuple[Answered, Answered]]) -> Disagreement:
    differ = sum(one.verdict != two.verdict for one, two in pairs)
    opposite = sum(two.verdict in OPPOSITE.get(one.verdict, ()) for one, two in pairs)
    apart = median(abs(one.llr - two.llr) for one, two in pairs)
    return Disagreement(other, len(pairs), differ, opposite, *wilson(differ, len(pairs)), apart)
