"""`bonafide schedule`."""

import click

from bonafide.cli import options
from bonafide.cli.schedule_emit import emit
from bonafide.cli.schedule_run import run


@click.group()
def schedule() -> None:
    """Retrain on a schedule."""


schedule.add_command(run)
schedule.add_command(emit)


@schedule.command()
@options.as_json
def history(as_json: bool) -> None:
    """List what schedules did: runs, and nights without one."""
    from bonafide.cli.terminal import show_records
    from bonafide.history import read_history
    from bonafide.home import home

    runs = read_history(home())
    if not as_json:
        runs = [run | {"eer": f"{run['eer']['value']:.1%}" if run["eer"] else ""} for run in runs]
    shown = ("started", "ended", "status", "version", "eer", "why", "reason", "log")
    show_records(runs, shown, as_json)
