"""One recording: the answer, its pictures, its reasons, its origin."""

from typing import Any

import streamlit as st

from bonafide.client import ServiceError
from bonafide.detection import NO_VERDICT
from bonafide.drawing import Drawing
from bonafide.report.words import thresholds_for
from bonafide.words import clock
from serving.app import charts, reasons, wording
from serving.app.asked import Asked
from serving.app.compare import show_comparison
from serving.app.failure import show_failure
from serving.app.language import Words
from serving.app.origin import show_origin
from serving.app.recording import Recording
from serving.app.reporting import show_report
from serving.app.verdict import bar, headline

Json = dict[str, Any]
EXPLAINED = "explained-"  # and a hash: that answer is explained, in a visit's state


def judge(words: Words, asked: Asked, recording: Recording) -> None:
    """Judge one recording and show all that there is to say of it."""
    result: Json | None = None
    with st.spinner(words("page.listening"), show_time=True):
        try:
            result = asked.detect(recording)
        except ServiceError as error:
            if error.code not in NO_VERDICT:
                show_failure(words, error, "judged")
                return
            st.html(headline(words, "inconclusive"))
            st.markdown(wording.nothing_to_judge(words, error.code))
    if result is None:
        st.audio(recording.content, format=recording.played_as)
        _show_sound(words, asked.draw(recording, None), 0.0, [], None)
    else:
        model = {**asked.model, "thresholds": thresholds_for(result, asked.model)}
        _show_answer(words, result, model)
        _show_result(words, asked, recording, result, model)
    show_origin(words, asked, recording)
    if result:
        show_report(words, asked, recording, result)
        show_comparison(words, asked, recording, result)


def _show_answer(words: Words, result: Json, model: Json) -> None:
    thresholds, verdict = model["thresholds"], result["verdict"]
    unknown = wording.is_unknown(result)
    st.html(headline(words, verdict))
    if verdict == "partly_spoof":
        st.markdown(wording.partly(words, result))
    elif not unknown:
        st.html(bar(words, result["p_spoof"], thresholds))
        st.markdown(wording.chance(words, result["p_spoof"], model["prior_spoof"]))
    if verdict == "inconclusive" and not unknown:
        st.markdown(wording.undecided(words, thresholds))
    if said := wording.channel(words, result):
        st.markdown(wording.plain(said))
    if result.get("tracks"):
        st.markdown(wording.tracks(words, result))
    for caution in result["warnings"]:
        st.info(wording.plain(wording.warning(words, caution)), icon=":material/info:")


def _show_result(
    words: Words, asked: Asked, recording: Recording, result: Json, model: Json
) -> None:
    """Show player, pictures, reasons and opinions; a click on a stretch plays it."""
    explanation = _explanation(words, asked, recording)
    drawing = asked.draw(recording, result)
    duration_s = max(drawing.drawn_s if drawing else 0.0, result["duration_s"])
    player = st.container()
    place = explanation["focus"] if explanation else None
    _show_sound(words, drawing, duration_s, result.get("parts", []), place)
    _play(words, player, recording, result, _show_timeline(words, recording, result, model))
    if drawing is not None and drawing.drawn_s < duration_s - 1:
        st.caption(words("picture.first_minutes", minutes=f"{drawing.drawn_s / 60:.0f}"))
    labels = wording.labels(words, model)
    _show_reasons(words, recording, explanation, result, labels)
    if not result["segments"]:  # nobody was asked
        return
    st.subheader(words("opinions.title"), anchor=False)
    st.altair_chart(charts.opinions_chart(words, result, model), width="stretch")
    st.caption(wording.opinions(words, result, labels))


def _show_sound(
    words: Words,
    drawing: Drawing | None,
    duration_s: float,
    parts: list[Json],
    place: Json | None,
) -> None:
    """Draw the recording over one time axis."""
    if drawing is None:
        st.caption(words("picture.not_drawn"))
        return
    duration_s = max(duration_s, drawing.drawn_s)
    st.altair_chart(charts.waveform_chart(words, drawing, duration_s, parts), width="stretch")
    chart = charts.spectrogram_chart(words, drawing, duration_s, place)
    st.altair_chart(chart, width="stretch")


def _show_timeline(words: Words, recording: Recording, result: Json, model: Json) -> int | None:
    """Draw the chance by stretch; return the number of the one that is clicked."""
    if not result["segments"]:
        return None
    chart = charts.timeline_chart(
        words, result["segments"], result["duration_s"], model["thresholds"]
    )
    event = st.altair_chart(
        chart,
        width="stretch",
        on_select="rerun",
        selection_mode=charts.SEGMENT,
        key=f"timeline-{recording.sha256}",
    )
    said = words("picture.caption")
    st.caption(said + (f" {words('picture.parts')}" if result.get("parts") else ""))
    clicked = event.selection[charts.SEGMENT]
    return int(clicked[0]["number"]) if clicked else None


def _play(
    words: Words, player: Any, recording: Recording, result: Json, clicked: int | None
) -> None:
    """Show the player, for all of the recording or for the stretch that was chosen."""
    segments = result["segments"]

    def name(number: int | None) -> str:
        if number is None:
            return words("picture.all")
        return "-".join(clock(segments[number][end]) for end in ("start_s", "end_s"))

    with player:
        number = clicked
        if len(segments) > 1 and clicked is None:  # for who cannot click into a picture
            options = [None, *range(len(segments))]
            key = f"stretch-{recording.sha256}"
            number = st.selectbox(words("picture.hear"), options, format_func=name, key=key)
        if number is None:
            st.audio(recording.content, format=recording.played_as)
            return
        start_s, end_s = (segments[number][end] for end in ("start_s", "end_s"))
        st.caption(f"{words('picture.hear')}: {name(number)}")
        st.audio(
            recording.content,
            format=recording.played_as,
            start_time=start_s,
            end_time=end_s,
            autoplay=True,
        )


def _explanation(words: Words, asked: Asked, recording: Recording) -> Json | None:
    """Return the explanation if it was asked for."""
    if f"{EXPLAINED}{recording.sha256}" not in st.session_state:
        return None
    try:
        with st.spinner(words("why.asking"), show_time=True):
            return asked.explain(recording)
    except ServiceError as error:
        show_failure(words, error, "explained")
        return None


def _show_reasons(
    words: Words,
    recording: Recording,
    explanation: Json | None,
    result: Json,
    labels: Json,
) -> None:
    st.subheader(words("why.title"), anchor=False)
    if explanation is None:
        asked_for = {f"{EXPLAINED}{recording.sha256}": True}
        st.button(words("why.ask"), on_click=st.session_state.update, args=(asked_for,))
        return
    said = wording.focus(words, explanation, result)
    st.markdown(wording.plain(said))
    if explanation["focus"] is None:
        return
    st.caption(words("why.framed"))
    st.markdown(f"**{words('why.seconds')}**")
    chart = reasons.seconds_chart(words, explanation, result["duration_s"])
    st.altair_chart(chart, width="stretch")
    for column, key, chart in zip(
        st.columns(2),
        ("why.bands", "why.models"),
        (
            reasons.bands_chart(words, explanation),
            reasons.models_chart(words, explanation, labels),
        ),
        strict=True,
    ):
        column.markdown(f"**{words(key)}**")
        column.altair_chart(chart, width="stretch")
    st.caption(f"{words('why.caption')} {words('why.models_note')}")
    if found := explanation.get("families"):
        st.markdown(f"**{words('family.title')}**")
        st.markdown(wording.plain(wording.families(words, found)))
