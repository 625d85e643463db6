"""When to train: what the service answers drifts from what it answered at first."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

from bonafide.bundle import read_bundle
from bonafide.history import Entry
from bonafide.home import SHIPPED
from bonafide.monitoring.drift import windows
from bonafide.monitoring.record import LAST, REFERENCE_ROWS, WINDOW_ROWS, Record
from bonafide.registry import Version, registry_of
from bonafide.training.schedule.triggers import Size

DRIFT = "drift from "  # how the reason of its runs begins


class Drift:
    """A run is due once a window of answers alarms, and once alone a bundle.

    Where a run was due and there was nothing new to learn, it is due again once there is.
    Each window is looked at once: those that ended since the last look, of the newest `LAST`.

    Parameters
    ----------
    record : Path
        What the service writes.
    root : Path
        The home folder, whose bundle in production answers, or else the shipped one.
    """

    def __init__(self, record: Path, root: Path) -> None:
        self.record, self.root = record, root
        self._looked: dict[str, int] = {}  # how many windows of each bundle
        self._moved: dict[str, tuple[str, ...]] = {}

    def due(self, runs: Sequence[Entry], now: datetime, size: Size) -> str:
        """Return what moved; see `bonafide.training.schedule.triggers.Rule.due`."""
        bundle = registry_of(self.root).production() or self._shipped
        why = f"{DRIFT}{bundle}: "
        of_it = [at for at, run in enumerate(runs) if str(run["why"]).startswith(why)]
        if of_it and not _is_open(runs[of_it[-1] :], size):
            return ""
        moved = self._moved.get(bundle.sha256) or self._look(bundle.sha256)
        return why + ", ".join(moved) if moved else ""

    @cached_property
    def _shipped(self) -> Version:
        """What answers while nothing is in production."""
        return Version.of(read_bundle(SHIPPED))

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


def _is_open(runs: Sequence[Entry], size: Size) -> bool:
    """Return whether a drift had no run, for there was nothing new to learn, and now there is.

    Parameters
    ----------
    runs : sequence of dict
        The last one that the drift made due, and those after it.
    size : Size
        Of the corpora.

    Returns
    -------
    bool
    """
    seen = runs[0].get("rows"), runs[0].get("bytes")
    is_learnt = any(run["status"] in ("ok", "refused") for run in runs)
    return runs[0]["status"] == "skipped" and not is_learnt and seen != (size.rows, size.bytes)
