"""What another bundle said to the same requests, as a shadow does."""

from collections.abc import Sequence
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
    requests : int
        Requests that both answered.
    differ : int
        Those of them with another verdict.
    opposite : int
        Those of them where one says human and the other machine.
    low, high : float
        Ends of the 95 % interval of the share of other verdicts (Wilson), in [0, 1].
    llr : float
        The median of the absolute difference of the scores, in nats.
    """

    bundle: str
    requests: int
    differ: int
    opposite: int
    low: float
    high: float
    llr: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def in_words(self) -> str:
        """Return one sentence."""
        from bonafide.evaluation.evaluate import percent
        from bonafide.evaluation.metrics import Interval

        share = percent(Interval(self.differ / self.requests, self.low, self.high))
        return (
            f"Requests that bundle {self.bundle[:8]} answered, too: {self.requests}; with another "
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
        One for each other bundle that answered a request of the same ID.
    """
    ours = {each.request_id: each for each in answers if each.bundle == bundle}
    pairs: dict[str, list[tuple[Answered, Answered]]] = {}
    for each in answers:
        if each.bundle != bundle and each.request_id in ours:
            pairs.setdefault(each.bundle, []).append((ours[each.request_id], each))
    return [_compared(other, both) for other, both in pairs.items()]


def _compared(other: str, pairs: Sequence[tuple[Answered, Answered]]) -> Disagreement:
    differ = sum(one.verdict != two.verdict for one, two in pairs)
    opposite = sum(two.verdict in OPPOSITE.get(one.verdict, ()) for one, two in pairs)
    apart = median(abs(one.llr - two.llr) for one, two in pairs)
    return Disagreement(other, len(pairs), differ, opposite, *wilson(differ, len(pairs)), apart)
