"""What changed since the last run: why one that is due is started, or is not, or is made up for."""

from collections.abc import Sequence
from datetime import datetime

from apscheduler.triggers.base import BaseTrigger

from bonafide import history
from bonafide.errors import BonafideError
from bonafide.history import Entry, started
from bonafide.training.schedule.triggers import Watched

CLOCK = "the clock"
CUT_SHORT = "was interrupted"


def state_of(watched: Watched | None) -> Entry:
    """Return what is there to learn from; nothing where the run will say what is amiss."""
    if not watched:
        return {}
    try:
        size, parts = watched.size(), watched.parts()
    except BonafideError:
        return {}
    return {"rows": size.rows, "bytes": size.bytes, "parts": parts}


def over(watched: Watched | None) -> str:
    """Return what is in production; nothing where that cannot be told."""
    try:
        return watched.over() if watched else ""
    except BonafideError:
        return ""


def unchanged(runs: Sequence[Entry], state: Entry, served: str) -> str:
    """Return why a run would do again what the last one did; empty if it would not.

    Parameters
    ----------
    runs : sequence of dict
        The history.
    state : dict
        As `state_of` returns it.
    served : str
        What is in production.

    Returns
    -------
    str
        With what to do about a bundle that only a hold kept back.
    """
    last = _last(runs)
    if not state or not last or last["status"] not in ("ok", "refused"):
        return ""
    if last.get("parts") != state["parts"] or last.get("over") != served:
        return ""
    told = f"nothing changed since the run of {last['started']}"
    if last["status"] == "ok":
        return told
    if last.get("held"):
        version = last["version"]
        return f"{told}: {version} was held back, and waits: bonafide models promote {version}"
    return f"{told}, which was refused"


def changed(runs: Sequence[Entry], state: Entry, served: str) -> str:
    """Return what changed since the last run that came to an end; empty where that is not known."""
    last = next((run for run in reversed(runs) if run["status"] in ("ok", "refused")), None)
    if not state or not last or "parts" not in last:
        return ""
    names = [name for name, seen in state["parts"].items() if last["parts"].get(name) != seen]
    told = [f"the {name} changed" for name in names]
    if "corpus" in names and (rows := state["rows"] - last.get("rows", 0)) > 0:
        told[names.index("corpus")] = f"{rows} new rows"
    if last.get("over") != served:
        told.append("another bundle is in production")
    return ", ".join(told)


def missed(runs: Sequence[Entry], trigger: BaseTrigger | None) -> str:
    """Return what is to be made up for: a run cut short, or a time when no schedule was there.

    Parameters
    ----------
    runs : sequence of dict
        The history. A run that went down with its machine has no end; the one that makes up for
        it is not made up for, or a run that fells a machine would do so for ever.
    trigger : BaseTrigger or None
        When runs start.

    Returns
    -------
    str
        Why a run is due now; empty if none is.
    """
    now = history.now()
    known = [run for run in runs if started(run) <= now]  # others are of a clock that was ahead
    if not known:
        return ""
    last = known[-1]
    is_cut_short = last["status"] == "interrupted" and last["ended"] == "-"
    if is_cut_short and not last["why"].endswith(CUT_SHORT):
        return f"the run of {last['started']} {CUT_SHORT}"
    due: datetime | None = None
    if trigger:
        due = trigger.get_next_fire_time(started(last), started(last))
    past = due is not None and due <= now
    return f"{due.isoformat(timespec='seconds')} was missed" if due and past else ""


def _last(runs: Sequence[Entry]) -> Entry | None:
    return next((run for run in reversed(runs) if run["status"] != "skipped"), None)
