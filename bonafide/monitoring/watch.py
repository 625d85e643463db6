"""What is seen of a bundle that is in service: told, kept and drawn."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from bonafide.artifact import JSON, JsonArtifact
from bonafide.monitoring.drift import Window, windows
from bonafide.monitoring.feedback import Measured, measured
from bonafide.monitoring.pairs import Disagreement, disagreements
from bonafide.monitoring.record import (
    FIRST,
    LAST,
    REFERENCE_ROWS,
    TRAINING,
    WINDOW_ROWS,
    Answered,
    Record,
    damaged_in_words,
)

REFERENCES = {FIRST: "its first answers", TRAINING: "what it answers to its training recordings"}
HEADINGS = ("from (UTC)", "to (UTC)", "answers", "undecided", "what moved")


@dataclass(frozen=True)
class Watch(JsonArtifact):
    """What is seen of one bundle.

    Parameters
    ----------
    bundle : str
        Its content hash.
    answers, needed : int
        Answers of it that are on record, and how many the first window takes.
    windows : tuple of Window
        The newest ones, in the order of time.
    error : Measured or None
        On the answers that people judged; None where they judged none.
    others : tuple of Disagreement
        What other bundles said to the same requests.
    against : {"first", "training"}
        What the windows are compared with: the bundle's first answers, or its training recordings.
    damaged : int
        Rows of the record, of any bundle, that are left out, for they hold what no service writes.
    """

    FILE: ClassVar[str] = "watch.json"

    bundle: str
    answers: int
    needed: int
    windows: tuple[Window, ...]
    error: Measured | None
    others: tuple[Disagreement, ...]
    against: str = FIRST
    damaged: int = 0

    @classmethod
    def of(
        cls,
        record: Record,
        bundle: str,
        *,
        window_rows: int = WINDOW_ROWS,
        last: int = LAST,
        reference: Sequence[Answered] = (),
    ) -> Self:
        """Look at a record.

        Parameters
        ----------
        record : Record
            Of a service.
        bundle : str
            Content hash.
        window_rows : int
            Answers in a window.
        last : int
            How many windows, the newest ones.
        reference : sequence of Answered
            What the bundle answers to its training recordings, as `Expected.answers` returns it;
            where it is empty, windows are compared with the first answers.

        Returns
        -------
        Self

        Raises
        ------
        StorageError
            ``bad_record`` for what is no record.
        """
        everything, damaged = record.look()
        answers = [each for each in everything if each.bundle == bundle]
        found = windows(answers, window_rows=window_rows, last=last, reference=reference)
        others = tuple(disagreements(everything, bundle))
        against, before = (TRAINING, 0) if reference else (FIRST, REFERENCE_ROWS)
        counts = (len(answers), before + window_rows)
        return cls(bundle, *counts, tuple(found), measured(answers), others, against, damaged)

    def with_names(self, names: Mapping[str, str]) -> Self:
        """Return it with the names of other bundles.

        Parameters
        ----------
        names : mapping of str to str
            Content hash -> name, such as ``fast:11``; of those that are known.

        Returns
        -------
        Self
        """
        others = (replace(each, name=names.get(each.bundle, "")) for each in self.others)
        return replace(self, others=tuple(others))

    @property
    def alarms(self) -> tuple[str, ...]:
        """Names of what moved in the newest window."""
        return self.windows[-1].alarms if self.windows else ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; windows name what alarms."""
        return {**asdict(self), "windows": [each.to_json() for each in self.windows]}

    def rows(self) -> Iterator[list[str]]:
        """Yield the cells of each window, below `HEADINGS`."""
        for window in self.windows:
            times = [
                f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
                for at in (window.start, window.end)
            ]
            moved = [each.in_words() for each in window.statistics if each.alarms]
            undecided = f"{100 * window.undecided:.0f} %"
            yield [*times, str(window.rows), undecided, ", ".join(moved) or "-"]

    def remarks(self) -> Iterator[str]:
        """Yield sentences on what the windows do not tell."""
        if not self.windows:
            yield f"Answers of this bundle: {self.answers}; {self.needed} are needed to compare."
        elif self.against != FIRST:
            yield f"Each window is compared with {REFERENCES[self.against]}, out of fold."
        if self.error:
            yield self.error.in_words()
        for other in self.others:
            yield other.in_words()
        if self.damaged:
            yield damaged_in_words(self.damaged)

    def facts(self) -> Mapping[str, JSON]:
        """Return the bundle, how many answers and windows there are, and what moved."""
        alarmed = sum(bool(window.alarms) for window in self.windows)
        return {
            "bundle": self.bundle,
            "answers": self.answers,
            "windows": len(self.windows),
            "windows_that_alarm": alarmed,
            "against": self.against,
            "moved": list(self.alarms),
            "damaged": self.damaged,
            "error": self.error.to_json() if self.error else None,
        }

    def page(self) -> str:
        """Return an HTML page: the statistics over time, the windows, and what else is said."""
        from bonafide.evaluation.report import render
        from bonafide.monitoring.figures import drift_figure

        return render(
            "watch.html.j2",
            title=f"Drift of bundle {self.bundle[:8]}",
            headings=HEADINGS,
            rows=list(self.rows()),
            svg=drift_figure(self.windows) if self.windows else "",
            reference=REFERENCES[self.against],
            remarks=list(self.remarks()),
        )

    def pages(self) -> dict[str, str]:
        """Show what moved."""
        return {"drift.html": self.page()}
