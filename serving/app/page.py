"""The Streamlit script: the language, and the pages that there are."""

from functools import partial

import streamlit as st

from serving.app.allowed import Allowed
from serving.app.judging import show_judging
from serving.app.keeper import KEEPER, show_keeper
from serving.app.language import LANGUAGES, Words, best, words_in
from serving.app.palette import icon

NARROW, WIDE = "46rem", "72rem"  # to read, and for tables
LANGUAGE = "lang"  # in the page's address


def _language() -> Words:
    """Return the words of the language that is chosen, or that the browser asks for."""
    asked = best(st.query_params.get(LANGUAGE) or st.context.locale)
    words = words_in(st.session_state.get("language", asked))
    if words.language != asked:  # so that it stays when the page is loaded again
        st.query_params[LANGUAGE] = words.language
    return words


def _prepare(words: Words, *, wide: bool) -> None:
    """Tell the browser the language, and set what Streamlit has no setting for."""
    st.html(
        # Screen readers go by these; Streamlit leaves them as they are.
        f"<script>document.documentElement.lang = '{words.language}';"
        f"document.documentElement.dir = '{words.direction}'</script>"
        "<style>[data-testid=stVegaLiteChart], audio {direction: ltr}"
        "[data-testid=stCaptionContainer] {color: inherit; opacity: .85}"
        ".st-key-card {direction: ltr}"  # in English
        "[data-testid=stText] {unicode-bidi: plaintext; text-align: start}"  # of files
        "[data-testid=stSidebar][data-collapsed=true] {visibility: hidden}"  # right to left, too
        "[dir=rtl] :is([data-testid=stElementContainer], [data-testid=stHeading],"
        "[data-testid=stMarkdown]) {text-align: start}"
        "[data-testid=stMainBlockContainer] {padding-top: 4.5rem;"
        f"max-width: {WIDE if wide else NARROW}}}</style>",
        unsafe_allow_javascript=True,
    )


def _choose_language(words: Words) -> None:
    st.selectbox(
        words("language.choose"),
        LANGUAGES,
        LANGUAGES.index(words.language),
        format_func=lambda language: words_in(language)("language.name"),
        key="language",
        label_visibility="collapsed",
    )


def _pages(words: Words, allowed: Allowed) -> dict[str, partial[None]]:
    """Return what shows each page, by the end of its address."""
    pages = {"": partial(show_judging, words, allowed)}
    if allowed.own:  # what answers elsewhere is not what this machine's home knows of
        pages |= {name: partial(show_keeper, name, words, allowed) for name in KEEPER}
    return pages


def main() -> None:
    """Lay out the page that is asked for."""
    words, allowed = _language(), Allowed.from_environment()
    page = st.navigation(
        [
            # Without icons of their own: browsers would fetch them from elsewhere.
            st.Page(show, title=words(f"{name or 'page'}.short"), url_path=name, default=not name)
            for name, show in _pages(words, allowed).items()
        ],
        position="top",
    )
    st.set_page_config(f"{page.title} · Bonafide", icon())
    _prepare(words, wide=bool(page.url_path))
    title, language = st.columns([4, 1], vertical_alignment="bottom")
    title.title(words(f"{page.url_path or 'page'}.title"), anchor=False)
    with language:
        _choose_language(words)
    page.run()


main()
