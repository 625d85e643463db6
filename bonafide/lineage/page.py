"""The page of a lineage: its graph, and the tree with every fact."""

from bonafide.evaluation.report import render
from bonafide.lineage.graph import HEIGHT, WIDTH, Drawing
from bonafide.lineage.tree import Node

BOX = {"width": WIDTH, "height": HEIGHT}


def lineage_page(tree: Node, drawing: Drawing) -> str:
    """Return the page.

    Parameters
    ----------
    tree : Node
        From a bundle back, or forward to bundles.
    drawing : Drawing
        Its graph.

    Returns
    -------
    str
        HTML without scripts.
    """
    title = f"Lineage of {tree.name}"
    return render("lineage.html.j2", title=title, tree=tree, drawing=drawing, box=BOX)


def lineage_graph(title: str, drawing: Drawing) -> str:
    """Return the graph alone, for another page.

    Parameters
    ----------
    title : str
        What a screen reader says of it.
    drawing : Drawing
        The graph.

    Returns
    -------
    str
        An ``<svg>`` element, every name escaped.
    """
    return render("lineage_graph.html.j2", title=title, drawing=drawing, box=BOX)


def lineage_tree(tree: Node) -> str:
    """Return the tree alone, as nested lists of HTML, every name escaped."""
    return render("lineage_tree.html.j2", tree=tree)
