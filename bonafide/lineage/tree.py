"""Back from a bundle: the tree of what it was made from, and of what is not known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bonafide.bundle import LINEAGE, PARENT, ROWS, Bundle
from bonafide.lineage.code import CHANGES
from bonafide.lineage.record import Lineage, Step, read_lineage

NO_RECORD = f"{LINEAGE}: this bundle was made before records were kept in bundles"


@dataclass(frozen=True)
class Node:
    """A node of a tree of lineage.

    Parameters
    ----------
    name : str
        Such as ``corpus`` or ``step export``.
    facts : dict
        Plain values, by name.
    children : sequence of Node
        What it was made from, or what was made of it.
    """

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    children: Sequence["Node"] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values; ``children`` only where there are some."""
        children = [child.to_json() for child in self.children]
        plain = {"name": self.name, "facts": dict(self.facts)}
        return plain | ({"children": children} if children else {})


def full_name(bundle: Bundle) -> str:
    """Return ``name:version``."""
    return "{name}:{version}".format(**bundle.identity)


def bundle_tree(bundle: Bundle, records: Sequence[Node] = (), missing: Sequence[str] = ()) -> Node:
    """Return the tree from a bundle back to corpus, configuration, code, environment and run.

    Parameters
    ----------
    bundle : Bundle
        An adapted one goes back to its clips, and to the bundle that it was made from.
    records : sequence of Node
        What an orchestrator knows beside.
    missing : sequence of str
        What it does not know.

    Returns
    -------
    Node
        The last child, ``missing``, says what is not known; there is none if nothing is missing.

    Raises
    ------
    BundleError
        ``bad_lineage`` for a record that cannot be read.
    """
    manifest, lineage = bundle.manifest, read_lineage(bundle)
    children = _of_lineage(lineage) if lineage else _of_manifest(bundle)
    if bundle.is_adapted:
        children.append(_parent(bundle))
    children += records
    if unknown := [*missing_of(bundle, lineage), *missing]:
        children.append(Node("missing", {}, [Node(text) for text in unknown]))
    facts = {"sha256": manifest["sha256"], "created": manifest.get("created", "-")}
    return Node(f"bundle {full_name(bundle)}", facts, children)


def missing_of(bundle: Bundle, lineage: Lineage | None, prefix: str = "") -> list[str]:
    """Return what is not known of a bundle, in words."""
    if lineage is None:
        return [f"{prefix}{NO_RECORD}"]
    found = list(lineage.missing)
    if not (bundle.folder / f"{prefix}{ROWS}").is_file():
        found.append(f"{prefix}{ROWS}: the rows of the corpus")
    if not lineage.steps and lineage.made == "trained":
        found.append("steps: which artifacts the run made")
    if "commit" not in lineage.code:
        found.append("commit: the code did not run in a checkout")
    elif lineage.code["commit"].endswith(CHANGES):
        found.append("changes: files of the code were not as committed; its hash is known")
    return found


def _of_lineage(lineage: Lineage) -> list[Node]:
    corpus, use = lineage.corpus, lineage.corpus.get("use", {})
    about = {key: corpus[key] for key in ("root", "rows_sha256", "names") if key in corpus}
    installed = lineage.environment.get("packages", {})
    surroundings = {key: value for key, value in lineage.environment.items() if key != "packages"}
    seeds = Node("seeds", lineage.seeds)
    return [
        Node("own clips" if lineage.made == "adapted" else "corpus", about | use),
        *([Node("config", {"name": lineage.config["name"]}, [seeds])] if lineage.config else []),
        *([Node("golden set", lineage.golden)] if lineage.golden else []),
        _code(lineage.code),
        *([Node("environment", surroundings | {"packages": len(installed)})] if installed else []),
        Node(
            f"run {lineage.run['run']}" if "run" in lineage.run else "run",
            {key: value for key, value in lineage.run.items() if key != "run"},
            [_step(step) for step in lineage.steps],
        ),
    ]


def _code(code: Mapping[str, Any]) -> Node:
    facts = {key: value for key, value in code.items() if key != "packages"}
    packages = code.get("packages", {}).items()
    return Node("code", facts, [Node(f"package {name}", {"sha256": h}) for name, h in packages])


def _step(step: Step) -> Node:
    made = [Node(f"artifact {name}", {"sha256": found}) for name, found in step.outputs.items()]
    return Node(f"step {step.name}", {"from": ", ".join(step.inputs)} if step.inputs else {}, made)


def _of_manifest(bundle: Bundle) -> list[Node]:
    """Return what the manifest alone says: of bundles without a record."""
    manifest = bundle.manifest
    if bundle.is_adapted:
        adaptation = manifest["adaptation"]
        clips = {"training": sum(adaptation["clips"].values())}
        return [
            Node("own clips", {"rows_sha256": adaptation["rows_sha256"]} | clips),
            _code(manifest.get("code", {})),
        ]
    run = manifest.get("zenml", {})
    return [
        Node("corpus", manifest.get("corpus", {})),
        Node("config", {"sha256": manifest.get("config_sha256", "-")}),
        _code(manifest.get("code", {})),
        Node(f"run {run.get('run', '-')}", {key: run[key] for key in run if key != "run"}),
    ]


def _parent(bundle: Bundle) -> Node:
    """Return the bundle that an adapted one was made from, with what was handed down of it."""
    parent, lineage = bundle.manifest["parent"], read_lineage(bundle, PARENT)
    children = _of_lineage(lineage) if lineage else []
    if unknown := missing_of(bundle, lineage, PARENT):
        children.append(Node("missing", {}, [Node(text) for text in unknown]))
    name = f"adapted from bundle {parent['name']}:{parent['version']}"
    return Node(name, {"sha256": parent["sha256"]}, children)
