"""`bonafide monitor` and `bonafide feedback`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options

if TYPE_CHECKING:
    from bonafide.monitoring.drift import Window
    from bonafide.monitoring.record import Record

HEADINGS = ("from", "to", "answers", "undecided", "what moved")


@click.command()
@options.record_option
@options.bundle
@click.option(
    "--window", type=options.Whole(min=20), default=100, metavar="N", help="answers in a window"
)
@click.option(
    "--last", type=options.Whole(min=1), default=20, metavar="N", help="windows, the newest ones"
)
@options.as_json
def monitor(
    record_file: Path | None, bundle: str | None, window: int, last: int, as_json: bool
) -> None:
    """Say whether what the service answers has drifted.

    The first 1,000 answers of a bundle are what later ones are held against, a window at a time.
    """
    from bonafide.cli.extras import require

    require("scipy")
    from bonafide.cli.terminal import show_json, show_table
    from bonafide.home import home
    from bonafide.monitoring.drift import windows
    from bonafide.monitoring.feedback import measured
    from bonafide.monitoring.record import REFERENCE_ROWS
    from bonafide.registry import find_bundle

    answers = _record(record_file).read(find_bundle(home(), bundle).digest())
    found = windows(answers, window_rows=window, last=last)
    error = measured(answers)
    if as_json:
        told = {"answers": len(answers), "windows": [each.to_json() for each in found]}
        show_json(told | {"error": error.to_json() if error else None})
        return
    show_table(HEADINGS, [_row(each) for each in found], justify="left")
    needed = REFERENCE_ROWS + window
    if not found:
        click.echo(f"{len(answers)} answers of this bundle; {needed} are needed to compare.")
    if error:
        click.echo(error.in_words())


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
@click.option(
    "--label", type=click.Choice(["bonafide", "spoof"]), required=True, help="what it was"
)
@options.record_option
def add(request_id: str, label: str, record_file: Path | None) -> None:
    """Note what a recording was, by the X-Request-Id of its answer."""
    _record(record_file).label(request_id, label)
    click.echo(f"{request_id}: {label}")


def _record(path: Path | None) -> "Record":
    from bonafide.home import home
    from bonafide.monitoring.record import RECORD, Record

    return Record(path or home() / RECORD)
