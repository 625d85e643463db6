"""What people read: tables in Markdown, the HTML report, the model card.

Figures need matplotlib (extra ``train``), imported when one is drawn.
"""

import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bonafide.evaluation.evaluate import DECISION, Evaluation, percent
from bonafide.evaluation.metrics import Interval, det_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cells = Sequence[Sequence[str]]
REAL, FAKE = "#1b7f5c", "#c2410c"

HEADINGS = ("system", "EER", "minDCF", "actDCF", "Cllr", "ECE", "AUC", "miss", "false alarm")
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
td small { display: block; opacity: .7; white-space: nowrap; } td { vertical-align: top; }
.wide + .wide { margin-top: 1.2rem; }
tr:hover { background: var(--soft); }
.wide { overflow-x: auto; }
.note { border-left: 4px solid #c2410c; padding: .4rem .8rem; background: var(--soft); }
figure { margin: 1rem 0; background: #fff; padding: .5rem; border-radius: 6px; }
figure svg { max-width: 100%; height: auto; } figcaption { color: #444; font-size: .9rem; }
"""


def markdown_table(headings: Sequence[str], rows: Cells) -> str:
    """Lay out a Markdown table."""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *rows))


def html_table(headings: Sequence[str], rows: Cells) -> str:
    """Lay out an HTML table, everything escaped."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{shown(cell)}</{tag}>" for cell in cells) + "</tr>"

    def shown(cell: str) -> str:
        """Put an interval under its value."""
        value, bracket, rest = html.escape(cell).partition(" [")
        return (
            f"{value}<small>[{rest}</small>"
            if bracket and rest.endswith("]")
            else value + (bracket + rest)
        )

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table>{line(headings, "th")}{body}</table></div>'


def _number(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def system_rows(evaluation: Evaluation) -> list[list[str]]:
    """Return one line a system, as `HEADINGS` names the columns."""
    rows = []
    for name, metrics in evaluation.systems.items():
        numbers = [_number(metrics[m]) for m in ("min_dcf", "act_dcf", "cllr", "ece", "auc")]
        shares = [percent(metrics[m]) for m in ("miss", "false_alarm")]
        rows.append([name, percent(metrics["eer"]), *numbers, *shares])
    return rows


def group_rows(groups: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return one line a group: name, EER, bona fide and spoof rows."""
    return [
        [name, percent(entry["eer"]), str(entry["bonafide"]), str(entry["spoof"])]
        for name, entry in groups.items()
    ]


def title_line(evaluation: Evaluation) -> str:
    """Say on which rows the numbers stand."""
    c = evaluation.counts
    return (
        f"{evaluation.title}: {c['rows']} recordings ({c['bonafide']} bona fide, {c['spoof']} "
        f"spoof), {c['sources']} sources, {c['speakers']} speakers, {c['generators']} generators; "
        f"95 % intervals by bootstrap over {evaluation.clusters}s"
    )


def svg(draw: Any, *, width: float = 5.2, height: float = 3.8) -> str:
    """Draw a figure: `draw` is called with matplotlib axes; return an <svg> element."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure.subplots())
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "bonafide"}):  # the same figure, the same bytes
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def det_figure(llr: Mapping[str, NDArray[np.floating[Any]]], is_spoof: NDArray[np.bool_]) -> str:
    """Draw detection error trade-off curves of several systems, on probit axes."""
    from scipy.stats import norm

    def draw(axes: "Axes") -> None:
        for name, scores in llr.items():
            false_alarm, miss, _ = det_curve(scores, is_spoof)
            clipped = [norm.ppf(np.clip(x, 1e-3, 1 - 1e-3)) for x in (false_alarm, miss)]
            axes.plot(*clipped, label=name, linewidth=2.2 if name == DECISION else 1)
        ticks = np.array([0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6])
        names = [f"{100 * t:g}" for t in ticks]
        axes.set_xticks(norm.ppf(ticks), names)
        axes.set_yticks(norm.ppf(ticks), names)
        limits = norm.ppf([0.0008, 0.7])
        axes.set(xlim=limits, ylim=limits)
        axes.set(xlabel="spoofs accepted, %", ylabel="bona fide rejected, %")
        axes.plot(limits, limits, color="#999", linewidth=0.7, linestyle=":")
        axes.grid(alpha=0.2)
        axes.legend(fontsize=8)

    return svg(draw)


def histogram_figure(llr: NDArray[np.floating[Any]], is_spoof: NDArray[np.bool_]) -> str:
    """Draw how the scores of both classes lie."""

    def draw(axes: "Axes") -> None:
        low, high = np.percentile(llr, [0.5, 99.5])
        bins = np.linspace(low, max(high, low + 1e-3), 40)
        for mask, name, color in ((~is_spoof, "bona fide", REAL), (is_spoof, "spoof", FAKE)):
            axes.hist(llr[mask], bins.tolist(), alpha=0.6, label=name, color=color, density=True)
        axes.axvline(0.0, color="#333", linewidth=0.8)
        axes.set(xlabel="llr (higher: more bona fide)", ylabel="density")
        axes.legend(fontsize=8)

    return svg(draw)


def curves_figure(history: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Draw the training loss of every fit of one base model."""

    def draw(axes: "Axes") -> None:
        for name, losses in history.items():
            loss = losses["loss"]
            axes.plot(range(1, len(loss) + 1), loss, label=name, marker=".", linewidth=1)
        axes.set(xlabel="epoch or trees", ylabel="training loss")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.2)

    return svg(draw)


def evaluation_section(
    evaluation: Evaluation,
    scores: Mapping[str, NDArray[np.floating[Any]]],
    is_spoof: NDArray[np.bool_],
) -> str:
    """Write one evaluation as HTML: systems, figures, groups."""
    parts = [
        f"<h2>{html.escape(evaluation.title)}</h2><p>{html.escape(title_line(evaluation))}</p>",
        *(f'<p class="note">{html.escape(note)}</p>' for note in evaluation.notes),
        html_table(HEADINGS, system_rows(evaluation)),
        f"<figure>{det_figure(scores, is_spoof)}<figcaption>Detection error trade-off</figcaption>"
        "</figure>",
        f"<figure>{histogram_figure(np.asarray(scores[DECISION]), is_spoof)}"
        "<figcaption>Scores of the decision</figcaption></figure>",
    ]
    for kind, groups in evaluation.groups.items():
        if groups:
            headings = (f"by {kind}", "EER", "bona fide", "spoof")
            parts.append(html_table(headings, group_rows(groups)))
    return "\n".join(parts)


def html_page(title: str, sections: Sequence[str]) -> str:
    """Wrap sections into a page that needs nothing from elsewhere."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>{''.join(sections)}</html>"
    )


def evaluation_page(
    evaluation: Evaluation,
    scores: Mapping[str, NDArray[np.floating[Any]]],
    is_spoof: NDArray[np.bool_],
) -> str:
    """Write one evaluation as a page of its own."""
    return html_page(evaluation.title, [evaluation_section(evaluation, scores, is_spoof)])
