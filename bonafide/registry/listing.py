"""What a registry keeps and what ships, as people list it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bonafide.bundle import MANIFEST
from bonafide.home import shipped_bundles
from bonafide.manifest import is_interval
from bonafide.registry.beside import percent
from bonafide.registry.journal import Version
from bonafide.registry.registry import Registry

SHIPPED = "shipped"  # the stage of what ships, which the journal does not know


def listed(registry: Registry) -> list[dict[str, str]]:
    """Return what is kept, the newest first, and then what ships.

    Parameters
    ----------
    registry : Registry
        Any.

    Returns
    -------
    list of dict of str to str
        As `Versions.kept` returns them, with ``stage`` (``staging``, ``production``, ``archived``
        or ``shipped``), ``beside`` (``shadow`` or ``canary`` and its share; mostly empty) and
        ``held`` (why, or since when; mostly empty).

    Raises
    ------
    RegistryError
        As in `Registry.journal`.
    """
    state, found = registry.state(), []
    for each in registry.versions.kept():
        version = Version(*(each[key] for key in ("name", "version", "sha256")))
        hold = state.holds.get(version)
        held = hold.why or f"since {hold.at}" if hold else ""
        beside = ", ".join(
            f"{role} {percent(entry.share)}" if entry.share else role
            for role, entry in state.beside.items()
            if entry.bundle == version
        )
        found.append({**each, "stage": state.stage(version), "beside": beside, "held": held})
    blank = {"stage": SHIPPED, "beside": "", "held": ""}
    return [*found, *({**each, **blank} for each in shipped_bundles())]


def reference(each: Mapping[str, str]) -> str:
    """Return what `Registry.read` takes for one that is `listed`, were a kept one named alike."""
    return each["folder"] if each["stage"] == SHIPPED else "{name}:{version}".format(**each)


def measured(registry: Registry, each: Mapping[str, str]) -> dict[str, Any]:
    """Return the ``metrics`` in the manifest of one that is `listed`; no hash is verified.

    Parameters
    ----------
    registry : Registry
        The one that listed it.
    each : mapping of str to str
        As `listed` returns it.

    Returns
    -------
    dict
        Of a detector that was measured: ``eer`` with its ``value``, ``low`` and ``high``, and
        ``rows`` and ``on``, which say what on. Empty where nothing was.
    """
    if each["stage"] == SHIPPED:
        text = (Path(each["folder"]) / MANIFEST).read_bytes()
    else:
        try:
            text = registry.versions.manifest("bundles/{name}/{version}".format(**each))
        except FileNotFoundError:  # it lies under another name than its own
            return {}
    metrics = json.loads(text).get("metrics")
    if not isinstance(metrics, dict):
        return {}
    return {name: value for name, value in metrics.items() if name != "eer" or is_interval(value)}
