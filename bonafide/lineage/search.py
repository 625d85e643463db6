"""Forward: which bundles were made from a recording, a corpus or an artifact."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bonafide.artifact import file_sha256
from bonafide.bundle import MANIFEST, PARENT, ROWS, Bundle
from bonafide.errors import BundleError
from bonafide.home import shipped_bundles
from bonafide.lineage.record import Lineage, read_lineage, require_unaltered
from bonafide.lineage.rows import SET_ASIDE, find_rows, hide_name, plain_rows
from bonafide.lineage.tree import Node, full_name
from bonafide.registry import kept_bundles

if TYPE_CHECKING:
    import pyarrow as pa

SHA256 = re.compile("[0-9a-f]{64}")
DIGITS = re.compile("[0-9a-f]{8,64}")  # as for bundles
SHOWN = ("row", "path", "label", "source", "speaker", "use", "reason")
NOT_HERE = "is not here, so that it is looked for by its path alone"
Wanted: TypeAlias = Callable[[Lineage], Mapping[str, list[str]]]


def made_from_recording(root: Path, recording: str) -> Node:
    """Return the tree from a recording to the bundles that heard it.

    Parameters
    ----------
    root : Path
        The home folder.
    recording : str
        A file, which is known by its content and by its path; a path that is no longer there; or
        the SHA-256 of a file or of its sound.

    Returns
    -------
    Node
        A child for each bundle, with the rows that are meant; without children if there is none.
        The child ``missing`` names bundles that do not tell.

    Raises
    ------
    BundleError
        ``altered`` or ``bad_lineage`` for a damaged record.
    """
    path, is_there = Path(recording), Path(recording).is_file()
    if SHA256.fullmatch(recording) and not is_there:
        columns = {"file_sha256": [recording], "sound_sha256": [recording]}
        return _forward(f"recording {recording}", {}, root, lambda _: columns, SHOWN, _rows_of)
    content = {"file_sha256": [file_sha256(path)]} if is_there else {}
    facts = {"sha256": content["file_sha256"][0]} if content else {"file": NOT_HERE}

    def named(lineage: Lineage) -> Mapping[str, list[str]]:
        return {**content, "path": _names(path, recording, lineage)}

    return _forward(f"recording {recording}", facts, root, named, SHOWN, _rows_of)


def _names(path: Path, text: str, lineage: Lineage) -> list[str]:
    """Return by which names rows may know a path."""
    whole = path.absolute()
    if lineage.is_hidden:  # where the corpus lay is not told
        return [hide_name("/".join(whole.parts[-n:])) for n in range(1, len(whole.parts))]
    corpus = Path(lineage.corpus["root"])
    inside = [str(whole.relative_to(corpus))] if whole.is_relative_to(corpus) else []
    return [text, str(whole), *inside]


def _rows_of(rows: "pa.Table") -> tuple[dict[str, Any], list[Node]]:
    plain = plain_rows(rows)
    return {"heard": any(row["use"] != SET_ASIDE for row in plain)}, [
        Node(f"row {row.pop('row') + 2}", {key: row[key] for key in row if row[key] is not None})
        for row in plain
    ]


def made_from_files(root: Path, name: str, files: Iterable[str]) -> Node:
    """Return the tree from a corpus to the bundles that heard any of its files.

    Parameters
    ----------
    root : Path
        The home folder.
    name : str
        The corpus's, to show.
    files : iterable of str
        SHA-256 of each file.

    Returns
    -------
    Node
        As `made_from_recording` returns it, with numbers of rows by use.

    Raises
    ------
    BundleError
        ``altered`` or ``bad_lineage`` for a damaged record.
    """
    wanted = {"file_sha256": sorted(set(files))}
    facts = {"files": len(wanted["file_sha256"])}
    return _forward(f"corpus {name}", facts, root, lambda _: wanted, ("use",), _numbers)


def _numbers(rows: "pa.Table") -> tuple[dict[str, Any], list[Node]]:
    counts = rows["use"].value_counts().to_pylist()
    return {each["values"]: each["counts"] for each in counts}, []


def _forward(
    name: str,
    facts: Mapping[str, Any],
    root: Path,
    wanted: Wanted,
    columns: Sequence[str],
    describe: Callable[["pa.Table"], tuple[dict[str, Any], list[Node]]],
) -> Node:
    """Ask the rows of each bundle, and those of its parent, for what is wanted of them."""
    children, silent = [], []
    for bundle in _known_bundles(root):
        told = [each for each in _records(bundle) if (bundle.folder / f"{each[0]}{ROWS}").is_file()]
        if len(told) < 1 + bundle.is_adapted:
            silent.append(Node(f"{full_name(bundle)} does not tell all that it was made from"))
        for prefix, lineage in told:
            require_unaltered(bundle, f"{prefix}{ROWS}")
            if len(rows := find_rows(bundle, wanted(lineage), columns, prefix)):
                about, shown = describe(rows)
                through = {"through": "the bundle that it was adapted from"} if prefix else {}
                about = {"sha256": bundle.manifest["sha256"], **about, **through}
                children.append(Node(f"bundle {full_name(bundle)}", about, shown))
    return Node(name, facts, [*children, *([Node("missing", {}, silent)] if silent else [])])


def _known_bundles(root: Path) -> Iterator[Bundle]:
    """Yield every bundle that is kept in a home or shipped; of its files none is verified."""
    for facts in (*kept_bundles(root), *shipped_bundles()):
        folder = Path(facts["folder"])
        yield Bundle(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def _records(bundle: Bundle) -> list[tuple[str, Lineage]]:
    """Return the records in a bundle: its own and, of an adapted one, its parent's."""
    found = [(prefix, read_lineage(bundle, prefix)) for prefix in ("", PARENT)]
    return [(prefix, lineage) for prefix, lineage in found if lineage]


def made_from_artifact(root: Path, sha256: str) -> Node:
    """Return the tree from the hash of anything to the bundles in whose lineage it stands.

    Parameters
    ----------
    root : Path
        The home folder.
    sha256 : str
        Of an artifact of a step, of a corpus's rows, of code, of a file of a bundle, or of a
        parent; 8 digits are enough.

    Returns
    -------
    Node
        A child for each bundle, which says where in its lineage the hash stands.

    Raises
    ------
    BundleError
        ``bad_hash`` for a text that is none; ``altered`` or ``bad_lineage`` for a damaged record.
    """
    if not DIGITS.fullmatch(sha256):
        raise BundleError("bad_hash", f"{sha256}: must be 8 to 64 hexadecimal digits")
    children = []
    for bundle in _known_bundles(root):
        records = {f"{prefix}lineage": record.to_json() for prefix, record in _records(bundle)}
        hashes = _hashes({"manifest": bundle.manifest, **records})
        if places := [place for place, found in hashes.items() if found.startswith(sha256)]:
            facts = {"sha256": bundle.manifest["sha256"], "as": ", ".join(places)}
            children.append(Node(f"bundle {full_name(bundle)}", facts))
    return Node(f"artifact {sha256}", {}, children)


def _hashes(value: Any, place: str = "") -> dict[str, str]:
    """Return every hash in nested values, by where it stands: names joined by dots."""
    if isinstance(value, list):
        value = {
            each.get("name", str(i)): each for i, each in enumerate(value) if isinstance(each, dict)
        }
    if not isinstance(value, dict):
        return {place: value} if isinstance(value, str) and SHA256.fullmatch(value) else {}
    inner = [_hashes(each, f"{place}.{key}".lstrip(".")) for key, each in value.items()]
    return {where: found for each in inner for where, found in each.items()}
