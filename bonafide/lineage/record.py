"""The record in a bundle, ``lineage.json``: how it was made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bonafide.artifact import Plain, file_sha256
from bonafide.bundle import LINEAGE, MANIFEST, PARENT, ROWS, Bundle, write_bundle
from bonafide.errors import BundleError
from bonafide.lineage.rows import hide, read_rows, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
HIDDEN = "hidden"


@dataclass(frozen=True)
class Step(Plain):
    """A step of a run.

    Parameters
    ----------
    name : str
        Such as ``train_cnn``.
    inputs : tuple of str
        Names of the artifacts that it took.
    outputs : dict of str to str
        SHA-256 of each artifact that it made, by name.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Lineage(Plain):
    """How a bundle was made.

    Parameters
    ----------
    made : str
        ``trained`` or ``adapted``.
    run : dict
        ``ended``, ISO 8601; ``run_id`` and ``run``, the names that an orchestrator gave it.
    steps : list of Step
        In the order in which they ran; empty where they were not recorded.
    corpus : dict
        ``root``, the folder that paths start from; ``rows_sha256``, the hash of what was learned
        from; ``use``, the number of rows by use; ``names``, ``plain`` or ``hidden``, see
        `bonafide.lineage.rows.hide`.
    config : dict
        The whole configuration; empty for an adapted bundle, which has none.
    seeds : dict of str to int
        ``run``, and that of the final fit of each base model.
    code, environment : dict
        As `bonafide.lineage.code` gives them.
    missing : list of str
        What is not known, in words.
    golden : dict of str to str
        ``sha256`` of the golden set whose recordings were held out (those of the corpus have the
        use ``golden``); empty without one.
    format : int
        Of the file.
    """

    made: str
    run: dict[str, str]
    steps: list[Step]
    corpus: dict[str, Any]
    config: dict[str, Any]
    seeds: dict[str, int]
    code: dict[str, Any]
    environment: dict[str, Any]
    missing: list[str] = field(default_factory=list)
    golden: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def is_hidden(self) -> bool:
        """Whether names stand as hashes."""
        return bool(self.corpus.get("names") == HIDDEN)


def read_lineage(bundle: Bundle, prefix: str = "") -> Lineage | None:
    """Read the record of a bundle, or that of its parent.

    Parameters
    ----------
    bundle : Bundle
        Any.
    prefix : str
        `PARENT` for that of the bundle that an adapted one was made from.

    Returns
    -------
    Lineage or None
        None for a bundle without one.

    Raises
    ------
    BundleError
        ``altered`` for a file that is not what the manifest says; ``bad_lineage`` for one that is
        no record.
    """
    path = bundle.folder / f"{prefix}{LINEAGE}"
    if not path.is_file():
        return None
    require_unaltered(bundle, path.name)
    try:
        lineage = Lineage.from_json(json.loads(path.read_text(encoding="utf-8")))
        _require_shape(lineage)
    except (ValueError, RecursionError) as error:  # pydantic's is a ValueError
        raise BundleError("bad_lineage", f"{path}: not a record of a run: {error}") from error
    if lineage.format != FORMAT:
        raise BundleError("bad_lineage", f"{path}: format {lineage.format}: must be {FORMAT}")
    return lineage


def _require_shape(lineage: Lineage) -> None:
    """Raise a ValueError for a record that lacks what is read of every one."""
    corpus, code = lineage.corpus, lineage.code
    texts = {"corpus.rows_sha256": corpus.get("rows_sha256")}
    texts |= {"code.sha256": code.get("sha256"), "code.commit": code.get("commit", "")}
    if not lineage.is_hidden:
        texts["corpus.root"] = corpus.get("root")
    if lineage.config:
        texts["config.name"] = lineage.config.get("name")
    tables = {"corpus.use": corpus.get("use", {}), "code.packages": code.get("packages", {})}
    tables["environment.packages"] = lineage.environment.get("packages", {})
    wrong = [name for name, value in texts.items() if not isinstance(value, str)]
    wrong += [name for name, value in tables.items() if not isinstance(value, dict)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: missing, or of another kind")


def require_unaltered(bundle: Bundle, name: str) -> None:
    """Require that one file of a bundle, which may not be verified as a whole, is what it was.

    Parameters
    ----------
    bundle : Bundle
        Its manifest may be read alone.
    name : str
        The file's.

    Raises
    ------
    BundleError
        ``altered`` if it is not; ``bad_manifest`` where the manifest lists no files.
    """
    path, files = bundle.folder / name, bundle.manifest.get("files")
    if not isinstance(files, dict):
        raise BundleError("bad_manifest", f"{bundle.folder / MANIFEST}: lists no files")
    expected = files.get(name)
    if (seen := file_sha256(path)) != expected:
        raise BundleError("altered", f"{path}: its sha256 is {seen}; the manifest says {expected}")


def write_lineage(
    folder: Path, manifest: Mapping[str, Any], lineage: Lineage, rows: "pa.Table"
) -> Bundle:
    """Write record and rows into a bundle; its content hash stays.

    Parameters
    ----------
    folder : Path
        The bundle's folder. Its manifest is replaced, not written over: it may be a hard link.
    manifest : mapping
        The bundle's.
    lineage : Lineage
        The record.
    rows : pyarrow.Table
        Of `bonafide.lineage.rows.SCHEMA`.

    Returns
    -------
    Bundle
        As written.
    """
    for name in (MANIFEST, LINEAGE, ROWS):
        (folder / name).unlink(missing_ok=True)
    text = json.dumps(lineage.to_json(), indent=1)
    (folder / LINEAGE).write_text(f"{text}\n", encoding="utf-8")
    write_rows(rows, folder / ROWS)
    return write_bundle(folder, manifest)


def hand_down(folder: Path) -> None:
    """Rename record and rows in a copy of a bundle: they are those of its parent now."""
    for name in (LINEAGE, ROWS):
        if (folder / name).is_file():
            (folder / name).rename(folder / f"{PARENT}{name}")


def publish(bundle: Bundle) -> Bundle:
    """Hide in a bundle's lineage who was recorded, and where and in which run it was made.

    Parameters
    ----------
    bundle : Bundle
        Its files of lineage are replaced; the content hash stays. Not an adapted one, which holds
        its parent's too.

    Returns
    -------
    Bundle
        As written; a recording can still be looked for, by its hash or by the end of its path.

    Raises
    ------
    BundleError
        ``no_record`` for a bundle without lineage, or an adapted one.
    """
    lineage = read_lineage(bundle)
    if lineage is None or bundle.is_adapted:
        raise BundleError("no_record", f"{bundle.folder}: must hold lineage, and not be adapted")
    rows = read_rows(bundle)
    corpus = {key: value for key, value in lineage.corpus.items() if key != "root"}
    hidden = replace(lineage, run={}, corpus={**corpus, "names": HIDDEN})
    manifest = {**bundle.manifest, "zenml": {}}
    return write_lineage(bundle.folder, manifest, hidden, rows if lineage.is_hidden else hide(rows))
