"""The bundle: a folder of plain files that is promoted, served and can be verified."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bonafide.artifact import JSON, Artifact, link_or_copy
from bonafide.artifact import file_sha256 as file_sha256
from bonafide.errors import MALFORMED, BundleError
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.manifest import META_MODELS as META_MODELS
from bonafide.manifest import complete, errors_of, format_of

MANIFEST = "manifest.json"
SIGNATURE = f"{MANIFEST}.minisig"  # see `bonafide.registry.trust`
FAMILIES = "families"  # the graph that tells families of generators apart, and its entry
ADAPTER = "adapter"  # the part of an adapted bundle that its parent lacks
# Folders and files are named after a bundle: nothing else may be a name or a version.
BUNDLE_NAME = re.compile("[a-z0-9][a-z0-9_-]{0,40}")
BUNDLE_VERSION = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
# Entries that may differ between two runs that produced the same detector.
CIRCUMSTANCES = frozenset(("version", "created", "code", "zenml", "sha256"))
LINEAGE, ROWS = "lineage.json", "rows.parquet"  # see `bonafide.lineage`
PARENT = "parent_"  # before these names, of an adapted bundle: those of the one it was made from
LINEAGE_FILES = (LINEAGE, ROWS, PARENT + LINEAGE, PARENT + ROWS)


def content_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything that a bundle decides with.

    Parameters
    ----------
    manifest : mapping
        Every entry counts but `CIRCUMSTANCES`. The files' hashes are among the entries, so the
        files are covered; not so `LINEAGE_FILES`, which tell of the run and decide nothing.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> content_sha256({"prior_spoof": 0.5}) == content_sha256({"prior_spoof": 0.5, "version": "2"})
    True
    """
    return hashlib.sha256(json.dumps(content_of(manifest), sort_keys=True).encode()).hexdigest()


def require_names(name: Any, version: Any) -> None:
    """Require that a bundle's name and version are such that folders can be named after them.

    Parameters
    ----------
    name, version : Any
        As a manifest or a journal has them.

    Raises
    ------
    ValueError
        For anything that does not match `BUNDLE_NAME` and `BUNDLE_VERSION`.
    """
    checks = (("name", name, BUNDLE_NAME), ("version", version, BUNDLE_VERSION))
    for what, value, pattern in checks:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{what} {value!r}: must match {pattern.pattern}")


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def content_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a manifest that its content hash is taken of."""
    content = {key: value for key, value in manifest.items() if key not in CIRCUMSTANCES}
    if "files" in content:
        files = content["files"].items()
        content["files"] = {name: seen for name, seen in files if name not in LINEAGE_FILES}
    return content


@dataclass(frozen=True)
class Bundle(Artifact):
    """A bundle on disk, its manifest read.

    Parameters
    ----------
    folder : Path
        Where its files lie.
    manifest : dict
        Content of ``manifest.json``.
    """

    folder: Path
    manifest: dict[str, Any]

    @cached_property
    def spec(self) -> FeatureSpec:
        """The front end's parameters."""
        return FeatureSpec.from_json(self.manifest["feature_spec"])

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the base models, in the order of the graph's output ``models``."""
        return tuple(self.manifest["models"])

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in the order of the graph's output ``channel``; may be empty."""
        return tuple(channel["name"] for channel in self.manifest.get("channels", ()))

    @property
    def channel_errors(self) -> dict[str, Any]:
        """The error rates measured on each channel, by its name."""
        return errors_of(self.manifest)

    @property
    def stages(self) -> list[dict[str, Any]]:
        """The stages, the last one with no prefix; of an older format the only one."""
        only = {key: self.manifest[key] for key in ("models", "choice", "calibration")}
        return list(self.manifest.get("stages", [{"prefix": "", **only}]))

    @property
    def hears(self) -> dict[str, list[str]]:
        """The vectors that each base model hears."""
        return dict(self.manifest.get("hears", {name: [STATISTICS] for name in self.models}))

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the graphs that ``detector.onnx`` is fused from."""
        encoder = (self.manifest["feature_spec"] or {}).get("encoder") is not None
        return (
            *("frontend", "scaler"),
            *(("router",) if self.channels else ()),
            *(("encoder",) if encoder else ()),
            *self.models,
            *(f"{each['prefix']}meta_{name}" for each in self.stages for name in META_MODELS),
            *((ADAPTER,) if self.is_adapted else ()),
        )

    @property
    def families(self) -> dict[str, Any]:
        """The families of generators that explanations tell apart; empty where it knows none.

        ``known`` has their names and labels in the order of the posteriors of ``families.onnx``,
        ``measured`` what these are worth; see `bonafide.training.families.Families`.
        """
        return dict(self.manifest.get(FAMILIES, {}))

    @property
    def is_adapted(self) -> bool:
        """Whether it is another bundle with a final layer over it; see `bonafide.adapt`."""
        return "adaptation" in self.manifest

    @property
    def identity(self) -> dict[str, str]:
        """Name, version and content hash, as every result carries them."""
        return {key: str(self.manifest[key]) for key in ("name", "version", "sha256")}

    def graph_path(self, name: str) -> Path:
        """Return the path of one ONNX file.

        Parameters
        ----------
        name : str
            ``detector`` or one of `parts`.

        Returns
        -------
        Path
            In the bundle's folder.
        """
        return self.folder / f"{name}.onnx"

    def save(self, folder: Path) -> None:
        """Link or copy every file."""
        link_or_copy(self.folder, folder)

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read and verify; see `read_bundle`."""
        return read_bundle(folder)

    def digest(self) -> str:
        """Return the content hash."""
        return str(self.manifest["sha256"])

    def facts(self) -> dict[str, JSON]:
        """Return identity, choice and origin."""
        manifest = self.manifest
        keys = ("name", "version", "choice", "config_sha256")
        return {
            **{key: str(manifest[key]) for key in keys},
            "created": str(manifest.get("created", "-")),
            "rows_sha256": str(manifest["corpus"]["rows_sha256"]),
        }


def bundle_facts(manifest: bytes) -> dict[str, str]:
    """Return what describes a bundle, from the text of its manifest.

    Parameters
    ----------
    manifest : bytes
        Content of ``manifest.json``.

    Returns
    -------
    dict of str to str
        ``name``, ``version``, ``sha256`` and ``created``; empty for one that cannot be read.
    """
    try:
        read = json.loads(manifest)
        facts = {key: str(read[key]) for key in ("name", "version", "sha256")}
        require_names(read["name"], read["version"])
        return {**facts, "created": str(read.get("created", "-"))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def write_bundle(folder: Path, manifest: Mapping[str, Any]) -> Bundle:
    """Write the manifest of the files that already lie in `folder`.

    Parameters
    ----------
    folder : Path
        Holds every file of the bundle but ``manifest.json``; loses its signature.
    manifest : mapping
        Every entry but ``format``, ``files`` and ``sha256``, which are worked out here.

    Returns
    -------
    Bundle
        The bundle with its whole manifest.
    """
    (folder / SIGNATURE).unlink(missing_ok=True)  # was of another manifest
    files = {
        path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST
    }
    whole = {**manifest, "format": format_of(manifest), "files": files}
    whole["sha256"] = content_sha256(whole)
    (folder / MANIFEST).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return Bundle(folder, whole)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify every hash.

    Parameters
    ----------
    folder : Path
        The bundle's folder.

    Returns
    -------
    Bundle
        As written; one of format 1 with its base models' names filled in.

    Raises
    ------
    BundleError
        ``no_bundle`` without a manifest, ``bad_manifest`` for one that cannot be read,
        ``missing_file`` for a file that is not listed or not there, ``altered`` for a hash that
        does not match.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError("no_bundle", f"{folder}: no bundle is here ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
        files = dict(manifest["files"])
        require_names(manifest["name"], manifest["version"])
        bundle = Bundle(folder, complete(manifest))
        told = (FAMILIES,) if bundle.families else ()
        names = [f"{graph}.onnx" for graph in ("detector", *bundle.parts, *told)]
    except MALFORMED as error:
        raise BundleError("bad_manifest", f"{path}: not a bundle's manifest: {error}") from error
    for name in names:
        if name not in files:
            raise BundleError("missing_file", f"{path}: lists no {name}")
    for name, expected in files.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise BundleError("missing_file", f"{folder}: {name} is missing")
        if (seen := file_sha256(folder / name)) != expected:
            raise BundleError(
                "altered", f"{folder / name}: its sha256 is {seen}; the manifest says {expected}"
            )
    if (seen := content_sha256(manifest)) != manifest.get("sha256"):
        raise BundleError(
            "altered", f"{path}: its content hash is {seen}; it says {manifest.get('sha256')}"
        )
    return bundle
