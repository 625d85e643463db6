"""What was judged on this machine: names, hashes and answers, never sound."""

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import streamlit as st
from pydantic import AwareDatetime, BaseModel, Field

from bonafide.detection import Verdict
from serving.app import wording
from serving.app.charts import chance_cell, chance_column
from serving.app.language import Words
from serving.app.recording import Recording

Json = dict[str, Any]
MOST = 1000  # answers that are shown, the newest first


class _Heard(BaseModel):
    name: str
    label: str


class _Bundle(BaseModel):
    name: str
    version: str


class Entry(BaseModel):
    """What the table shows of an answer; its line holds more."""

    at: AwareDatetime
    name: str
    channel: _Heard | None
    verdict: Verdict
    p_spoof: Annotated[float, Field(ge=0, le=1)]
    bundle: _Bundle


class History:
    """A file of answers, one JSON object a line, and whether it is kept.

    Only who runs the page may read what it makes: names of files tell of people.

    Parameters
    ----------
    folder : Path
        Where it lies; created with the first answer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file, self._off = folder / "history.jsonl", folder / "history.off"

    @property
    def is_on(self) -> bool:
        """Whether answers are kept."""
        return not self._off.exists()

    @property
    def is_there(self) -> bool:
        """Whether there is anything to delete, readable or not."""
        return self._file.exists()

    def switch(self, *, on: bool) -> None:
        """Keep answers from now on, or no longer; what is there stays."""
        if on:
            self._off.unlink(missing_ok=True)
        else:
            self._make_folder()
            self._off.touch()

    def add(self, recording: Recording, result: Json) -> None:
        """Keep an answer, if answers are kept."""
        if not self.is_on:
            return
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "name": recording.name,
            "sha256": recording.sha256,
            "channel": result.get("channel"),
            **{name: result[name] for name in ("verdict", "p_spoof", "llr", "bundle")},
        }
        self._make_folder()
        file = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(file, "ab") as lines:  # noqa: PTH123  # a descriptor
            os.fchmod(file, 0o600)  # it may have been there, open to others
            lines.write(json.dumps(entry).encode() + b"\n")

    def read(self) -> tuple[list[Entry], int]:
        """Return what is kept, the newest first, and how many lines are no entries."""
        if not self.is_there:
            return [], 0
        entries, lines = [], self._file.read_bytes().splitlines()
        for line in reversed(lines):
            with contextlib.suppress(ValueError):  # counted below; pydantic's is one
                entries.append(Entry.model_validate_json(line))
        return entries, len(lines) - len(entries)

    def clear(self) -> None:
        """Delete what is kept."""
        self._file.unlink(missing_ok=True)

    def _make_folder(self) -> None:
        for folder in (self._folder.parent, self._folder):  # one that is there stays as it is
            folder.mkdir(0o700, parents=True, exist_ok=True)


def show_history(words: Words, history: History) -> None:
    """Show what is kept, with its switch and a way to delete it."""
    with st.expander(words("history.title")):
        st.caption(words("history.caption"))
        on = st.toggle(words("history.keep"), history.is_on, key="history")
        if on != history.is_on:
            history.switch(on=on)
        kept = st.container()
        if history.is_there:  # before the table, which nothing may keep from being deleted
            st.button(words("history.delete"), on_click=history.clear, icon=":material/delete:")
        with kept:
            _show_kept(words, history)


def _show_kept(words: Words, history: History) -> None:
    entries, unreadable = history.read()
    if unreadable:
        st.caption(words("history.unreadable", n=unreadable))
    if not entries:
        st.markdown(words("history.none"))
        return
    st.dataframe(
        [_row(words, entry) for entry in entries[:MOST]],
        hide_index=True,
        column_config={
            words("history.when"): st.column_config.DatetimeColumn(),
            words("batch.chance"): chance_column(words),
        },
    )


def _row(words: Words, entry: Entry) -> Json:
    heard, bundle = entry.channel, entry.bundle
    return {
        words("history.when"): entry.at,
        words("batch.file"): entry.name,
        words("batch.verdict"): words(f"verdict.{entry.verdict}"),
        words("batch.chance"): chance_cell(entry.p_spoof),
        words("batch.channel"): wording.channel_name(words, heard.model_dump()) if heard else "",
        words("history.detector"): f"{bundle.name}:{bundle.version}",
    }
