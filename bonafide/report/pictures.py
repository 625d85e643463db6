"""The pictures of a report: waveform, spectrogram and chance, over one time axis, as inline SVG.

Colours stand in attributes, for paper; the style sheet has others for dark screens.
"""

import base64
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonafide.drawing import Drawing
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.words import clock

Json = Mapping[str, Any]
Coloured = tuple[str, str]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 720, 64, 20, 8, 30
PLOT = WIDTH - LEFT - RIGHT
WAVE, SPECTROGRAM, CHANCE = 90, 160, 120  # heights
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
MOST_TICKS = 10
LOWEST = 0.02  # a bar without height would look like a stretch that was left out
INK, GRID = "#1c1f23", "#c9ced4"
# Kind -> class and colour: blue, grey and orange, which colour-blind people tell apart.
COLOURS: dict[str, Coloured] = {
    "bonafide": ("real", "#2f6fab"),
    "inconclusive": ("open", "#767d87"),
    "spoof": ("fake", "#c2650a"),
}


def png(grey: NDArray[np.uint8]) -> bytes:
    """Return a picture as PNG.

    Parameters
    ----------
    grey : ndarray of uint8, shape (height, width)
        From black (0) to white (255); row 0 is the top.

    Returns
    -------
    bytes
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    height, width = grey.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bits of grey
    rows = np.insert(grey, 0, 0, axis=1).tobytes()  # each row begins with its filter: none
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows, 9)),
            chunk(b"IEND", b""),
        )
    )


@dataclass(frozen=True)
class Picture:
    """A picture and what is said of it.

    Parameters
    ----------
    name : str
        What its title and description are found by: ``NAME-title``, ``NAME-description``.
    svg : str
        An ``<svg>`` element.
    title : str
        What it shows.
    description : str
        What is seen in it, for those who do not see it.
    """

    name: str
    svg: str
    title: str
    description: str


def _x(seconds: float, end_s: float) -> float:
    return LEFT + PLOT * min(seconds / end_s, 1.0)


def _rect(
    x: float, y: float, width: float, height: float, colour: Coloured, extra: str = ""
) -> str:
    name, fill = colour
    return (
        f'<rect class="{name}" fill="{fill}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" '
        f'height="{height:.2f}"{extra}/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> str:
    look = f'class="edge" stroke="{INK}" stroke-dasharray="6 4"'
    look = look if dashed else f'class="rule" stroke="{GRID}"'
    return f'<line {look} x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"/>'


def _text(x: float, y: float, words: str, anchor: str, name: str) -> str:
    return (
        f'<text class="{name}" fill="{INK}" font-size="13" text-anchor="{anchor}" x="{x:.2f}" '
        f'y="{y:.2f}">{words}</text>'
    )


def ticks(end_s: float) -> list[int]:
    """Return where to label a time axis.

    Parameters
    ----------
    end_s : float
        Its end, above 0.

    Returns
    -------
    list of int
        Seconds, from 0; at most `MOST_TICKS` + 1.

    Examples
    --------
    >>> ticks(28.0)
    [0, 5, 10, 15, 20, 25]
    """
    hours = 3600 * (1 + int(end_s // (3600 * MOST_TICKS)))
    step = next((each for each in STEPS_S if end_s / each <= MOST_TICKS), hours)
    return list(range(0, int(end_s) + 1, step))


def _time_axis(height: float, end_s: float) -> Iterator[str]:
    bottom = TOP + height
    yield _line(LEFT, bottom, LEFT + PLOT, bottom)
    for number, second in enumerate(ticks(end_s)):
        x = _x(second, end_s)
        yield _line(x, bottom, x, bottom + 5)
        # Every other label goes where there is no room.
        yield _text(x, bottom + 20, clock(second), "middle", f"time{' spare' * (number % 2)}")


def _value_axis(height: float, labels: Mapping[str, float]) -> Iterator[str]:
    """Yield the labels of the vertical axis, each at a share of the height from below."""
    for number, (words, place) in enumerate(labels.items()):
        y = TOP + height * (1 - place)
        yield _line(LEFT - 5, y, LEFT, y)
        yield _text(LEFT - 8, y + 4.5, words, "end", f"value{' spare' * (number % 2)}")


def _svg(name: str, height: float, inner: Sequence[str]) -> str:
    # Numbers alone, nothing that strangers wrote: the template takes it as it is.
    return (
        f'<svg class="plot" role="img" aria-labelledby="{name}-title {name}-description" '
        f'viewBox="0 0 {WIDTH} {height + TOP + BOTTOM:g}" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(inner)}</svg>"
    )


def waveform(drawing: Drawing, parts: Sequence[Json], end_s: float) -> str:
    """Draw the envelope over time, over a ground that marks the parts that sound generated.

    Parameters
    ----------
    drawing : Drawing
        What is drawn of the recording.
    parts : sequence of mapping
        With ``start_s`` and ``end_s``.
    end_s : float
        End of the time axis, in seconds.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    loudest = max(float(np.abs([drawing.low, drawing.high]).max()), 1e-3)
    edges = np.linspace(0, drawing.drawn_s, len(drawing.low) + 1)
    x = np.repeat([_x(edge, end_s) for edge in edges], 2)[1:-1]

    def heights(values: NDArray[np.float32]) -> NDArray[np.float64]:
        half = WAVE / 2
        return np.repeat(TOP + half - half * values.astype(np.float64) / loudest, 2)

    above = zip(x, heights(drawing.high), strict=True)
    below = reversed(list(zip(x, heights(drawing.low) + 0.5, strict=True)))
    points = " ".join(f"{at:.1f},{y:.1f}" for at, y in (*above, *below))
    marked = [(_x(part["start_s"], end_s), _x(part["end_s"], end_s)) for part in parts]
    grounds = [
        _rect(a, TOP, b - a, WAVE, COLOURS["spoof"], ' fill-opacity="0.25"')
        + _rect(a, TOP, b - a, 4, COLOURS["spoof"])
        for a, b in marked
    ]
    name, fill = COLOURS["bonafide"]
    wave = f'<polygon class="{name}" fill="{fill}" points="{points}"/>'
    return _svg("waveform", WAVE, [*grounds, wave, *_time_axis(WAVE, end_s)])


def spectrogram(drawing: Drawing, end_s: float) -> str:
    """Draw power over time and frequency: the louder, the darker.

    Parameters
    ----------
    drawing : Drawing
        What is drawn of the recording.
    end_s : float
        End of the time axis, in seconds.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    content = base64.b64encode(png(255 - drawing.level)).decode("ascii")
    width = _x(drawing.drawn_s, end_s) - LEFT
    picture = (
        f'<image class="levels" x="{LEFT}" y="{TOP}" width="{width:.2f}" height="{SPECTROGRAM}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{content}"/>'
    )
    top_khz = SAMPLE_RATE_HZ // 2000
    labels = {f"{khz} kHz": khz / top_khz for khz in range(0, top_khz + 1, 2)}
    inner = [picture, *_value_axis(SPECTROGRAM, labels), *_time_axis(SPECTROGRAM, end_s)]
    return _svg("spectrogram", SPECTROGRAM, inner)


def chance(segments: Sequence[Json], thresholds: Json, end_s: float) -> str:
    """Draw the chance of a deepfake for each segment, with the thresholds as dashed lines.

    Parameters
    ----------
    segments : sequence of mapping
        With ``start_s``, ``end_s`` and ``p_spoof``, in order.
    thresholds : mapping
        ``bonafide_to`` and ``spoof_from``; None: no such answer.
    end_s : float
        End of the time axis, in seconds.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    low, high = thresholds["bonafide_to"], thresholds["spoof_from"]
    inner, last_s = [_line(LEFT, TOP, LEFT + PLOT, TOP)], 0.0
    for segment in segments:  # the last one may overlap the one before
        kind = "inconclusive"
        if low is not None and segment["p_spoof"] <= low:
            kind = "bonafide"
        if high is not None and segment["p_spoof"] >= high:
            kind = "spoof"
        start, end = _x(max(segment["start_s"], last_s), end_s), _x(segment["end_s"], end_s)
        tall = CHANCE * max(segment["p_spoof"], LOWEST)
        width = max(end - start - 1, 0.5)
        inner.append(_rect(start, TOP + CHANCE - tall, width, tall, COLOURS[kind]))
        last_s = segment["end_s"]
    for edge in (low, high):
        if edge is not None:
            y = TOP + CHANCE * (1 - edge)
            inner.append(_line(LEFT, y, LEFT + PLOT, y, dashed=True))
    labels = {"0 %": 0.0, "50 %": 0.5, "100 %": 1.0}
    inner += [*_value_axis(CHANCE, labels), *_time_axis(CHANCE, end_s)]
    return _svg("chance", CHANCE, inner)


def pictures(result: Json, thresholds: Json, drawing: Drawing | None) -> list[Picture]:
    """Draw a recording and its result.

    Parameters
    ----------
    result : mapping
        As `bonafide.detection.Judged` is written to JSON.
    thresholds : mapping
        Those that hold on its channel.
    drawing : Drawing or None
        None where it cannot be drawn.

    Returns
    -------
    list of Picture
        Over one time axis; empty where there is nothing to draw.
    """
    drawn_s = drawing.drawn_s if drawing else 0.0
    end_s = max(drawn_s, result["duration_s"])
    found = []
    if drawing is not None:
        svg = waveform(drawing, result["parts"], end_s)
        marked = " Marked are the parts that sound generated." if result["parts"] else ""
        found.append(
            Picture("waveform", svg, "Waveform", f"How loud the recording is over time.{marked}")
        )
        svg = spectrogram(drawing, end_s)
        said = "Which frequencies it holds over time: the louder, the darker; on dark screens, the "
        found.append(Picture("spectrogram", svg, "Spectrogram", f"{said}brighter."))
    if result["segments"]:
        svg = chance(result["segments"], thresholds, end_s)
        found.append(
            Picture(
                "chance",
                svg,
                "Chance of a deepfake, by segment",
                "Dashed: the chances up to which it is called real and from which a deepfake, "
                "blue and orange; between them, grey, it is undecided. The numbers stand in the "
                "table of segments.",
            )
        )
    return found
