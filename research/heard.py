"""What bundles answer to the same recordings under every channel condition."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.evaluation.metrics import Interval, bootstrap, difference, eer
from bonafide.types import Mask
from research.answers import UNNAMED, Answers, Errors, errors
from research.changes import CONDITIONS

CLEAN = "clean"


@dataclass(frozen=True)
class Heard:
    """A bundle's answers to the same recordings under every condition.

    Parameters
    ----------
    answers : mapping of str to ndarray of ANSWER, shape (n,)
        By condition.
    channels : tuple of str
        Names of the channels that the answers number; none if the bundle names none.
    is_spoof : ndarray of bool, shape (n,)
        Labels.
    source : ndarray of str, shape (n,)
        Sources, which intervals resample whole.
    resamples : int
        Of every interval.
    """

    answers: Mapping[str, Answers]
    channels: tuple[str, ...]
    is_spoof: Mask
    source: NDArray[np.str_]
    resamples: int

    @cached_property
    def eers(self) -> dict[str, Interval]:
        """EER under each condition."""
        return {
            name: bootstrap(
                found["llr"],
                self.is_spoof,
                self.source,
                metrics={"eer": eer},
                n_resamples=self.resamples,
            )["eer"]
            for name, found in self.answers.items()
        }

    @cached_property
    def errors(self) -> dict[str, tuple[Interval, tuple[Errors, Errors]]]:
        """What is undecided, and the errors on each label, under each condition."""
        return {
            name: errors(found["called"], self.is_spoof, self.source, resamples=self.resamples)
            for name, found in self.answers.items()
        }

    def over_clean(self, condition: str) -> Interval:
        """Return how much higher the EER is than that of clean sound."""
        return self._difference(self.answers[condition], self.answers[CLEAN])

    def gain_over(self, other: "Heard", condition: str) -> Interval:
        """Return how much lower the EER is than another bundle's under the same condition."""
        return self._difference(other.answers[condition], self.answers[condition])

    def named_right(self, condition: str) -> float | None:
        """Return how often the condition's channel is named; None if the bundle names none."""
        if not self.channels:
            return None
        right = self.channels.index(CONDITIONS[condition].channel)
        return float(np.mean(self.answers[condition]["channel"] == right))

    def named_most(self, condition: str) -> str | None:
        """Return the channel that is named most often; None if the bundle names none."""
        named = self.answers[condition]["channel"]
        if not self.channels or (named == UNNAMED).all():
            return None
        return self.channels[int(np.bincount(named[named != UNNAMED]).argmax())]

    def _difference(self, one: Answers, other: Answers) -> Interval:
        return difference(
            one["llr"], other["llr"], self.is_spoof, self.source, n_resamples=self.resamples
        )


def read_heard(
    conditions: Mapping[str, NDArray[Any]],
    bundle: str,
    is_spoof: Mask,
    source: NDArray[np.str_],
    resamples: int,
) -> Heard:
    """Return what a bundle answered, from the arrays of conditions.npz.

    Parameters
    ----------
    conditions : mapping of str to ndarray
        ``rows``, and by ``bundle|condition`` what `research.conditions` wrote.
    bundle : str
        Which of the bundles.
    is_spoof, source : ndarray, shape (n_rows,)
        Of the whole corpus.
    resamples : int
        Of every interval.

    Returns
    -------
    Heard

    Raises
    ------
    SystemExit
        If the file lacks a condition of this bundle.
    """
    rows = conditions["rows"]
    missing = [name for name in CONDITIONS if f"{bundle}|{name}" not in conditions]
    if missing:
        raise SystemExit(
            f"conditions.npz has no answers of {bundle} to {', '.join(missing[:3])}; "
            f"run python -m research.conditions --bundle {bundle}"
        )
    return Heard(
        answers={name: conditions[f"{bundle}|{name}"] for name in CONDITIONS},
        channels=tuple(conditions[f"{bundle}|channels"].tolist()),
        is_spoof=is_spoof[rows],
        source=source[rows],
        resamples=resamples,
    )
