"""The Streamlit script: upload a recording, hear it, understand the answer."""

import hashlib
from typing import Any

import streamlit as st

from bonafide.drawing import Drawing, DrawingError, draw
from bonafide.words import channel_in_words
from serving.app import charts, wording
from serving.app.client import Service, ServiceError
from serving.app.palette import icon
from serving.app.verdict import bar, headline

Json = dict[str, Any]
KEPT_RESULTS, KEPT_DRAWINGS = 64, 16


# Kept by the hash of the content: a name that starts with an underscore is not hashed.
@st.cache_data(max_entries=KEPT_RESULTS, show_spinner=False)
def _detect(sha256: str, bundle: str, _service: Service, _content: bytes) -> Json:
    return _service.detect(_content)


@st.cache_data(max_entries=KEPT_DRAWINGS, show_spinner=False)
def _draw(sha256: str, track: int | None, channel: int | None, _content: bytes) -> Drawing | None:
    try:
        return draw(_content, track, channel)
    except DrawingError:
        return None


def _show_failure(error: ServiceError) -> None:
    st.error(wording.plain(wording.failure(error)), icon=":material/error:")
    if error.retry_after_s or error.code in ("unreachable", "not_ready", "upload_too_slow"):
        st.button("Try again", icon=":material/refresh:")


def _note(model: Json) -> None:
    """Say, before anything else, if the detector is a demonstration."""
    if wording.is_simulated(model):
        st.warning(
            "**Demonstration only.** This detector was trained on simulated sounds, not on real "
            "voices: its verdicts show how the page works and say nothing about a recording.",
            icon=":material/science:",
        )


def _show_verdict(result: Json, model: Json) -> None:
    thresholds = model["thresholds"]
    unknown = wording.is_unknown(result)
    if result["verdict"] == "partly_spoof" or unknown:
        st.html(headline(result["verdict"]))
        if not unknown:
            st.markdown(wording.partly(result))
    else:
        st.html(headline(result["verdict"]) + bar(result["p_spoof"], thresholds))
        st.markdown(wording.chance(result["p_spoof"], model["prior_spoof"]))
    if result["verdict"] == "inconclusive" and not unknown:
        st.markdown(wording.undecided(thresholds))
    if said := channel_in_words(result):
        st.markdown(wording.plain(said))
    if result.get("tracks"):
        st.markdown(wording.tracks(result))
    for caution in result["warnings"]:
        st.info(wording.plain(wording.warning(caution)), icon=":material/info:")


def _show_pictures(drawing: Drawing | None, result: Json | None, model: Json) -> None:
    """Draw the recording over one time axis, with its segments below."""
    segments = result["segments"] if result else []
    parts = result.get("parts", []) if result else []
    if drawing is None:
        st.caption("The recording could not be drawn.")
        duration_s = result["duration_s"] if result else 0.0
    else:
        duration_s = max(drawing.drawn_s, result["duration_s"] if result else 0.0)
        st.altair_chart(charts.waveform_chart(drawing, duration_s, parts), width="stretch")
        chart = charts.spectrogram_chart(drawing, duration_s, is_last=not segments)
        st.altair_chart(chart, width="stretch")
    if segments:
        chart = charts.timeline_chart(segments, duration_s, model["thresholds"])
        st.altair_chart(chart, width="stretch")
        st.caption(
            "Each bar is a stretch of the recording: a low, blue one sounds real, a high, orange "
            "one like a deepfake; a grey one, between the dashed lines, is undecided."
            + (" Parts that sound generated are marked in the waveform." if parts else "")
        )
    if drawing is not None and drawing.drawn_s < duration_s - 1:
        st.caption(f"Drawn: the first {drawing.drawn_s / 60:.0f} minutes.")


def _show_opinions(result: Json, model: Json) -> None:
    st.subheader("What each model says", anchor=False)
    st.altair_chart(charts.opinions_chart(result, model), width="stretch")
    st.caption(wording.opinions(result, model.get("manifest", {}).get("labels", {})))


def _about(model: Json) -> None:
    bundle = model["bundle"]
    st.caption(wording.trained_on(model))
    with st.expander("About this detector"):
        for name in ("name", "version", "sha256"):
            st.text(f"{name}: {bundle[name]}")
        card = str(model.get("card", ""))
        st.markdown(wording.brief_card(card))
        if card:
            st.download_button(
                "The whole model card", card, "card.md", "text/markdown", on_click="ignore"
            )


def _numbers(result: Json | None) -> tuple[int | None, int | None]:
    """Return track and channel of the result, from 0; None where none is chosen."""
    track = wording.spokesman(result) if result else None
    if track is None:
        return None, None
    return track["track"] - 1, track["channel_number"] and track["channel_number"] - 1


def _judge(service: Service, model: Json, content: bytes, media_type: str) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    result: Json | None = None
    with st.spinner("Listening …", show_time=True):
        try:
            result = _detect(sha256, model["bundle"]["sha256"], service, content)
        except ServiceError as error:
            if error.code not in wording.NOTHING_TO_JUDGE:
                _show_failure(error)
                return
            st.html(headline("inconclusive"))
            st.markdown(wording.NOTHING_TO_JUDGE[error.code])
        drawing = _draw(sha256, *_numbers(result), content)
    if result:
        model = {**model, "thresholds": wording.thresholds_for(result, model)}
        _show_verdict(result, model)
    # Played as the media type that it claims to have, but never shown as a page.
    is_media = media_type.startswith(("audio/", "video/"))
    st.audio(content, format=media_type if is_media else "audio/wav")
    _show_pictures(drawing, result, model)
    if result:
        _show_opinions(result, model)


def main() -> None:
    """Lay out the page."""
    st.set_page_config(page_title="Bonafide", page_icon=icon())
    st.title("Real voice or deepfake?", anchor=False)
    st.markdown(
        "Choose a recording in which somebody speaks, and see how likely it is that a machine "
        "made the voice."
    )
    service = Service.from_environment()
    try:
        model = service.model()
    except ServiceError as error:
        _show_failure(error)
        return
    _note(model)
    upload = st.file_uploader("An audio or video file")
    if upload is not None:
        _judge(service, model, upload.getvalue(), upload.type or "")
    _about(model)


main()
