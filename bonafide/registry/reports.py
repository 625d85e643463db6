"""The reports of a bundle in a registry, and what the gate's says of a promotion."""

import json
from typing import Any

from bonafide.errors import RegistryError
from bonafide.home import shipped_bundles
from bonafide.registry.journal import State, Version
from bonafide.registry.stores import Store

SUFFIXES = (".html", ".gate.json")
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)  # of read JSON


def report_path(version: Version, suffix: str) -> str:
    """Return where a version's report lies in a registry."""
    return f"reports/{version.name}-{version.version}{suffix}"


def require_gate(store: Store, version: Version, state: State) -> None:
    """Require that the gate let a version pass against what is in production.

    Parameters
    ----------
    store : Store
        Holds its report.
    version : Version
        What is to be promoted.
    state : State
        What it would replace.

    Raises
    ------
    RegistryError
        ``not_gated`` without a report that lets it pass.
    """
    path = report_path(version, ".gate.json")
    try:
        report = json.loads(store.read(path))
        reasons, champion = report["reasons"], report.get("champion")
        _require_report(reasons, champion)
    except (*DAMAGED, FileNotFoundError) as error:
        reasons, champion = [f"no report of the gate can be read ({path}: {error!r})"], None
    against = state.production.sha256 if state.production else shipped_bundles()[0]["sha256"]
    if not reasons and champion is not None and champion["sha256"] != against:
        reasons = [
            "the gate compared it with {name}:{version}, not with ".format(**champion)
            + str(state.production or "the shipped default")
        ]
    if reasons:
        raise RegistryError(
            "not_gated",
            f"{version}: {'; '.join(reasons)}; promote --override REASON goes past the gate, "
            "and the journal says so",
        )


def _require_report(reasons: Any, champion: Any) -> None:
    """Raise an error of `DAMAGED` for what is no report of the gate."""
    if not isinstance(reasons, list) or not all(isinstance(each, str) for each in reasons):
        raise ValueError("reasons must be a list of texts")
    if champion is not None:
        Version(**champion)
