"""A home with a past: versions of what ships, answers that drift, runs of a schedule."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bonafide.bundle import Bundle, read_bundle
from bonafide.history import note
from bonafide.home import shipped_bundles, shipped_folder
from bonafide.manifest import SEQUENTIAL
from bonafide.monitoring.record import RECORD, REFERENCE_ROWS, WINDOW_ROWS, Answered, Record
from bonafide.registry import Registry
from tests.helpers.traffic import TELEPHONES, answers

RUNS = (
    {"status": "ok", "version": "fast:1", "eer": {"value": 0.144, "low": 0.118, "high": 0.172}},
    {"status": "refused", "version": "fast:2", "reason": "worse than fast:1"},
    {"status": "skipped", "reason": "nothing changed"},
)


def versions(root: Path, n: int) -> tuple[Registry, list[Bundle]]:
    """Keep versions of ``fast`` that differ in nothing that decides."""
    registry = Registry(root, root)
    fast = read_bundle(shipped_folder("fast"))
    return registry, [registry.versions.keep(fast, {"remark": number}) for number in range(n)]


def hasty(root: Path) -> str:
    """Keep a version of ``fast`` whose sequential test decides on any sound at once; name it."""
    registry, fast = Registry(root, root), read_bundle(shipped_folder("fast"))
    known = fast.manifest["thresholds"]
    bars = {name: {"bonafide_from": 1e-9, "spoof_to": -1e-9} for name in fast.channels}
    test = {**known[SEQUENTIAL], "channels": bars}
    kept = registry.versions.keep(
        fast, {"thresholds": {**known, "distance_to": 1e9, SEQUENTIAL: test}}
    )
    return "{name}:{version}".format_map(kept.manifest)


def passed(registry: Registry, bundle: Bundle) -> None:
    """Note that the gate let a bundle pass against what is in production."""
    now = registry.production()
    against = vars(now) if now else shipped_bundles()[0]
    champion = {key: against[key] for key in ("name", "version", "sha256")}
    report = json.dumps({"reasons": [], "champion": champion}).encode()
    registry.add_report(bundle, ".gate.json", report)


def drifting(bundle: str) -> Iterator[Answered]:
    """Yield the answers of a reference and a quiet window, and of one from telephones."""
    quiet = REFERENCE_ROWS + WINDOW_ROWS
    yield from answers(1, quiet, bundle=bundle)
    yield from answers(2, WINDOW_ROWS, TELEPHONES, bundle=bundle)


def keep_home(root: Path) -> Registry:
    """Make the home: of four versions the second is in production, the third passed the gate."""
    root.mkdir(parents=True)
    registry, kept = versions(root, 4)
    for bundle in kept[:2]:
        passed(registry, bundle)
        registry.promote(bundle)
    passed(registry, kept[2])
    said = list(drifting(kept[1].digest()))
    said[4] = replace(said[4], verdict="perhaps")  # as no service writes it
    Record(root / RECORD).add(said)
    for day, run in enumerate(RUNS, start=1):
        at = f"2026-03-0{day}T03:"
        log = str(root / "logs" / f"night-{day}.log")
        note(root, {"started": f"{at}00:00+00:00", "ended": f"{at}40:00+00:00", "log": log, **run})
    return registry
