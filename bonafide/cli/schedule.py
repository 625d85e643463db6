"""`bonafide schedule`."""

import signal
import sys
from pathlib import Path

import click

from bonafide.cli import options


@click.group()
def schedule() -> None:
    """Retrain on a schedule."""


@schedule.command()
@click.option("--cron", required=True, metavar="EXPR", help='such as "0 3 * * *"')
@click.option(
    "--timezone", metavar="NAME", help="such as Europe/Berlin; default: that of this machine"
)
@options.config
@options.corpora
@options.verify
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=30,
    metavar="N",
    help="runs to keep; older ones are pruned after each",
)
def run(
    cron: str,
    timezone: str | None,
    config: Path | None,
    corpora: tuple[str, ...],
    verify: bool,
    keep: int,
) -> None:
    """Train whenever the time comes, until stopped.

    Stopping it, however it is stopped, also stops the training that is going on.
    """
    from bonafide.home import home
    from bonafide.training.config import read_config
    from bonafide.training.schedule import Schedule, cron_trigger, train_command

    trigger = cron_trigger(cron, timezone)
    options.require_corpora("schedule run", corpora)  # now, not at three in the morning
    if config:
        read_config(config)  # a mistake shows now, not at three in the morning
    for stopping in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(stopping) != signal.SIG_IGN:  # as nohup has it
            signal.signal(stopping, lambda *_: sys.exit(0))
    Schedule(trigger, train_command(config, corpora, verify, keep), home(), say=click.echo).run()


@schedule.command()
@options.as_json
def history(as_json: bool) -> None:
    """List the runs that schedules started."""
    from bonafide.cli.terminal import show_records
    from bonafide.home import home
    from bonafide.training.schedule import read_history

    show_records(read_history(home()), ("started", "ended", "status", "log"), as_json)
