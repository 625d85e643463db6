"""The error itself, measured on answers of which people said later what the recordings were."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bonafide.monitoring.record import Answered

WRONG = {"bonafide": ("spoof", "partly_spoof"), "spoof": ("bonafide",)}  # verdicts, by the label


@dataclass(frozen=True)
class Measured:
    """How many verdicts were wrong, of those that people judged.

    Parameters
    ----------
    labelled, decided, wrong : int
        Answers with a label; those of them with a verdict; those with a wrong one.
    low, high : float
        Ends of the 95 % interval of the share of wrong verdicts (Wilson), in [0, 1].
    """

    labelled: int
    decided: int
    wrong: int
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def in_words(self) -> str:
        """Return one sentence."""
        if not self.decided:
            return f"{self.labelled} answers were judged by people; none of them had a verdict."
        return (
            f"Of {self.decided} verdicts that people judged, {self.wrong} were wrong: "
            f"{self.wrong / self.decided:.1%} [{self.low:.1%}, {self.high:.1%}]. Who is asked "
            "decides what this is a share of."
        )


def measured(answers: Sequence[Answered]) -> Measured | None:
    """Count wrong verdicts among the answers that people judged.

    Parameters
    ----------
    answers : sequence of Answered
        Of one bundle, or of several.

    Returns
    -------
    Measured or None
        None where nobody judged any.
    """
    labelled = [each for each in answers if each.label]
    if not labelled:
        return None
    decided = [each for each in labelled if each.verdict != "inconclusive"]
    wrong = sum(each.verdict in WRONG[each.label] for each in decided)
    low, high = wilson(wrong, len(decided)) if decided else (0.0, 1.0)
    return Measured(len(labelled), len(decided), wrong, low, high)


def wilson(found: int, of: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share (Wilson, by scipy).

    Parameters
    ----------
    found, of : int
        The share is the former of the latter, which is above 0.

    Returns
    -------
    low, high : float
        In [0, 1].
    """
    from scipy.stats import binomtest

    interval = binomtest(found, of).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
