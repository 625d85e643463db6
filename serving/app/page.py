"""The Streamlit script: choose or record sound, hear it, understand the answer."""

from typing import Any

import streamlit as st

from bonafide.home import home
from serving.app import wording
from serving.app.asked import Asked
from serving.app.client import Service, ServiceError
from serving.app.failure import show_failure
from serving.app.history import History, show_history
from serving.app.language import LANGUAGES, Words, best, words_in
from serving.app.many import judge_all
from serving.app.one import judge
from serving.app.palette import icon
from serving.app.recording import chosen

Json = dict[str, Any]
LANGUAGE = "lang"  # in the page's address


def _language() -> Words:
    """Return the words of the language that is chosen, or that the browser asks for."""
    asked = best(st.query_params.get(LANGUAGE) or st.context.locale)
    chosen = st.session_state.get("language", asked)
    words = words_in(chosen)
    # Screen readers go by these; Streamlit leaves them as they are.
    st.html(
        f"<script>document.documentElement.lang = '{chosen}';"
        f"document.documentElement.dir = '{words.direction}'</script>"
        "<style>[data-testid=stVegaLiteChart], audio {direction: ltr}"
        "[data-testid=stCaptionContainer] {color: inherit; opacity: .85}</style>",
        unsafe_allow_javascript=True,
    )
    return words


def _choose_language(words: Words) -> None:
    st.selectbox(
        words("language.choose"),
        LANGUAGES,
        LANGUAGES.index(words.language),
        format_func=lambda language: words_in(language)("language.name"),
        key="language",
        label_visibility="collapsed",
    )


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


def main() -> None:
    """Lay out the page."""
    st.set_page_config(page_title="Bonafide", page_icon=icon())
    words = _language()
    title, language = st.columns([4, 1], vertical_alignment="bottom")
    title.title(words("page.title"), anchor=False)
    with language:
        _choose_language(words)
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
    asked, recordings = Asked(service, model, history), chosen(words)
    if len(recordings) == 1:
        judge(words, asked, recordings[0])
    elif recordings and (one := judge_all(words, asked, recordings)):
        judge(words, asked, one)
    show_history(words, history)
    _about(words, model)


main()
