"""ZenML's Model Control Plane as a mirror of the registry: its versions are the kept bundles."""

from typing import Any

from sqlalchemy.exc import IntegrityError
from zenml import log_metadata
from zenml.client import Client
from zenml.exceptions import EntityExistsError

from bonafide.registry import Registry, Version


def mirror(registry: Registry) -> None:
    """Give ZenML's models the versions and stages of the registry; see `_stages`.

    Parameters
    ----------
    registry : Registry
        The one truth: what stands in ZenML otherwise is changed.
    """
    state, models = registry.state(), dict[str, list[Version]]()
    for each in reversed(registry.versions.kept()):  # the oldest first
        version = Version(each["name"], each["version"], each["sha256"])
        models.setdefault(version.name, []).append(version)
    for name, versions in models.items():
        _ensure_versions(name, versions)
        _set_stages(name, _stages([(str(each), state.stage(each)) for each in versions]))


def _stages(wanted: list[tuple[str, str]]) -> dict[str, str]:
    """Return ZenML's stages, of which but one version can be ``staging``: the newest."""
    newest = {stage: name for name, stage in wanted}
    return {
        name: "none" if stage == "staging" and newest[stage] != name else stage
        for name, stage in wanted
    }


def _recorded(name: str) -> dict[str, Any]:
    found = Client().list_model_versions(model_name_or_id=name, size=10_000)
    return {each.name: each for each in found.items}


def _ensure_versions(name: str, versions: list[Version]) -> None:
    client = Client()
    if not client.list_models(name=name).items:
        client.create_model(name, save_models_to_registry=False)
    recorded = _recorded(name)
    for version in versions:
        if str(version) not in recorded:
            _record(name, version)


def _record(name: str, version: Version) -> None:
    try:
        Client().create_model_version(name, name=str(version))
    except (EntityExistsError, IntegrityError):  # of another home, which was faster
        if str(version) not in _recorded(name):
            raise
    log_metadata(
        metadata={"bundle": dict(vars(version))}, model_name=name, model_version=str(version)
    )


def _set_stages(name: str, wanted: dict[str, str]) -> None:
    # What must be alone in its stage moves others out of it; those are put right after it.
    alone = ("production", "staging")
    others = {
        version: "archived"  # made before there was a registry
        for version, each in _recorded(name).items()
        if version not in wanted and str(each.stage) in alone
    }
    wanted = wanted | others
    for version in sorted(wanted, key=lambda each: wanted[each] not in alone):
        if str(_recorded(name)[version].stage or "none") != wanted[version]:
            Client().update_model_version(name, version, stage=wanted[version], force=True)
