"""What schedules did on this machine."""

from pathlib import Path
from typing import Any

import streamlit as st

from bonafide.history import Entry, read_history
from bonafide.home import home
from serving.app.keeper.choice import minute
from serving.app.language import Words


def show_runs(words: Words) -> None:
    """Show every run, and every night without one, the newest first."""
    st.markdown(words("runs.intro"))
    runs = read_history(home())
    if not runs:
        st.info(words("runs.none"), icon=":material/info:")
        return
    st.dataframe([_row(words, run) for run in reversed(runs)], hide_index=True)


def _row(words: Words, run: Entry) -> dict[str, Any]:
    return {
        words("runs.started"): minute(run["started"]),
        words("runs.status"): words(f"runs.status_{run['status']}"),
        words("models.bundle"): run["version"],
        words("models.error"): words.interval(run["eer"]) if run["eer"] else "",
        words("runs.why"): run["why"],
        words("runs.reason"): run["reason"],
        words("runs.ended"): minute(run["ended"]),
        words("runs.log"): Path(run["log"]).name,
    }
