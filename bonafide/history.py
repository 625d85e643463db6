"""The history of scheduled runs: one JSON object a line, appended and never changed."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from bonafide.errors import StorageError
from bonafide.manifest import is_interval
from bonafide.process.lock import is_locked

HISTORY = "schedule.jsonl"
ALIVE = "schedule.alive"  # touched by a schedule that runs
LOCK = "schedule.lock"  # held by the run that goes on, and so free once it has ended in any way
Status: TypeAlias = Literal["running", "ok", "refused", "failed", "interrupted", "skipped"]
Entry: TypeAlias = dict[str, Any]
STATUSES: tuple[Status, ...] = get_args(Status)
KINDS: dict[str, type] = {"rows": int, "bytes": int, "parts": dict}  # that rules count with
TEXTS = ("ended", "why", "version", "reason", "log")
BLANK: Entry = {
    "ended": "-",
    "status": "interrupted",  # until its end is noted
    "why": "",
    "version": "",
    "eer": None,
    "reason": "",
    "log": "",
}
HELD = ": held since "  # as `bonafide.registry.registry.held` says it
BY_EXIT: dict[int, Status] = {0: "ok", 1: "refused", 130: "interrupted", -2: "interrupted"}


def read_history(root: Path) -> list[Entry]:
    """Return what schedules did, oldest first.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    list of dict
        Each with ``started`` and ``ended`` (ISO 8601, UTC; ``-`` if it has not), ``status``
        (``running``, ``ok``, ``refused`` by the gate, ``failed``, ``interrupted``, or ``skipped``),
        ``why`` it was started, ``version`` (the bundle's name and version; empty without one),
        ``eer`` (``{"value", "low", "high"}`` of its held-out rows, or None), ``reason`` (why it is
        not ok) and ``log`` (path of what it printed).

    Raises
    ------
    StorageError
        ``bad_history`` if it cannot be read, or a line other than the last is damaged.
    """
    goes_on = is_locked(root / LOCK)  # and again below: a run may start or end meanwhile
    path = root / HISTORY
    runs: dict[str, Entry] = {}
    for entry in _entries(path):
        runs.setdefault(entry["started"], dict(BLANK)).update(entry)
    found = list(runs.values())
    if found and found[-1]["ended"] == "-" and (goes_on or is_locked(root / LOCK)):
        found[-1]["status"] = "running"
    return found


def _entries(path: Path) -> Iterator[Entry]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError("bad_history", f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # the process was killed while it wrote
                return
            raise StorageError("bad_history", f"{path}: line {number}: {error}") from error
        if fault := _fault(entry):
            raise StorageError("bad_history", f"{path}: line {number}: {fault}")
        if isinstance(entry.get("status"), int):  # as it was noted before there were words
            entry["status"] = BY_EXIT.get(entry["status"], "failed")
        yield entry


def _fault(entry: Any) -> str:
    """Return what is wrong with an entry, in words; empty if nothing is."""
    if not isinstance(entry, dict):
        return f"{entry!r}: must be an object"
    for name in ("started", *(name for name in TEXTS if name in entry)):
        if not isinstance(entry.get(name), str):
            return f"{name}={entry.get(name)!r}: must be a text"
    try:
        if started(entry).tzinfo is None:
            return f"started={entry['started']!r}: must be a time with its zone"
    except ValueError as error:
        return f"started={entry['started']!r}: must be a time: {error}"
    for name, kind in KINDS.items():
        if not isinstance(entry.get(name, kind()), kind):
            return f"{name}={entry[name]!r}: must be of another kind, {kind.__name__}"
    status = entry.get("status", STATUSES[0])
    if isinstance(status, bool) or not (isinstance(status, int) or status in STATUSES):
        return f"status={status!r}: must be one of {', '.join(STATUSES)}"
    return _eer_fault(entry)


def _eer_fault(entry: Entry) -> str:
    eer = entry.get("eer")
    if eer is not None and not is_interval(eer):
        return f"eer={eer!r}: must be null, or three numbers, value, low and high"
    return ""


def note(root: Path, entry: Entry) -> None:
    """Append a line; one that a killed process left half written goes.

    Parameters
    ----------
    root : Path
        The home folder.
    entry : dict
        With ``started``; what is noted later of the same run adds to it.

    Raises
    ------
    OSError
        If it cannot be written; then nothing was changed.
    """
    path = root / HISTORY
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    draft = path.with_name(f".{HISTORY}")
    draft.write_text(whole + json.dumps(entry) + "\n", encoding="utf-8")
    draft.replace(path)


def last_alive(root: Path) -> float:
    """Return when a schedule was last seen to run.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    float
        Seconds since 1970; 0 where there never was one, or a person ended it with Ctrl-C.
    """
    try:
        return (root / ALIVE).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def outcome(status: int, result: Path, log: Path) -> Entry:
    """Return how a run ended, for the history.

    Parameters
    ----------
    status : int
        Of its process; negative for the number of a signal.
    result : Path
        What ``bonafide train --result`` wrote; not there where it did not come so far.
    log : Path
        What it printed.

    Returns
    -------
    dict
        ``status``, ``exit`` and ``reason``, ``version`` and ``eer`` where it made a bundle, and
        ``held`` where the gate let that pass and a hold alone kept it back. A result that cannot be
        read is a failure.
    """
    word = BY_EXIT.get(status, "failed")
    told, damage = _result(result)
    reasons = told.get("reasons", [])
    if (word == "refused" and not reasons) or (word == "ok" and damage):
        word = "failed"
    said = damage if damage and not status else ""
    reason = "; ".join(reasons) or said or ("" if word == "ok" else _last_words(log))
    if status < 0 and word == "failed":
        reason = f"ended by signal {-status}; {reason}".rstrip("; ")
    kept: Entry = {name: told[name] for name in ("version", "eer") if name in told}
    if word == "refused" and len(reasons) == 1 and HELD in reasons[0]:
        kept["held"] = True  # the gate let it pass
    return {"status": word, "exit": status, "reason": reason, **kept}


def _result(path: Path) -> tuple[Entry, str]:
    """Return what a run told of itself, and what is wrong with that; nothing where it did not."""
    if not path.exists():
        return {}, ""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        texts = [told.get("version", ""), *told.get("reasons", [])]
    except (OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        return {}, f"its result cannot be read: {error}"
    fault = _eer_fault(told)
    if not all(isinstance(each, str) for each in texts):
        fault = "version and reasons must be texts"
    return ({}, f"its result cannot be read: {fault}") if fault else (told, "")


def _last_words(log: Path) -> str:
    """Return the error that a command ended with, or else its last line."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:  # somebody made room
        return f"its log cannot be read: {error.strerror}"
    lines = [line for line in text.splitlines() if line]
    errors = [line for line in lines if line.startswith("bonafide: ")]
    return (errors or lines or [""])[-1].removeprefix("bonafide: ")


def started(run: Entry) -> datetime:
    """Return when a run started."""
    return datetime.fromisoformat(run["started"])


def stamp(taken: Iterable[str] = ()) -> str:
    """Return the time in seconds, ISO 8601, UTC; a finer one where that is another run's."""
    at = now()
    text = at.isoformat(timespec="seconds")
    return at.isoformat(timespec="microseconds") if text in taken else text


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)
