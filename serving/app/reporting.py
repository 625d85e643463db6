"""The report of a recording, to be saved."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from bonafide.client import ServiceError
from bonafide.errors import ConfigError
from bonafide.report import printer, render
from serving.app import wording
from serving.app.asked import Asked
from serving.app.failure import show_failure
from serving.app.language import Words
from serving.app.recording import Recording

Json = dict[str, Any]
MADE = "reported-"  # and a hash: that report was asked for, in a visit's state


def show_report(words: Words, asked: Asked, recording: Recording, result: Json) -> None:
    """Make the report where it is asked for, and offer it as HTML and, with its extra, as PDF."""
    st.subheader(words("report.title"), anchor=False)
    st.caption(words("report.caption"))
    if (made := f"{MADE}{recording.sha256}") not in st.session_state:
        asked_for = {made: True}
        st.button(words("report.make"), on_click=st.session_state.update, args=(asked_for,))
        return
    try:
        with st.spinner(words("why.asking"), show_time=True):
            page = _page(asked, recording, result)
    except ServiceError as error:
        show_failure(words, error, "report")
        return
    with st.container(horizontal=True):
        _offer(words, recording, "html", "text/html", page)
        try:
            to_pdf = printer()
            _offer(words, recording, "pdf", "application/pdf", lambda: to_pdf(page()))
        except ConfigError as error:  # it needs an extra, and Pango
            st.caption(words.foreign(f"PDF: {wording.plain(error.message)}"))


def _offer(
    words: Words,
    recording: Recording,
    kind: str,
    media_type: str,
    content: Callable[[], str | bytes],
) -> None:
    st.download_button(
        words("report.download", kind=kind.upper()),
        content,
        f"bonafide-{recording.sha256[:8]}.{kind}",
        media_type,
        on_click="ignore",
    )


def _page(asked: Asked, recording: Recording, result: Json) -> Callable[[], str]:
    """Return what makes the page, from answers that are there: it is made where it is saved."""
    return partial(
        render,
        result={**result, "explanation": asked.explain(recording)},
        model=asked.model,
        origin=asked.provenance(recording),
        drawing=asked.draw(recording, result),
        sha256=recording.sha256,
        name=recording.name,
        size_bytes=len(recording.content),
    )
