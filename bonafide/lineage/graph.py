"""The graph of a run, laid out in layers: each step below those that it took artifacts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from bonafide.bundle import PARENT, Bundle
from bonafide.lineage.record import Lineage, read_lineage
from bonafide.lineage.tree import Node, full_name

WIDTH, HEIGHT, GAP_X, GAP_Y = 150, 46, 18, 34  # of a box and between boxes, in pixels
DIGITS = 8


@dataclass(frozen=True)
class Box:
    """A node of the graph and where it stands; `x` and `y` of its upper left corner, in pixels."""

    name: str
    note: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """Boxes, curves from the lower edge of one box to the upper edge of another, and the size."""

    boxes: list[Box]
    curves: list[str]
    width: float
    height: float


def graph_of(bundle: Bundle) -> Drawing:
    """Return the graph from the corpus over the steps to a bundle.

    Parameters
    ----------
    bundle : Bundle
        An adapted one hangs on its clips and on its parent, with the steps of that.

    Returns
    -------
    Drawing
    """
    notes: dict[str, str] = {}
    takes: dict[str, set[str]] = {}
    end = f"bundle {full_name(bundle)}"
    lineage = read_lineage(bundle)
    if bundle.is_adapted:
        parent = (
            f"bundle {bundle.manifest['parent']['name']}:{bundle.manifest['parent']['version']}"
        )
        notes["own clips"] = bundle.manifest["adaptation"]["rows_sha256"][:DIGITS]
        _add_run(read_lineage(bundle, PARENT), parent, notes, takes)
        takes[end] = {"own clips", parent}
        notes[parent] = bundle.manifest["parent"]["sha256"][:DIGITS]
    else:
        _add_run(lineage, end, notes, takes)
    notes[end] = bundle.manifest["sha256"][:DIGITS]
    return lay_out(notes, takes)


def _add_run(
    lineage: Lineage | None, end: str, notes: dict[str, str], takes: dict[str, set[str]]
) -> None:
    """Add the steps of a run between its corpus and its bundle."""
    steps = lineage.steps if lineage else []
    makers: dict[str, set[str]] = {}
    for step in steps:
        for artifact in step.outputs:
            makers.setdefault(artifact, set()).add(step.name)
    notes["corpus"] = lineage.corpus["rows_sha256"][:DIGITS] if lineage else ""
    for step in steps:
        notes[step.name] = ", ".join(f"{name} {h[:DIGITS]}" for name, h in step.outputs.items())
        takes[step.name] = {maker for name in step.inputs for maker in makers.get(name, ())}
        takes[step.name] -= {step.name}
        takes[step.name] = takes[step.name] or {"corpus"}
    taken = {name for several in takes.values() for name in several}
    takes[end] = {step.name for step in steps if step.name not in taken} or {"corpus"}


def tree_graph(tree: Node) -> Drawing:
    """Return the graph of a tree that goes forward: its root above what was made of it."""
    children = [child.name for child in tree.children if child.name != "missing"]
    notes = {tree.name: ""} | {
        child.name: str(child.facts.get("sha256", ""))[:DIGITS] for child in tree.children
    }
    notes.pop("missing", None)
    return lay_out(notes, {name: {tree.name} for name in children})


def lay_out(notes: Mapping[str, str], takes: Mapping[str, set[str]]) -> Drawing:
    """Put each node below all that it takes from, and leave out what comes through another.

    Parameters
    ----------
    notes : mapping of str to str
        Node -> what to write below its name.
    takes : mapping of str to set of str
        Node -> those that it takes from; no node goes back to itself.

    Returns
    -------
    Drawing
    """
    above: dict[str, set[str]] = {}
    layer: dict[str, int] = {}
    for name in TopologicalSorter({name: takes.get(name, set()) for name in notes}).static_order():
        direct = takes.get(name, set())
        above[name] = direct.union(*(above[each] for each in direct))
        layer[name] = 1 + max((layer[each] for each in direct), default=-1)
    drawn = {
        name: direct - set().union(*(above[each] for each in direct))
        for name, direct in takes.items()
    }
    layers: list[list[str]] = [[] for _ in range(1 + max(layer.values()))]
    for name in notes:
        layers[layer[name]].append(name)
    boxes = _boxes(layers, notes, drawn)
    curves = [
        _curve(boxes[start], boxes[end])
        for end, starts in drawn.items()
        for start in sorted(starts)
    ]
    width = max(len(each) for each in layers) * (WIDTH + GAP_X) - GAP_X
    return Drawing(list(boxes.values()), curves, width, len(layers) * (HEIGHT + GAP_Y) - GAP_Y)


def _boxes(
    layers: Sequence[list[str]], notes: Mapping[str, str], drawn: Mapping[str, set[str]]
) -> dict[str, Box]:
    """Place each layer centred, its boxes in the order of what is above them."""
    widest = max(len(each) for each in layers) * (WIDTH + GAP_X) - GAP_X
    boxes: dict[str, Box] = {}
    for depth, names in enumerate(layers):
        middle = {
            name: sum(boxes[each].x for each in drawn.get(name, ()))
            / max(1, len(drawn.get(name, ())))
            for name in names
        }
        left = (widest - len(names) * (WIDTH + GAP_X) + GAP_X) / 2
        for place, name in enumerate(sorted(names, key=lambda each: middle[each])):
            x, y = left + place * (WIDTH + GAP_X), depth * (HEIGHT + GAP_Y)
            boxes[name] = Box(name, notes[name], x, y)
    return boxes


def _curve(start: Box, end: Box) -> str:
    """Return the path of a line from the lower edge of a box to the upper edge of another."""
    x, y = start.x + WIDTH / 2, start.y + HEIGHT
    to_x, to_y = end.x + WIDTH / 2, end.y
    bend = (to_y - y) / 2
    return f"M{x:g} {y:g}C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y:g}"
