"""What is judged: a file that was chosen, a recording of the microphone, or an example."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from serving.app.examples import EXAMPLES, example
from serving.app.language import Words

SOURCE = "source"  # of what was chosen last, in the state of a visit


@dataclass(frozen=True)
class Recording:
    """A recording.

    Parameters
    ----------
    name : str
        Of its file.
    content : bytes
        The file.
    media_type : str
        As its browser names it, which may be wrong; may be empty.
    """

    name: str
    content: bytes
    media_type: str

    @classmethod
    def of(cls, upload: UploadedFile) -> "Recording":
        """Return what was uploaded, or recorded by the microphone."""
        return cls(upload.name, upload.getvalue(), upload.type or "")

    @cached_property
    def sha256(self) -> str:
        """The hash of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def played_as(self) -> str:
        """The media type to play it as: never one that would be shown as a page."""
        return self.media_type if self.media_type.startswith(("audio/", "video/")) else "audio/wav"


def _choose(source: str) -> None:
    st.session_state[SOURCE] = source


def chosen(words: Words) -> list[Recording]:
    """Ask for recordings; return those of the kind that was chosen last."""
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
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words("page.example"))
        for name in EXAMPLES:
            label = words(f"page.example_{name}")
            st.button(label, key=name, on_click=_choose, args=(name,), type="tertiary")
    source = st.session_state.get(SOURCE)
    if source in EXAMPLES:
        return [Recording(f"{source}.flac", example(source), "audio/flac")]
    uploads = files if source == "files" else [spoken] if spoken else []
    return [Recording.of(upload) for upload in uploads]
