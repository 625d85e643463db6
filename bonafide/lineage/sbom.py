"""What a bundle was trained with, as a software bill of materials (CycloneDX 1.6, JSON)."""

from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from bonafide.bundle import Bundle
from bonafide.errors import BundleError
from bonafide.lineage.record import read_lineage

SPECIFICATION = "1.6"


def bill_of_materials(bundle: Bundle) -> dict[str, Any]:
    """Return the packages that were installed where a bundle was made, from its lineage.

    Parameters
    ----------
    bundle : Bundle
        With lineage.

    Returns
    -------
    dict
        A document of CycloneDX: the bundle as a ``machine-learning-model`` with its content hash,
        and each package as a ``library`` that it depends on, with its ``purl``. The same bundle
        gives the same document.

    Raises
    ------
    BundleError
        ``no_record`` for a bundle whose lineage names no packages; else as in `read_lineage`.
    """
    lineage = read_lineage(bundle)
    if lineage is None or not lineage.environment.get("packages"):
        raise BundleError("no_record", f"{bundle.folder}: no lineage in it names packages")
    identity, environment = bundle.identity, lineage.environment
    packages = [_component(*each) for each in environment["packages"].items()]
    model = f"bundle:{identity['sha256']}"
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, model)}",
        "version": 1,
        "metadata": {
            **({"timestamp": created} if (created := bundle.manifest.get("created")) else {}),
            "component": {
                "type": "machine-learning-model",
                "bom-ref": model,
                "name": identity["name"],
                "version": identity["version"],
                "hashes": [{"alg": "SHA-256", "content": identity["sha256"]}],
            },
            "properties": [
                {"name": f"bonafide:{name}", "value": value}
                for name, value in (
                    ("python", environment["python"]),
                    ("platform", environment["platform"]),
                    ("code", lineage.code["sha256"]),
                )
            ],
        },
        "components": packages,
        "dependencies": [{"ref": model, "dependsOn": [each["bom-ref"] for each in packages]}],
    }


def _component(name: str, version: str) -> dict[str, str]:
    # https://github.com/package-url/purl-spec: names of PyPI are lower case, with dashes.
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{quote(version, safe='')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
