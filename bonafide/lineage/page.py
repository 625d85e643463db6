"""The page of a lineage: its graph, and the tree with every fact."""

from bonafide.evaluation.report import render
from bonafide.lineage.graph import HEIGHT, WIDTH, Drawing
from bonafide.lineage.tree import Node


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
    return render(
        "lineage.html.j2",
        title=f"Lineage of {tree.name}",
        tree=tree,
        drawing=drawing,
        box={"width": WIDTH, "height": HEIGHT},
    )
