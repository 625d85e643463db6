"""`bonafide schedule run`."""

import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.errors import ConfigError

if TYPE_CHECKING:
    from bonafide.training.schedule.triggers import Rule

keep_option = click.option(
    "--keep",
    type=click.IntRange(1),
    default=30,
    metavar="N",
    help="runs to keep; older ones are pruned after each",
)


@click.command()
@click.option("--cron", metavar="EXPR", help='such as "0 3 * * *"')
@click.option(
    "--timezone", metavar="NAME", help="such as Europe/Berlin; default: that of this machine"
)
@click.option(
    "--new-rows",
    type=click.IntRange(1),
    metavar="N",
    help="train once the corpus has so many rows more than the last run saw",
)
@click.option(
    "--new-bytes",
    type=click.IntRange(1),
    metavar="N",
    help="train once its files are so much larger than the last run saw",
)
@click.option(
    "--max-age",
    type=options.Number(0, min_open=True),
    metavar="DAYS",
    help="train once the last run that came to an end is so old",
)
@click.option(
    "--drift", is_flag=True, help="train once what a bundle answers drifts; see bonafide monitor"
)
@options.record
@click.option(
    "--look-every",
    type=options.Number(0.1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="how often to look for new data, and at the age",
)
@click.option(
    "--notify",
    multiple=True,
    envvar="BONAFIDE_NOTIFY",
    metavar="URL",
    help="whom to tell how each run ended: mailto://, jsons://, slack:// and what else Apprise "
    "knows; may be given several times (in BONAFIDE_NOTIFY: separated by spaces)",
)
@options.config
@options.corpora
@options.verify
@keep_option
def run(
    cron: str | None,
    timezone: str | None,
    new_rows: int | None,
    new_bytes: int | None,
    max_age: float | None,
    drift: bool,
    record_file: Path | None,
    look_every: float,
    notify: tuple[str, ...],
    config: Path | None,
    corpora: tuple[str, ...],
    verify: bool,
    keep: int,
) -> None:
    """Train by the clock, new data, age or drift, until stopped.

    Where nothing changed since the last run, none is started, and the history says so. Stopping it,
    however it is stopped, also stops the training that is going on.
    """
    from bonafide.home import home
    from bonafide.training.schedule.notices import Notices
    from bonafide.training.schedule.runner import Schedule, train_command
    from bonafide.training.schedule.triggers import Watched, cron_trigger

    record = options.record_path(record_file) if drift else None
    if record and not record.exists():  # the service may be started later
        click.echo(f"no answers are recorded yet: {record} (BONAFIDE_RECORD)", err=True)
    rules = rules_of(cron, new_rows, new_bytes, max_age, record)
    trigger = None if cron is None else cron_trigger(cron, timezone)
    options.require_corpora("schedule run", corpora)  # now, not at three in the morning
    chosen = options.configuration(config)  # for the same reason
    notices = Notices(notify, _say)
    for stopping in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(stopping) != signal.SIG_IGN:  # as nohup has it
            signal.signal(stopping, lambda *_: sys.exit(0))
    Schedule(
        trigger,
        train_command(config, corpora, verify, keep),
        home(),
        say=_say,
        watched=Watched(corpora, chosen.model_dump_json(), home(), verify),
        rules=rules,
        look_every_s=look_every,
        tell=notices.tell,
    ).run()


def _say(line: str) -> None:
    """Print a line with its time."""
    from bonafide.history import stamp

    click.echo(f"{stamp()} {line}")


def rules_of(
    cron: str | None,
    new_rows: int | None,
    new_bytes: int | None,
    max_age: float | None,
    record: Path | None,
) -> "list[Rule]":
    """Return what makes a run due beside the clock."""
    from bonafide.home import home
    from bonafide.training.schedule.drift import Drift
    from bonafide.training.schedule.triggers import Age, NewData

    rules: list[Rule] = []
    if new_rows or new_bytes:
        rules.append(NewData(new_rows, new_bytes))
    if max_age:
        rules.append(Age(timedelta(days=max_age)))
    if record:
        rules.append(Drift(record, home()))
    if cron is None and not rules:
        named = "--cron, --new-rows, --new-bytes, --max-age or --drift"
        raise ConfigError("no_trigger", f"nothing says when to train; must be given {named}")
    return rules
