"""The page's charts; all that show time share one time axis."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import streamlit as st
from PIL import Image, ImageOps

from bonafide.drawing import Drawing
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.words import percent_shown
from serving.app import wording
from serving.app.language import Words
from serving.app.palette import FAKE, REAL, UNDECIDED

LABELS_PX = 46  # the same room for every vertical axis, so that the time axes line up
NO_LABELS: dict[str, Any] = {"labels": False, "title": None}
LOWEST = 0.03  # a bar without height would look like a stretch that was left out
QUIET, LOUD = "#0d1b2e", "#fff4dc"
SEGMENT = "segment"  # name of the selection in `timeline_chart`


def _colour(field: str, thresholds: Mapping[str, Any]) -> alt.Color:
    """Return the colours of the verdict's bar, for a probability."""
    domain = [*wording.edges(thresholds)]
    scale = alt.Scale(type="threshold", domain=domain, range=[REAL, UNDECIDED, FAKE])
    return alt.Color(field, scale=scale, legend=None)


def chance_column(words: Words, label: str | None = None, width_px: int | None = None) -> Any:
    """Return how a table shows what `chance_cell` gives: its own sign is the browser's."""
    shown = words.messages["number.percent"].replace("%", "%%").format(n="%d")
    return st.column_config.ProgressColumn(
        label, format=shown, min_value=0, max_value=100, width=width_px
    )


def chance_cell(p_spoof: float) -> int:
    """Return a probability in percent, as a bar of a table: never 0 or 100, nothing is certain."""
    return percent_shown(p_spoof)[1]


def _percents(words: Words) -> str:
    """Return the expression that writes a label of a chance, as the language does."""
    return (
        f"replace('{words.messages['number.percent']}', '{{n}}', format(datum.value * 100, '.0f'))"
    )


def stretch(words: Words, start_s: float, end_s: float) -> str:
    """Return from when to when a stretch goes, as a chart names it."""
    start, end = (words.number(f"{at:.1f}") for at in (start_s, end_s))
    return words.drawn(words("picture.from_to", start=start, end=end))


def time_axis(duration_s: float, **axis: Any) -> alt.X:
    """Return the axis that all charts over time share."""
    scale = alt.Scale(domain=[0, duration_s], nice=False)
    return alt.X("start_s:Q", scale=scale, axis=alt.Axis(**{"tickCount": 6, **axis}))


def value_axis(field: str, title: str, domain: tuple[float, float], **axis: Any) -> alt.Y:
    """Return a vertical axis with the same room for its labels in every chart."""
    room = alt.Axis(minExtent=LABELS_PX, maxExtent=LABELS_PX, titlePadding=4, **axis)
    return alt.Y(field, title=title, scale=alt.Scale(domain=domain, nice=False), axis=room)


def finished(chart: Any, height_px: int, description: str) -> Any:
    """Return a chart with its height and what a screen reader says of it."""
    return chart.properties(
        height=height_px,
        padding={"left": 0, "right": 4, "top": 4, "bottom": 6},
        description=description,
        usermeta={"embedOptions": {"actions": False}},
    )


def waveform_chart(
    words: Words, drawing: Drawing, duration_s: float, parts: list[dict[str, Any]]
) -> Any:
    """Draw the envelope over time, over a ground that marks the parts that sound generated."""
    starts = np.linspace(0, drawing.drawn_s, len(drawing.low), endpoint=False)
    rows = [
        {"start_s": float(start), "low": float(low), "high": float(high)}
        for start, low, high in zip(starts, drawing.low, drawing.high, strict=True)
    ]
    loudest = max(float(np.abs([drawing.low, drawing.high]).max()), 1e-3)
    y = value_axis(
        "low:Q",
        words("picture.loudness"),
        (-loudest, loudest),
        labels=False,
        ticks=False,
        grid=False,
    )
    time = time_axis(duration_s, **NO_LABELS)
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_area(color=REAL, line=False)
        .encode(x=time, y=y, y2="high:Q")
    )
    if parts:
        ground = alt.Chart(alt.InlineData(values=parts)).mark_rect(color=FAKE, opacity=0.3)
        chart = ground.encode(x=time, x2="end_s:Q") + chart
    return finished(chart, 90, words("picture.waveform"))


def _png(drawing: Drawing) -> str:
    """Return the spectrogram as the URL of an image."""
    file = io.BytesIO()
    image = ImageOps.colorize(Image.fromarray(drawing.level), black=QUIET, mid=REAL, white=LOUD)
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def spectrogram_chart(
    words: Words, drawing: Drawing, duration_s: float, place: Mapping[str, Any] | None
) -> Any:
    """Draw power over time and frequency as one image, since 100,000 cells would be slow.

    Parameters
    ----------
    words : Words
    drawing : Drawing
        What `bonafide.drawing.reduce` made of the recording.
    duration_s : float
        End of the time axis.
    place : mapping or None
        ``focus`` of an explanation, to be framed.

    Returns
    -------
    altair.Chart
    """
    khz = SAMPLE_RATE_HZ / 2000
    rows = [{"start_s": 0.0, "khz": khz, "image": _png(drawing)}]
    time = time_axis(duration_s, **NO_LABELS, grid=False)
    chart: Any = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_image(
            align="left",
            baseline="top",
            aspect=False,
            width=alt.ExprRef(f"width * {drawing.drawn_s / duration_s}"),
            height=alt.ExprRef("height"),
        )
        .encode(
            x=time,
            y=value_axis("khz:Q", words("picture.khz"), (0, khz), grid=False, tickCount=4),
            url="image:N",
        )
    )
    if place:
        chart = chart + _frame(place, time)
    return finished(chart, 150, words("picture.spectrogram"))


def _frame(place: Mapping[str, Any], time: alt.X) -> Any:
    """Frame a place in the spectrogram, light within dark, so that it is seen on any ground."""
    row = {**place, "low": place["low_hz"] / 1000, "high": place["high_hz"] / 1000}
    base = alt.Chart(alt.InlineData(values=[row])).encode(
        x=time, x2="end_s:Q", y=alt.Y("low:Q"), y2="high:Q"
    )
    outer = base.mark_rect(fillOpacity=0, stroke="black", strokeWidth=5, aria=False)
    return outer + base.mark_rect(fillOpacity=0, stroke="white", strokeWidth=2, aria=False)


def timeline_chart(
    words: Words,
    segments: list[dict[str, Any]],
    duration_s: float,
    thresholds: Mapping[str, Any],
) -> Any:
    """Draw each segment's probability over time, with the edges of the undecided band.

    A click selects a segment, by its ``number``.
    """
    rows, end_s = [], 0.0
    for number, segment in enumerate(segments):
        # The last one may overlap the one before.
        start_s, end_s = max(segment["start_s"], end_s), segment["end_s"]
        when = stretch(words, start_s, end_s)
        shown = words.percent(segment["p_spoof"])
        height = max(segment["p_spoof"], LOWEST)
        drawn = {"start_s": start_s, "height": height, "when": when, "chance": shown}
        drawn["number"] = number
        rows.append({**segment, **drawn})
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect(x2Offset=-1, cursor="pointer")
        .encode(
            x=time_axis(duration_s, title=words("picture.seconds")),
            x2="end_s:Q",
            y=value_axis(
                "height:Q",
                words.drawn(words("picture.fake")),
                (0, 1),
                labelExpr=_percents(words),
                values=[0, 0.5, 1],
            ),
            y2=alt.datum(0),
            color=_colour("p_spoof:Q", thresholds),
            tooltip=[
                alt.Tooltip("when:N", title=words("picture.stretch")),
                alt.Tooltip("chance:N", title=words("picture.chance")),
            ],
        )
        .add_params(alt.selection_point(name=SEGMENT, fields=["number"]))
    )
    lines = [{"at": edge} for edge in wording.edges(thresholds)]
    band = (
        alt.Chart(alt.InlineData(values=lines))
        .mark_rule(strokeDash=[4, 3], color=UNDECIDED, aria=False)
        .encode(y="at:Q")
    )
    return finished(bars + band, 170, words("picture.timeline"))


def _opinions(
    words: Words, result: Mapping[str, Any], model: Mapping[str, Any]
) -> list[dict[str, Any]]:
    labels, choice = wording.labels(words, model), model.get("manifest", {}).get("choice")
    rows = [(labels.get(name, name), p, "model") for name, p in result["models"].items()]
    for name, p in result["stack"].items():
        key = "opinions.decides" if name == choice else "opinions.stack"
        said = words(key, name=labels.get(name, words.foreign(name)))
        rows.append((words.drawn(said), p, "stack"))
    return [
        {"name": name, "p": p, "kind": kind, "chance": words.percent(p)}
        for name, p, kind in rows
        if p is not None
    ]


def opinions_chart(words: Words, result: Mapping[str, Any], model: Mapping[str, Any]) -> Any:
    """Draw the score of each model and of each stack, and mark the one that decides.

    Parameters
    ----------
    words : Words
    result : mapping
        What ``/v1/detect`` answers; a model or stack without a score (None) is left out.
    model : mapping
        What ``/v1/model`` answers; its manifest may give ``labels`` to names.

    Returns
    -------
    altair.LayerChart
    """
    thresholds, rows = model["thresholds"], _opinions(words, result, model)
    axis = alt.Axis(labelLimit=160, labelOverlap=False, labelFlush=False)
    y = alt.Y("name:N", sort=None, title=None, axis=axis)
    x = alt.X(
        "p:Q",
        title=words("picture.chance"),
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(labelExpr=_percents(words), values=[0, 0.25, 0.5, 0.75, 1]),
    )
    tooltip = [
        alt.Tooltip("name:N", title=words("opinions.model")),
        alt.Tooltip("chance:N", title=words("opinions.chance")),
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=y, tooltip=tooltip)
    stems = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x=x, x2=alt.datum(0.5), color=_colour("p:Q", thresholds)
    )
    dots = base.mark_point(filled=True, size=140, opacity=1).encode(
        x=x,
        color=_colour("p:Q", thresholds),
        shape=alt.Shape("kind:N", scale=alt.Scale(range=["circle", "diamond"]), legend=None),
    )
    middle = alt.Chart().mark_rule(color=UNDECIDED, aria=False).encode(x=alt.datum(0.5))
    return finished(middle + stems + dots, 28 * len(rows) + 60, words("opinions.title"))
