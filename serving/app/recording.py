"""What is judged: the bytes of a file, its name and its kind."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from streamlit.runtime.uploaded_file_manager import UploadedFile


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
