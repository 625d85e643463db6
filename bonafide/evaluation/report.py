"""Reports for people: tables in Markdown, and pages from ``templates/``."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bonafide.evaluation.evaluate import DECISION, ROWS, Evaluation, percent, rows_alone
from bonafide.evaluation.metrics import Interval
from bonafide.types import AnyFloats

if TYPE_CHECKING:
    from jinja2 import Environment

Cells = Sequence[Sequence[str]]

HEADINGS = ("system", "EER", "minDCF", "actDCF", "Cllr", "ECE", "AUC", "miss", "false alarm")
CHANNEL_HEADINGS = (
    "channel",
    "in words",
    "rows",
    "EER",
    "undecided",
    "bona fide called spoof",
    "spoof called bona fide",
)
TILES = ("EER", "Cllr", "AUC", "miss", "false alarm")


def markdown_table(headings: Sequence[str], rows: Cells) -> str:
    """Return a Markdown table, its first column aligned left, the rest right.

    Parameters
    ----------
    headings : sequence of str
        One for each column.
    rows : sequence of sequence of str
        As many cells in each.

    Returns
    -------
    str
        Without a final line break.

    Examples
    --------
    >>> print(markdown_table(("system", "EER"), [("cnn", "1 %")]))
    | system | EER |
    | --- | ---: |
    | cnn | 1 % |
    """
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *rows))


def _number(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def system_rows(evaluation: Evaluation) -> list[list[str]]:
    """Return the table of an evaluation's systems.

    Parameters
    ----------
    evaluation : Evaluation
        The metrics.

    Returns
    -------
    list of list of str
        A row for each system, with the columns that `HEADINGS` names.
    """
    rows = []
    for name, metrics in evaluation.systems.items():
        numbers = [_number(metrics[m]) for m in ("min_dcf", "act_dcf", "cllr", "ece", "auc")]
        shares = [percent(metrics[m]) for m in ("miss", "false_alarm")]
        rows.append([name, percent(metrics["eer"]), *numbers, *shares])
    return rows


def group_rows(groups: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return the table of the groups of one kind.

    Parameters
    ----------
    groups : mapping of str to mapping
        One kind of `Evaluation.groups`.

    Returns
    -------
    list of list of str
        For each group its name, EER (and whether its interval resamples single rows), and numbers
        of bona fide and of spoof rows.
    """
    return [
        [
            name,
            percent(entry["eer"]) + (" over rows" if entry["clusters"] == ROWS else ""),
            str(entry["bonafide"]),
            str(entry["spoof"]),
        ]
        for name, entry in groups.items()
    ]


def channel_rows(manifest: Mapping[str, Any]) -> list[list[str]]:
    """Return the table of what verdicts are worth on each channel, out of fold.

    Parameters
    ----------
    manifest : mapping
        A bundle's, of format 3.

    Returns
    -------
    list of list of str
        A row for each channel with thresholds, with the columns that `CHANNEL_HEADINGS` names.
    """
    labels = {each["name"]: each["label"] for each in manifest["channels"]}
    return [
        [
            name,
            labels[name],
            str(found["rows"]),
            percent(Interval(**found["eer"])),
            f"{100 * found['undecided']:.0f} %",
            *(
                percent(Interval(**found[kind])) if found["undecided"] < 1.0 else "-"
                for kind in ("bonafide_called_spoof", "spoof_called_bonafide")
            ),
        ]
        for name, found in manifest["channel_errors"].items()
    ]


def title_line(evaluation: Evaluation) -> str:
    """Return one line on the rows of an evaluation: title, counts, and what intervals resample."""
    c = evaluation.counts
    recordings, sources, speakers, generators = (
        f"{c[key]} {word}{'' if c[key] == 1 else 's'}"
        for key, word in (
            ("rows", "recording"),
            ("sources", "source"),
            ("speakers", "speaker"),
            ("generators", "generator"),
        )
    )
    over = f"{evaluation.clusters}s"
    if evaluation.clusters == ROWS:
        over = f"single rows: {rows_alone(c)}"
    return (
        f"{evaluation.title}: {recordings} ({c['bonafide']} bona fide, {c['spoof']} "
        f"spoof), {sources}, {speakers}, {generators}; "
        f"95 % intervals by bootstrap over {over}"
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("bonafide.evaluation"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["markdown_table"] = markdown_table
    return environment


def render(template: str, **values: Any) -> str:
    """Return a template filled in.

    Parameters
    ----------
    template : str
        A file of ``templates/``. Values are escaped in ``.html.j2`` and not in ``.md.j2``.
    **values
        Plain values, by the names that the template uses.

    Returns
    -------
    str
        Without leading white space.
    """
    return _environment().get_template(template).render(**values).lstrip()


def html_table(headings: Sequence[str], rows: Cells) -> str:
    """Return an HTML table, its cells escaped."""
    return render("table.html.j2", headings=headings, rows=rows)


def tables_page(title: str, tables: Mapping[str, tuple[Sequence[str], Cells]]) -> str:
    """Return a page of tables.

    Parameters
    ----------
    title : str
        Of the page.
    tables : mapping of str to tuple
        Heading, which may be empty -> headings of the columns, rows.

    Returns
    -------
    str
        HTML.
    """
    listed = [(heading, *table) for heading, table in tables.items()]
    return render("tables.html.j2", title=title, tables=listed)


def figure_page(title: str, svg: str, caption: str) -> str:
    """Return a page of one figure, an ``<svg>`` element."""
    return render("figure.html.j2", title=title, svg=svg, caption=caption)


def evaluation_values(
    evaluation: Evaluation, scores: Mapping[str, AnyFloats], is_spoof: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what the templates show of an evaluation, with its figures drawn.

    Parameters
    ----------
    evaluation : Evaluation
        The metrics.
    scores : mapping of str to ndarray, shape (n_rows,)
        System -> llr of the rows that were evaluated.
    is_spoof : ndarray of bool, shape (n_rows,)
        Their labels.

    Returns
    -------
    dict of str to Any
        As the macro ``evaluation`` takes it.
    """
    from bonafide.evaluation.figures import det_figure, histogram_figure

    rows = system_rows(evaluation)
    decision = dict(zip(HEADINGS, next(row for row in rows if row[0] == DECISION), strict=True))
    return {
        "title": evaluation.title,
        "line": title_line(evaluation).removeprefix(f"{evaluation.title}: "),
        "notes": evaluation.notes,
        "tiles": [(heading, decision[heading]) for heading in TILES],
        "headings": HEADINGS,
        "rows": rows,
        "det": det_figure(scores, is_spoof),
        "histogram": histogram_figure(np.asarray(scores[DECISION]), is_spoof),
        "groups": [
            (kind, [_group_values(*item) for item in groups.items()])
            for kind, groups in evaluation.groups.items()
            if groups
        ],
    }


def _group_values(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    over = "rows" if entry["clusters"] == ROWS else f"{entry['clusters']}s"
    shown = {"name": name, "eer": percent(entry["eer"]), "over": over}
    return {**entry["eer"].to_json(), **entry, **shown}


def evaluation_page(
    evaluation: Evaluation, scores: Mapping[str, AnyFloats], is_spoof: NDArray[np.bool_]
) -> str:
    """Return one evaluation as a page of its own; see `evaluation_values`."""
    values = evaluation_values(evaluation, scores, is_spoof)
    return render("evaluation.html.j2", title=evaluation.title, evaluation=values)
