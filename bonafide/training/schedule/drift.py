"""When to train: what the service answers drifts from what it answered at first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bonafide.monitoring.drift import windows
from bonafide.monitoring.record import Record
from bonafide.registry import registry_of
from bonafide.training.schedule.history import Entry
from bonafide.training.schedule.triggers import Size


@dataclass(frozen=True)
class Drift:
    """A run is due once the newest window of answers alarms, and once alone a bundle.

    Parameters
    ----------
    record : Path
        What the service writes.
    root : Path
        The home folder, whose bundle in production answers.
    """

    record: Path
    root: Path

    def due(self, runs: Sequence[Entry], now: datetime, size: Size) -> str:
        """Return what moved; see `bonafide.training.schedule.triggers.Rule.due`."""
        production = registry_of(self.root).production()
        if production is None:
            return ""
        why = f"drift from {production}: "
        if any(str(run["why"]).startswith(why) for run in runs):
            return ""
        newest = windows(Record(self.record).read(production.sha256), last=1)
        return why + ", ".join(newest[0].alarms) if newest and newest[0].alarms else ""
