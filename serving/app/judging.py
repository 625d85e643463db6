"""The first page: choose or record sound, hear it, understand the answer."""

from typing import Any

import streamlit as st

from bonafide.client import ServiceError
from bonafide.home import home
from serving.app import wording
from serving.app.allowed import Allowed
from serving.app.asked import Asked
from serving.app.card import show_card
from serving.app.choosing import chosen
from serving.app.client import Service
from serving.app.failure import show_failure
from serving.app.history import History, show_history
from serving.app.language import Words
from serving.app.many import judge_all
from serving.app.one import judge

Json = dict[str, Any]
MODEL = "model"  # what the service decides with, in the state of a visit


def show_judging(words: Words, allowed: Allowed) -> None:
    """Ask for recordings and show what the service says of them."""
    service = Service.from_environment()
    where = words("page.goes", host=service.host) if service.host else words("page.stays")
    st.markdown(f"{words('page.intro')} {wording.plain(where)}")
    model = _model(words, service)
    if model and wording.is_simulated(model):
        st.warning(words("page.demonstration"), icon=":material/science:")
    recordings = chosen(words, allowed.files)  # always, as what is not drawn loses its files
    if model is None:
        return
    history = History(home() / "page")
    asked = Asked(service, model, history)
    if len(recordings) == 1:
        judge(words, asked, recordings[0])
    elif recordings and (one := judge_all(words, asked, recordings)):
        judge(words, asked, one)
    show_history(words, history)
    _about(words, model)


def _model(words: Words, service: Service) -> Json | None:
    """Return what the service decides with: where it fails, what it said before in this visit."""
    try:
        st.session_state[MODEL] = service.model()
    except ServiceError as error:
        show_failure(words, error, "model")
    kept: Json | None = st.session_state.get(MODEL)
    return kept


def _about(words: Words, model: Json) -> None:
    bundle = model["bundle"]
    st.caption(wording.trained_on(words, model))
    with st.expander(words("about.title")):
        for name in ("name", "version", "sha256"):
            st.text(f"{name}: {bundle[name]}")
        show_card(words, str(model.get("card", "")))
