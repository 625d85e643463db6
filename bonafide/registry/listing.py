"""What a registry keeps and what ships, as people list it."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bonafide.bundle import MANIFEST
from bonafide.errors import RegistryError
from bonafide.home import shipped_bundles
from bonafide.manifest import is_interval
from bonafide.registry.beside import percent
from bonafide.registry.journal import State, Version
from bonafide.registry.registry import Registry

SHIPPED = "shipped"  # the stage of what ships, which the journal does not know
MISSING = "missing"  # and of what the journal says answers or listens, and whose folder is gone


def listed(registry: Registry) -> list[dict[str, str]]:
    """Return what is kept, the newest first, and then what ships.

    Parameters
    ----------
    registry : Registry
        Any.

    Returns
    -------
    list of dict of str to str
        As `Versions.kept` returns them, with ``stage`` (``staging``, ``production``, ``archived``,
        ``shipped``, or ``missing`` for what the journal has in production or beside it and nothing
        is kept of; such come first, ``created`` is empty), ``beside`` (``shadow`` or ``canary`` and
        its share; mostly empty) and ``held`` (why, or since when; mostly empty).

    Raises
    ------
    RegistryError
        As in `Registry.journal`.
    """
    state, found = registry.state(), []
    kept = registry.versions.kept()
    missing = _missing(registry, state, set(map(_version, kept)))
    for each in [*missing, *kept]:
        version = _version(each)
        hold = state.holds.get(version)
        held = hold.why or f"since {hold.at}" if hold else ""
        beside = ", ".join(
            f"{role} {percent(entry.share)}" if entry.share else role
            for role, entry in state.beside.items()
            if entry.bundle == version
        )
        stage = MISSING if each in missing else state.stage(version)
        found.append({**each, "stage": stage, "beside": beside, "held": held})
    blank = {"stage": SHIPPED, "beside": "", "held": ""}
    return [*found, *({**each, **blank} for each in shipped_bundles())]


def _version(each: Mapping[str, str]) -> Version:
    return Version(each["name"], each["version"], each["sha256"])


def _missing(registry: Registry, state: State, kept: set[Version]) -> list[dict[str, str]]:
    """Return what the journal says of bundles that services may still hold, and nobody keeps."""
    answering = (state.production, *(entry.bundle for entry in state.beside.values()))
    gone = {version for version in answering if version} - kept
    return [
        {**asdict(version), "created": "", "folder": registry.versions.place(version.folder)}
        for version in sorted(gone, key=str)
    ]


def waiting(registry: Registry) -> Version | None:
    """Return the newest candidate that may go into production now, and does not by itself.

    Parameters
    ----------
    registry : Registry
        Any.

    Returns
    -------
    Version or None
        It is newer than what is in production, never was there, and the gate let it pass.

    Raises
    ------
    RegistryError
        As in `Registry.journal`.
    """
    state = registry.state()
    if state.production in state.holds:
        return None
    for each in registry.versions.kept():
        version = _version(each)
        if version == state.production:
            return None
        if state.stage(version) == "staging" and version not in state.holds:
            with contextlib.suppress(RegistryError):  # the gate refused it, or was not asked
                registry.require_gate(version, state)
                return version
    return None


def reference(each: Mapping[str, str]) -> str:
    """Return what `Registry.read` takes for one that is `listed`, were a kept one named alike."""
    return each["folder"] if each["stage"] == SHIPPED else "{name}:{version}".format(**each)


def names_of(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the names of bundles by content hash; of two of one hash, that of the latter."""
    return {each["sha256"]: "{name}:{version}".format(**each) for each in found}


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
    if each["stage"] == MISSING:
        return {}
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
