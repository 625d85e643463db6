"""What a bundle was made from."""

import streamlit as st

from bonafide.bundle import Bundle
from bonafide.errors import BundleError
from bonafide.home import home
from bonafide.lineage.graph import graph_of
from bonafide.lineage.page import lineage_graph, lineage_page, lineage_tree
from bonafide.lineage.trained_on import TrainedOn
from bonafide.lineage.tree import bundle_tree
from bonafide.registry import registry_of
from bonafide.registry.listing import listed, reference
from serving.app import wording
from serving.app.keeper.choice import choose_bundle, full_name
from serving.app.keeper.picture import show_picture
from serving.app.language import Words

LEAST_PX = 992  # that the graph's text can be read


def show_lineage(words: Words) -> None:
    """Show the graph of a bundle, what it was trained on, and all else that is known."""
    registry = registry_of(home())
    st.markdown(words("lineage.intro"))
    chosen = choose_bundle(words, listed(registry))
    bundle = registry.read(reference(chosen))
    st.markdown(wording.plain(_heard(words, bundle)))
    tree, drawing = bundle_tree(bundle), graph_of(bundle)
    title = words("lineage.of", bundle=full_name(chosen))
    show_picture(lineage_graph(title, drawing), title, drawing.width, min(drawing.width, LEAST_PX))
    st.caption(words("lineage.caption"))
    st.subheader(words("lineage.all"), anchor=False)
    st.html(f'<div dir="ltr">{lineage_tree(tree)}</div>')  # hashes and names, in every language
    st.download_button(
        words("lineage.save"),
        lineage_page(tree, drawing),
        "lineage-{name}-{version}.html".format(**bundle.identity),
        "text/html",
        on_click="ignore",
    )


def _heard(words: Words, bundle: Bundle) -> str:
    """Return what a bundle learned from, in numbers, or why that is not known."""
    try:
        heard = TrainedOn.of_bundle(bundle)
    except BundleError as error:
        return words("lineage.not_known", why=words.foreign(error.message))
    counts = {name: len(getattr(heard, name)) for name in ("sounds", "sources", "speakers")}
    return words("lineage.heard", **counts)
