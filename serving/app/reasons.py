"""Charts of an explanation: what seconds, bands and base models add to the score."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from serving.app.charts import finished, stretch, time_axis, value_axis
from serving.app.language import Words
from serving.app.palette import FAKE, REAL

Explanation = Mapping[str, Any]


def _side(field: str) -> alt.Color:
    """Return blue for what speaks for a real recording, orange for what speaks against it."""
    scale = alt.Scale(type="threshold", domain=[0], range=[FAKE, REAL])
    return alt.Color(field, scale=scale, legend=None)


def seconds_chart(words: Words, explanation: Explanation, duration_s: float) -> Any:
    """Draw what each second adds, over the time axis of the other charts."""
    rows = [
        {
            **second,
            "when": stretch(words, second["start_s"], second["end_s"]),
            "shown": words.number(f"{second['llr']:+.2f}"),
        }
        for second in explanation["seconds"]
    ]
    most = max([0.1, *(abs(row["llr"]) for row in rows)])
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect(x2Offset=-1)
        .encode(
            x=time_axis(duration_s, title=words("picture.seconds")),
            x2="end_s:Q",
            y=value_axis("llr:Q", words("why.adds_axis"), (-most, most), tickCount=3),
            y2=alt.datum(0),
            color=_side("llr:Q"),
            tooltip=[
                alt.Tooltip("when:N", title=words("why.when")),
                alt.Tooltip("shown:N", title=words.drawn(words("why.adds"))),
            ],
        )
    )
    return finished(chart, 110, words("why.seconds"))


def _bars(rows: list[dict[str, Any]], title: str, value: str) -> tuple[Any, int]:
    """Draw a bar for each name; what speaks for a real recording goes to the right."""
    most = max([0.1, *(abs(row["llr"]) for row in rows)])
    axis = alt.Axis(labelLimit=160, labelOverlap=False, labelFlush=False)
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("llr:Q", title=value, scale=alt.Scale(domain=[-most, most])),
            y=alt.Y("name:N", sort=None, title=None, axis=axis),
            color=_side("llr:Q"),
            tooltip=[
                alt.Tooltip("name:N", title=title),
                alt.Tooltip("shown:N", title=value),
            ],
        )
    )
    return chart, 24 * len(rows) + 50


def bands_chart(words: Words, explanation: Explanation) -> Any:
    """Draw what each band adds more than in an average recording, the highest band first."""
    rows = []
    for band in reversed(explanation["bands"]):
        unusual = band["unusual"]
        low, high = (words.number(f"{band[end] / 1000:g}") for end in ("low_hz", "high_hz"))
        shown = words.number(f"{unusual:+.2f}")
        rows.append({"name": f"{low}-{high} kHz", "llr": unusual, "shown": shown})
    chart, height_px = _bars(rows, words("why.band"), words.drawn(words("why.stands_out")))
    return finished(chart, height_px, words("why.bands"))


def models_chart(words: Words, explanation: Explanation, labels: Mapping[str, str]) -> Any:
    """Draw what each base model adds, those that add most first, and what is left without any."""
    models = explanation["models"].items()
    added = [(labels.get(name, name), llr) for name, llr in models if llr is not None]
    added.sort(key=lambda item: -abs(item[1]))
    added.append((words("why.base"), explanation["base"]))
    rows = [{"name": name, "llr": llr, "shown": words.number(f"{llr:+.2f}")} for name, llr in added]
    chart, height_px = _bars(rows, words("opinions.model"), words.drawn(words("why.adds")))
    return finished(chart, height_px, words("why.models"))
