"""A model card, which is in English in every language of the page."""

import streamlit as st

from serving.app import wording
from serving.app.language import Words


def show_card(words: Words, card: str) -> None:
    """Show a card without its tables, and offer all of it.

    Parameters
    ----------
    words : Words
    card : str
        Markdown; empty where there is none.
    """
    with st.container(key="card"):  # from left to right, by the style of `serving.app.page`
        st.markdown(wording.brief_card(card))
    if card:
        st.download_button(words("about.card"), card, "card.md", "text/markdown", on_click="ignore")
