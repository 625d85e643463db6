"""The first page: choose or record sound, hear it, understand the answer."""

from typing import Any

import streamlit as st

from bonafide.home import home
from serving.app import wording
from serving.app.allowed import Allowed
from serving.app.asked import Asked
from serving.app.choosing import chosen
from serving.app.client import Service, ServiceError
from serving.app.failure import show_failure
from serving.app.history import History, show_history
from serving.app.language import Words
from serving.app.many import judge_all
from serving.app.one import judge

Json = dict[str, Any]


def show_judging(words: Words, allowed: Allowed) -> None:
    """Ask for recordings and show what the service says of them."""
    service = Service.from_environment()
    where = words("page.goes", host=service.host) if service.host else words("page.stays")
    st.markdown(f"{words('page.intro')} {wording.plain(where)}")
    try:
        model = service.model()
    except ServiceError as error:
        show_failure(words, error)
        return
    if wording.is_simulated(model):
        st.warning(words("page.demonstration"), icon=":material/science:")
    history = History(home() / "page")
    asked, recordings = Asked(service, model, history), chosen(words, allowed.files)
    if len(recordings) == 1:
        judge(words, asked, recordings[0])
    elif recordings and (one := judge_all(words, asked, recordings)):
        judge(words, asked, one)
    show_history(words, history)
    _about(words, model)


def _about(words: Words, model: Json) -> None:
    bundle = model["bundle"]
    st.caption(wording.trained_on(words, model))
    with st.expander(words("about.title")):
        for name in ("name", "version", "sha256"):
            st.text(f"{name}: {bundle[name]}")
        card = str(model.get("card", ""))
        st.markdown(wording.brief_card(card))
        if card:
            st.download_button(
                words("about.card"), card, "card.md", "text/markdown", on_click="ignore"
            )
