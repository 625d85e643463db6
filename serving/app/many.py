"""Many recordings: a table that fills while they are judged, and its files."""

import io
from collections import Counter
from typing import Any

import streamlit as st

from bonafide.client import ServiceError
from bonafide.scoring import FOOTERS, WRITERS
from serving.app import wording
from serving.app.asked import Asked
from serving.app.charts import chance_cell, chance_column
from serving.app.language import Words
from serving.app.recording import Recording

Json = dict[str, Any]
# So that remarks are read where a window is 1,000 px wide; what is right of them is scrolled to.
NAME_PX, CHANCE_PX, REMARKS_PX = 120, 100, 325
ROW_PX = 80  # four lines; Streamlit wraps text in rows of over 64


def judge_all(words: Words, asked: Asked, recordings: list[Recording]) -> Recording | None:
    """Judge recordings and show a table of them; return the one that is chosen in it, if any."""
    results = _results(words, asked, recordings)
    counts = Counter(result.get("verdict", "error") for result in results)
    named = {"real": "bonafide", "fake": "spoof", "parts": "partly_spoof"}
    named |= {"undecided": "inconclusive", "failed": "error"}
    numbers = {field: counts[verdict] for field, verdict in named.items()}
    st.markdown(words("batch.done", total=len(results), **numbers))
    rows = [_row(words, result) for result in results]
    table = st.dataframe(
        rows,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="table",
        row_height=ROW_PX,
        placeholder="",
        column_config={
            words("batch.file"): st.column_config.TextColumn(width=NAME_PX),
            words("batch.verdict"): st.column_config.TextColumn(width=NAME_PX),
            words("batch.chance"): chance_column(words, words("picture.fake"), CHANCE_PX),
            words("batch.remarks"): st.column_config.TextColumn(width=REMARKS_PX),
            words("batch.seconds"): st.column_config.NumberColumn(format="%.1f"),
        },
    )
    st.caption(words("batch.choose"))
    with st.container(horizontal=True):
        for style, media_type in (("csv", "text/csv"), ("json", "application/json")):
            st.download_button(
                words(f"batch.{style}"),
                _written(style, results),
                f"bonafide.{style}",
                media_type,
                on_click="ignore",
            )
    selected = table.selection.rows
    return recordings[selected[0]] if selected and selected[0] < len(recordings) else None


def _results(words: Words, asked: Asked, recordings: list[Recording]) -> list[Json]:
    progress, results = st.progress(0.0), []
    total = len(recordings)
    for number, recording in enumerate(recordings):
        said = words("batch.progress", done=number + 1, total=total)
        progress.progress(number / total, said)
        try:
            result = asked.detect_among_many(recording)
        except ServiceError as error:
            result = {"error": {"code": error.code, "message": error.message}}
        results.append({"path": recording.name, **result})
    progress.empty()
    return results


def _row(words: Words, result: Json) -> Json:
    """Return a result as a row of the table."""
    failed = result.get("error")
    if failed:
        remarks = [wording.failure(words, ServiceError(failed["code"], failed["message"]))]
    else:
        remarks = [wording.parts(words, result)] if result["parts"] else []
        remarks += [wording.warning(words, caution) for caution in result["warnings"]]
    heard = result.get("channel")
    return {
        words("batch.file"): result["path"],
        words("batch.verdict"): words("batch.failed" if failed else f"verdict.{result['verdict']}"),
        words("batch.chance"): None if failed else chance_cell(result["p_spoof"]),
        words("batch.remarks"): " ".join(remarks),
        words("batch.seconds"): result.get("duration_s"),
        words("batch.channel"): wording.channel_name(words, heard) if heard else "",
    }


def _written(style: str, results: list[Json]) -> str:
    """Return results as `bonafide score` writes them."""
    file = io.StringIO()
    write = WRITERS[style](file)
    for result in results:
        write(result)
    return file.getvalue() + FOOTERS.get(style, "")
