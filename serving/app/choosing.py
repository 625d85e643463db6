"""Where recordings come from: files, the microphone, a path on this machine, or examples."""

import mimetypes
from pathlib import Path

import streamlit as st

from bonafide.errors import BonafideError
from serving.app.examples import EXAMPLES, example
from serving.app.failure import show_refusal
from serving.app.language import Words
from serving.app.recording import Recording
from serving.local import read_local

SOURCE = "source"  # of what was chosen last, in the state of a visit


def _choose(source: str) -> None:
    st.session_state[SOURCE] = source


def chosen(words: Words, folder: Path | None) -> list[Recording]:
    """Ask for recordings; return those of the kind that was chosen last.

    Parameters
    ----------
    words : Words
    folder : Path or None
        Where files may be named by their paths; None for nowhere.
    """
    files = st.file_uploader(
        words("page.files"),
        accept_multiple_files=True,
        key="files",
        on_change=_choose,
        args=("files",),
    )
    spoken = st.audio_input(
        words("page.microphone"),
        sample_rate=None,  # as the browser records it
        key="microphone",
        on_change=_choose,
        args=("microphone",),
    )
    named = _ask_path(words, folder) if folder else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words("page.example"))
        for name in EXAMPLES:
            label = words(f"page.example_{name}")
            st.button(label, key=name, on_click=_choose, args=(name,), type="tertiary")
    source = st.session_state.get(SOURCE)
    if source in EXAMPLES:
        return [Recording(f"{source}.flac", example(source), "audio/flac")]
    if source == "path":
        return _named(words, folder, named) if folder and named else []
    uploads = files if source == "files" else [spoken] if spoken else []
    return [Recording.of(upload) for upload in uploads]


def _ask_path(words: Words, folder: Path) -> str:
    named = st.text_input(
        words("page.path"),
        placeholder=str(folder),
        key="path",
        on_change=_choose,
        args=("path",),
    )
    return named.strip()


def _named(words: Words, folder: Path, named: str) -> list[Recording]:
    """Return the file that is named, within the limit of an upload; say why there is none."""
    try:
        most_bytes = st.get_option("server.maxUploadSize") * 2**20
        name, content = read_local(folder, named, most_bytes)
    except BonafideError as error:
        show_refusal(words(f"error.{error.code}"), error)
        return []
    return [Recording(name, content, mimetypes.guess_type(name)[0] or "")]
