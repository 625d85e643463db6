"""A recording beside known genuine ones of the same speaker and channel."""

from typing import Any

import altair as alt
import streamlit as st

from bonafide.client import ServiceError
from serving.app.asked import Asked
from serving.app.charts import finished
from serving.app.failure import show_failure
from serving.app.language import Words
from serving.app.palette import FAKE, REAL
from serving.app.recording import Recording

Json = dict[str, Any]
FEWEST = 5  # known recordings that say anything about what is usual


def show_comparison(words: Words, asked: Asked, recording: Recording, result: Json) -> None:
    """Ask for known recordings and show how this one's score lies among theirs."""
    with st.expander(words("compare.title")):
        st.caption(words("compare.caption"))
        files = st.file_uploader(
            words("compare.files"),
            accept_multiple_files=True,
            key=f"known-{recording.sha256}",
        )
        if not files:
            return
        known = _known(words, asked, [Recording.of(file) for file in files])
        if len(known) < FEWEST:
            st.markdown(words("compare.few", n=len(known), fewest=FEWEST))
            return
        more = sum(llr <= result["llr"] for _, llr in known)
        st.markdown(words("compare.lies", n=len(known), more=more))
        st.altair_chart(_chart(words, recording, result, known), width="stretch")


def _known(words: Words, asked: Asked, recordings: list[Recording]) -> list[tuple[str, float]]:
    """Return names and scores of known recordings; say which could not be judged."""
    known = []
    for number, recording in enumerate(recordings):
        try:
            known.append((recording.name, asked.detect_among_many(recording)["llr"]))
        except ServiceError as error:
            st.text(recording.name)
            show_failure(words, error, f"known-{number}")
    return known


def _chart(words: Words, recording: Recording, result: Json, known: list[tuple[str, float]]) -> Any:
    ours, theirs = words("compare.this"), words("compare.known")
    rows = [{"name": name, "llr": llr, "kind": theirs} for name, llr in known]
    rows.append({"name": recording.name, "llr": result["llr"], "kind": ours})
    scale = alt.Scale(domain=[theirs, ours], range=[REAL, FAKE])
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_tick(thickness=3, bandSize=28)
        .encode(
            x=alt.X("llr:Q", title=words.drawn(words("compare.score"))),
            y=alt.Y("kind:N", title=None, sort=[theirs, ours], axis=alt.Axis(labelLimit=160)),
            color=alt.Color("kind:N", scale=scale, legend=None),
            tooltip=[alt.Tooltip("name:N", title=words("batch.file")), "llr:Q"],
        )
    )
    return finished(chart, 120, words("compare.title"))
