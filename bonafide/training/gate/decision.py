"""What the gate finds: each rule in words, and whether a candidate may be promoted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from bonafide.artifact import JSON, JsonArtifact, Plain


@dataclass(frozen=True)
class Ruling(Plain):
    """What one rule says of a candidate.

    Parameters
    ----------
    rule : str
        Its name, such as ``EER``.
    passed : bool or None
        None where it could not be measured, which refuses nobody.
    words : str
        What was seen, and what is allowed.
    """

    rule: str
    passed: bool | None
    words: str


@dataclass(frozen=True)
class Decision(JsonArtifact):
    """Whether a candidate may go into production.

    Parameters
    ----------
    reasons : list of str
        Why it may not; empty if it may, or is there already.
    compared : str
        What it was held against, in words.
    rulings : list of Ruling
        Every rule that was asked, passed or not.
    golden : str
        Hash of the golden set; empty without one.
    waits : bool
        Whether it passed and waits for a person to promote it (``gate.approval: manual``).
    champion : dict of str to str or None
        Name, version and hash of the bundle in production that it was held against; None where it
        was held against none that can be read. The registry promotes it over no other.
    """

    FILE: ClassVar = "decision.json"

    reasons: list[str]
    compared: str
    rulings: list[Ruling] = field(default_factory=list)
    golden: str = ""
    waits: bool = False
    champion: dict[str, str] | None = None

    @classmethod
    def by(
        cls,
        rulings: Iterable[Ruling],
        compared: str,
        *,
        golden: str = "",
        manual: bool = False,
        champion: dict[str, str] | None = None,
    ) -> "Decision":
        """Return the decision that follows from what the rules say.

        Parameters
        ----------
        rulings : iterable of Ruling
            Of every rule.
        compared : str
            What the candidate was held against, in words.
        golden : str
            Hash of the golden set.
        manual : bool
            Whether a person promotes what passed.
        champion : dict of str to str or None
            What it was held against.

        Returns
        -------
        Decision
        """
        asked = list(rulings)
        reasons = [ruling.words for ruling in asked if ruling.passed is False]
        waits = manual and not reasons
        return cls(reasons, compared, asked, golden, waits=waits, champion=champion)

    @property
    def promotes(self) -> bool:
        """Whether the candidate goes into production now."""
        return not self.reasons and not self.waits

    def facts(self) -> dict[str, JSON]:
        """Return what decided, and how many rules were asked."""
        return {
            "promotes": self.promotes,
            "reasons": self.reasons,
            "compared": self.compared,
            "rules": len(self.rulings),
        }
