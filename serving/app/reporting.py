"""The report of a recording, to be saved."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from bonafide.errors import ConfigError
from bonafide.report import printer, render
from serving.app import wording
from serving.app.asked import Asked
from serving.app.client import ServiceError
from serving.app.failure import show_failure
from serving.app.language import Words
from serving.app.recording import Recording

Json = dict[str, Any]
MADE = "reported"  # hashes of the recordings whose reports were asked for, in a visit's state


def _make(sha256: str) -> None:
    st.session_state[MADE] = {*st.session_state.get(MADE, ()), sha256}


def show_report(words: Words, asked: Asked, recording: Recording, result: Json) -> None:
    """Make the report where it is asked for, and offer it as HTML and, with its extra, as PDF."""
    st.subheader(words("report.title"), anchor=False)
    st.caption(words("report.caption"))
    sha256 = recording.sha256
    if sha256 not in st.session_state.get(MADE, ()):
        st.button(words("report.make"), key=f"report-{sha256}", on_click=_make, args=(sha256,))
        return
    try:
        with st.spinner(words("why.asking"), show_time=True):
            page = _page(asked, recording, result)
    except ServiceError as error:
        show_failure(words, error)
        return
    with st.container(horizontal=True):
        _offer(words, recording, "html", "text/html", page)
        try:
            _offer(words, recording, "pdf", "application/pdf", partial(printer(), page))
        except ConfigError as error:  # it needs an extra, and Pango
            st.caption(f"PDF: {wording.plain(error.message)}")


def _offer(
    words: Words,
    recording: Recording,
    kind: str,
    media_type: str,
    content: str | Callable[[], bytes],
) -> None:
    st.download_button(
        words("report.download", kind=kind.upper()),
        content,
        f"bonafide-{recording.sha256[:8]}.{kind}",
        media_type,
        on_click="ignore",
    )


def _page(asked: Asked, recording: Recording, result: Json) -> str:
    return render(
        result={**result, "explanation": asked.explain(recording)},
        model=asked.model,
        origin=asked.provenance(recording),
        drawing=asked.draw(recording, result),
        sha256=recording.sha256,
        name=recording.name,
        size_bytes=len(recording.content),
    )
