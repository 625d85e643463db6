"""The two sides of a split: what may be claimed of rows that were held out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.evaluation.evaluate import simulated_note
from bonafide.training.folds import Folds
from bonafide.types import Mask

LONE_NOTE = (
    "No source or speaker is known for some rows: each stands alone, a speaker may be on both "
    "sides, and the numbers are better than they would be elsewhere."
)
EXAMPLES = 3


@dataclass(frozen=True)
class Sides:
    """Held-out rows and the others: what keeps them apart, and what does not.

    Parameters
    ----------
    corpus : Corpus
        All rows.
    folds : Folds
        Of these rows.
    """

    corpus: Corpus
    folds: Folds

    @cached_property
    def lone(self) -> Mask:
        """True for rows without a known source or speaker."""
        columns = (self.corpus.column(name) == UNKNOWN for name in ("source", "speaker"))
        return np.asarray(np.logical_and(*columns))

    @cached_property
    def known(self) -> str:
        """What all rows are known by, and so kept apart by: ``sources``, ``speakers``, ``rows``."""
        for name in ("source", "speaker"):
            if not (self.corpus.column(name) == UNKNOWN).any():
                return f"{name}s"
        return "rows"

    @cached_property
    def shared(self) -> dict[str, list[str]]:
        """Speakers and sources that are on both sides, which only a manifest's own split does."""
        found, test = {}, self.folds.is_test
        for name in ("speaker", "source"):
            values = self.corpus.column(name)
            both = set(values[test].tolist()) & set(values[~test].tolist()) - {UNKNOWN}
            if both:
                found[name] = sorted(both)
        return found

    @property
    def never_heard(self) -> Mask:
        """True for held-out rows of known groups of which nothing was trained on."""
        folds = self.folds
        heard = np.isin(folds.group, folds.group[~folds.is_test])
        return np.asarray(folds.is_test & ~heard & ~self.lone)

    def counted(self) -> str:
        """Return how many speakers and sources are shared, in words."""
        return " and ".join(
            f"{len(names)} {kind}{'' if len(names) == 1 else 's'}"
            for kind, names in self.shared.items()
        )

    def title(self) -> str:
        """Return what the held-out rows are."""
        if self.shared:
            return f"Held-out rows, {self.counted()} on both sides, as served"
        return f"Held-out {self.known}, as served"

    def unheard(self) -> str:
        """Return what the rows that count are: held out, or else out of fold."""
        if self.shared:
            return f"held-out recordings, with {self.counted()} on both sides"
        return f"{'recordings' if self.known == 'rows' else self.known} it never heard"

    def notes(self) -> tuple[str, ...]:
        """Return what must be read beside the numbers of either side."""
        shared: tuple[str, ...] = ()
        if self.shared:
            examples = "; ".join(
                f"{kind} {', '.join(names[:EXAMPLES])}{' ...' if len(names) > EXAMPLES else ''}"
                for kind, names in self.shared.items()
            )
            shared = (
                f"The manifest's own split has {self.counted()} on both sides ({examples}): the "
                "numbers are better than they would be elsewhere.",
            )
        lone = (LONE_NOTE,) if self.lone.any() else ()
        return (*simulated_note(self.corpus), *shared, *lone)
