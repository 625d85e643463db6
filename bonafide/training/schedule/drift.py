"""When to train: what the service answers drifts from what it answered at first."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bonafide.history import Entry
from bonafide.monitoring.drift import windows
from bonafide.monitoring.record import LAST, REFERENCE_ROWS, WINDOW_ROWS, Record
from bonafide.registry import registry_of
from bonafide.training.schedule.triggers import Size


class Drift:
    """A run is due once a window of answers alarms, and once alone a bundle.

    Each window is looked at once: those that ended since the last look, of the newest `LAST`.

    Parameters
    ----------
    record : Path
        What the service writes.
    root : Path
        The home folder, whose bundle in production answers.
    """

    def __init__(self, record: Path, root: Path) -> None:
        self.record, self.root = record, root
        self._looked: dict[str, int] = {}  # how many windows of each bundle
        self._moved: dict[str, tuple[str, ...]] = {}

    def due(self, runs: Sequence[Entry], now: datetime, size: Size) -> str:
        """Return what moved; see `bonafide.training.schedule.triggers.Rule.due`."""
        production = registry_of(self.root).production()
        if production is None:
            return ""
        why = f"drift from {production}: "
        if any(str(run["why"]).startswith(why) for run in runs):
            return ""
        moved = self._moved.get(production.sha256) or self._look(production.sha256)
        return why + ", ".join(moved) if moved else ""

    def _look(self, bundle: str) -> tuple[str, ...]:
        """Return what moved in the first window that alarms, of those nobody looked at."""
        answers = Record(self.record).read(bundle)
        ended = (answers[-1].rank - REFERENCE_ROWS) // WINDOW_ROWS if answers else 0
        new = min(ended - self._looked.get(bundle, 0), LAST)
        if new < 1:
            return ()
        self._looked[bundle] = ended
        alarms = (window.alarms for window in windows(answers, last=new))
        self._moved[bundle] = next(filter(None, alarms), ())
        return self._moved[bundle]
