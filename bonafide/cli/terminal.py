"""Tables and trees in a terminal, or as plain text of any width in a pipe."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.tree import Tree

PIPED_WIDTH = 1_000_000  # for a program that reads the output, nothing is wrapped or cut


def show(content: "RenderableType") -> None:
    """Print what rich can draw, to standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(highlight=False, markup=False, emoji=False, width=width).print(content)


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=1))


def show_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    justify: Literal["left", "right"] = "right",
) -> None:
    """Print a table, its first column aligned left and the others as `justify` says."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify=justify if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    show(table)


def show_records(records: Sequence[Mapping[str, Any]], keys: Sequence[str], as_json: bool) -> None:
    """Print records as JSON, or some of their keys as a table."""
    if as_json:
        show_json(records)
    else:
        rows = [[str(record[key]) for key in keys] for record in records]
        show_table(keys, rows, justify="left")


def show_values(name: str, values: Mapping[str, Any]) -> None:
    """Print nested values as a tree, one ``key: value`` a line."""

    def grow(tree: "Tree", mapping: Mapping[str, Any]) -> "Tree":
        for key, value in mapping.items():
            if isinstance(value, Mapping):
                grow(tree.add(key), value)
            else:
                tree.add(f"{key}: {value}")
        return tree

    from rich.tree import Tree

    show(grow(Tree(name), values))


def show_tree(node: Mapping[str, Any]) -> None:
    """Print a tree of ``{"name", "facts", "children"}``, with the facts in brackets."""

    def label(node: Mapping[str, Any]) -> str:
        facts = ", ".join(f"{key} {value}" for key, value in node.get("facts", {}).items())
        return f"{node['name']} ({facts})" if facts else str(node["name"])

    def grow(tree: "Tree", children: Sequence[Mapping[str, Any]]) -> "Tree":
        for child in children:
            grow(tree.add(label(child)), child.get("children", ()))
        return tree

    from rich.tree import Tree

    show(grow(Tree(label(node)), node.get("children", ())))
