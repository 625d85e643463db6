"""`bonafide monitor` and `bonafide feedback`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.monitoring.record import LABELS, LAST, REFERENCE_ROWS, WINDOW_ROWS, Record

if TYPE_CHECKING:
    from bonafide.monitoring.drift import Window

HEADINGS = ("from", "to", "answers", "undecided", "what moved")


@click.command()
@options.record
@options.bundle
@click.option(
    "--window",
    type=options.Whole(min=20),
    default=WINDOW_ROWS,
    metavar="N",
    help="answers in a window",
)
@click.option(
    "--last", type=options.Whole(min=1), default=LAST, metavar="N", help="windows, the newest ones"
)
@options.as_json
def monitor(
    record_file: Path | None, bundle: str | None, window: int, last: int, as_json: bool
) -> None:
    """Compare the latest answers of a bundle with its first.

    The first 1,000 answers of a bundle are the reference; later ones are compared with it, a window
    at a time. What a shadow said to the same requests is told, too.
    """
    from bonafide.cli.extras import require

    require("scipy")
    from bonafide.cli.terminal import show_json, show_table
    from bonafide.home import home
    from bonafide.monitoring.drift import windows
    from bonafide.monitoring.feedback import measured
    from bonafide.monitoring.pairs import disagreements
    from bonafide.registry import find_bundle

    chosen = find_bundle(home(), bundle).digest()
    everything = Record(options.require_record(record_file)).read()
    answers = [each for each in everything if each.bundle == chosen]
    others = disagreements(everything, chosen)
    found = windows(answers, window_rows=window, last=last)
    error = measured(answers)
    if as_json:
        told = {"answers": len(answers), "windows": [each.to_json() for each in found]}
        told |= {"error": error.to_json() if error else None}
        show_json(told | {"others": [each.to_json() for each in others]})
        return
    show_table(HEADINGS, [_row(each) for each in found], justify="left")
    needed = REFERENCE_ROWS + window
    if not found:
        click.echo(f"{len(answers)} answers of this bundle; {needed} are needed to compare.")
    if error:
        click.echo(error.in_words())
    for other in others:
        click.echo(other.in_words())


def _row(window: "Window") -> list[str]:
    moved = [
        f"{each.name} ({each.measure} {each.size:.2f}, p {each.p:.1g})"
        for each in window.statistics
        if each.alarms
    ]
    times = [
        datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        for at in (window.start, window.end)
    ]
    return [*times, str(window.rows), f"{window.undecided:.0%}", ", ".join(moved) or "-"]


@click.group()
def feedback() -> None:
    """Note what people say later of answers."""


@feedback.command()
@click.argument("request_id")
@click.option("--label", type=click.Choice(LABELS), required=True, help="what it was")
@options.record
def add(request_id: str, label: str, record_file: Path | None) -> None:
    """Note what a recording was, by the X-Request-Id of its answer."""
    Record(options.require_record(record_file)).label(request_id, label)
    click.echo(f"{request_id}: {label}")
