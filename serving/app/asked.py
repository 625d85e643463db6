"""The service's answers, kept while the page runs, by the hash of the recording and the bundle."""

import time
from typing import Any

import streamlit as st

from bonafide.client import ServiceError
from bonafide.drawing import Drawing, DrawingError, draw
from bonafide.report import track_drawn
from serving.app.client import Service
from serving.app.history import History
from serving.app.recording import Recording

Json = dict[str, Any]
KEPT_RESULTS, KEPT_DRAWINGS = 1024, 16
KEPT = "kept"  # hashes of the recordings and bundles whose answers are in the history
ATTEMPTS = 30  # of a recording among many, while the service is busy


# A name that starts with an underscore is not hashed.
@st.cache_data(max_entries=KEPT_RESULTS, show_spinner=False)
def _detect(sha256: str, bundle: str, _service: Service, _content: bytes) -> Json:
    return _service.detect(_content, bundle)


@st.cache_data(max_entries=KEPT_RESULTS, show_spinner=False)
def _explain(sha256: str, bundle: str, _service: Service, _content: bytes) -> Json:
    return dict(_service.explain(_content, bundle)["explanation"])


@st.cache_data(max_entries=KEPT_RESULTS, show_spinner=False)
def _provenance(sha256: str, _service: Service, _content: bytes) -> Json:
    return _service.provenance(_content)


@st.cache_data(max_entries=KEPT_DRAWINGS, show_spinner=False)
def _draw(sha256: str, track: int | None, channel: int | None, _content: bytes) -> Drawing | None:
    try:
        return draw(_content, track, channel)
    except DrawingError:
        return None


class Asked:
    """A service and its bundle, which alone answers; each question is asked once a recording.

    Every question raises `ServiceError`: what the service answers with.

    Parameters
    ----------
    service : Service
    model : dict
        What `Service.model` returns.
    history : History
        Keeps each answer once a visit.
    """

    def __init__(self, service: Service, model: Json, history: History) -> None:
        self.service, self.model, self._history = service, model, history
        self._bundle = model["bundle"]["sha256"]

    def detect(self, recording: Recording) -> Json:
        """Return the result of ``/v1/detect``."""
        result = _detect(recording.sha256, self._bundle, self.service, recording.content)
        kept = st.session_state.setdefault(KEPT, set())
        if (told := (recording.sha256, self._bundle)) not in kept:
            kept.add(told)
            self._history.add(recording, result)
        return result

    def detect_among_many(self, recording: Recording) -> Json:
        """Return the result of ``/v1/detect``; wait where the service is busy."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self.detect(recording)
            except ServiceError as error:
                if not error.retry_after_s:
                    raise
                time.sleep(error.retry_after_s)
        return self.detect(recording)

    def explain(self, recording: Recording) -> Json:
        """Return the ``explanation`` of ``/v1/explain``."""
        return _explain(recording.sha256, self._bundle, self.service, recording.content)

    def provenance(self, recording: Recording) -> Json:
        """Return the answer of ``/v1/provenance``."""
        return _provenance(recording.sha256, self.service, recording.content)

    def draw(self, recording: Recording, result: Json | None) -> Drawing | None:
        """Return what is drawn: of several tracks the one that counts; None for nothing."""
        track, channel = track_drawn(result) if result else (None, None)
        return _draw(recording.sha256, track, channel, recording.content)
