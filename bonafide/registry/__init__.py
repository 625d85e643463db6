"""Which bundles there are, which of them is in production, and how it came there.

A `Registry` lies in a folder, by default the home, or in an object store. The functions here are
those of the registry that a home uses: the one that ``$BONAFIDE_REGISTRY`` names, else the home.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bonafide.bundle import Bundle
from bonafide.registry.journal import Entry, Role, State, Version
from bonafide.registry.registry import Registry
from bonafide.registry.reports import SUFFIXES

__all__ = [
    "Entry",
    "Registry",
    "Role",
    "State",
    "Version",
    "bundle_folder",
    "find_bundle",
    "keep",
    "kept_bundles",
    "production_folder",
    "promote",
    "registry_of",
]


def registry_of(root: Path) -> Registry:
    """Return the registry that a home uses.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    Registry

    Raises
    ------
    ConfigError
        As in `bonafide.registry.stores.open_store`.
    """
    return Registry(os.environ.get("BONAFIDE_REGISTRY") or root, root)


def find_bundle(root: Path, chosen: Path | str | None = None) -> Bundle:
    """Read the chosen bundle, else the one in production, else the shipped one: `Registry.find`."""
    return registry_of(root).find(chosen)


def bundle_folder(root: Path, ref: str) -> Path:
    """Return the folder of the bundle that a user names; see `Registry.folder`."""
    return registry_of(root).folder(ref)


def production_folder(root: Path) -> Path | None:
    """Return the folder of the bundle in production; see `Registry.production`."""
    registry = registry_of(root)
    served = registry.production()
    return registry.versions.fetch(served.folder) if served else None


def kept_bundles(root: Path) -> list[dict[str, str]]:
    """Return what describes the kept bundles, the newest first; see `Versions.kept`."""
    return registry_of(root).versions.kept()


def keep(root: Path, candidate: Bundle, manifest: Mapping[str, Any], card: str) -> Bundle:
    """Copy a candidate into the registry under the next version; see `Versions.keep`."""
    return registry_of(root).versions.keep(candidate, manifest, card)


def promote(root: Path, bundle: Bundle, *, why: str = "", override: str = "") -> None:
    """Put a kept bundle into production; see `Registry.promote`.

    Parameters
    ----------
    root : Path
        The home folder; the reports of the gate are in it.
    bundle : Bundle
        As `keep` returned it.
    why : str
        What the journal says of it.
    override : str
        Why it goes past the gate; empty if it does not.
    """
    registry = registry_of(root)
    if registry.url != str(root):
        name = f"{bundle.identity['name']}-{bundle.identity['version']}"
        for suffix in SUFFIXES:
            if (report := root / "reports" / f"{name}{suffix}").is_file():
                registry.add_report(bundle, suffix, report.read_bytes())
    registry.promote(bundle, why=why, override=override)
