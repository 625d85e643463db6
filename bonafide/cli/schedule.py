"""`bonafide schedule`."""

import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

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


@click.group()
def schedule() -> None:
    """Retrain on a schedule."""


@schedule.command()
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
    type=click.FloatRange(0, min_open=True),
    metavar="DAYS",
    help="train once the last run that came to an end is so old",
)
@click.option(
    "--drift", is_flag=True, help="train once what a bundle answers drifts; see bonafide monitor"
)
@options.record
@click.option(
    "--look-every",
    type=click.FloatRange(0.1),
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
    rules = _rules(cron, new_rows, new_bytes, max_age, record)
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


def _rules(
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


@schedule.command()
@click.option(
    "--target",
    type=click.Choice(["cron", "systemd", "kubernetes", "zenml"]),
    required=True,
    help="what is to start the runs",
)
@click.option("--cron", metavar="EXPR", help='such as "0 3 * * *"')
@click.option(
    "--timezone", default="UTC", show_default=True, metavar="NAME", help="such as Europe/Berlin"
)
@click.option(
    "--image",
    default="bonafide",
    show_default=True,
    help="for Kubernetes: with bonafide[train] in it",
)
@options.config
@options.corpora
@options.verify
@keep_option
@click.pass_context
def emit(
    context: click.Context,
    /,
    target: str,
    cron: str | None,
    timezone: str,
    image: str,
    config: Path | None,
    corpora: tuple[str, ...],
    verify: bool,
    keep: int,
    **given: Any,
) -> None:
    """Print what another scheduler needs to train by the clock.

    systemd keeps `bonafide schedule run` alive, and takes its other triggers, too.
    """
    from bonafide.home import home
    from bonafide.training.schedule.runner import train_command
    from bonafide.training.schedule.targets import TARGETS, Job, secrets_of, variables_of
    from bonafide.training.schedule.triggers import cron_trigger

    triggers = _triggers(context, target, cron, given)
    if cron is not None:
        cron_trigger(cron, timezone)
    options.require_corpora("schedule emit", corpora)
    settings = options.configuration(config).model_dump(mode="json")
    _, _, _, *words = train_command(config, corpora, verify, keep)  # python -m bonafide.cli
    variables, configs = variables_of(home()), [str(config.resolve())] if config else []
    if config and target == "kubernetes" and config.parent == options.configs_folder():
        words[words.index(configs.pop())] = config.stem  # the image has it, too
    if runs := variables.get("BONAFIDE_ZENML"):
        configs.append(runs)
    told = target == "systemd" and bool(given["notify"])
    job = Job(
        " ".join((cron or "").split()),  # a line end is a blank to those who read the fields
        *(timezone, [str(Path(sys.executable).with_name("bonafide")), *words], variables, settings),
        *([str(Path(path).resolve()) for path in corpora], image, triggers, configs),
        secrets=[*secrets_of(), *(["BONAFIDE_NOTIFY"] if told else [])],
    )
    click.echo(TARGETS[target](job), nl=False)
    _say_apart(target, job.secrets)
    if given["notify"] and not told:
        click.echo(f"{target} starts bonafide train, which heeds no BONAFIDE_NOTIFY", err=True)


OWN = {each.name for each in emit.params}
TRIGGERS = [each for each in run.params if each.name not in OWN]  # those of `run` alone
emit.params += TRIGGERS


def _triggers(
    context: click.Context, target: str, cron: str | None, given: dict[str, Any]
) -> list[str]:
    """Return the words of the triggers that `emit` was given, for those who start `run`.

    Returns
    -------
    list of str

    Raises
    ------
    ConfigError
        ``bad_target`` for a target that starts `bonafide train`; ``no_trigger``.
    click.UsageError
        Where that target was given no times.
    """
    words, typed = list[str](), list[str]()
    for each in TRIGGERS:
        name, value = str(each.name), given[str(each.name)]
        source = context.get_parameter_source(name)
        if source == ParameterSource.COMMANDLINE:
            typed.append(each.opts[0])
        if source == ParameterSource.DEFAULT or name == "notify":  # which may hold a password
            continue
        if name != "record_file":
            words += [each.opts[0]] if value is True else [each.opts[0], str(value)]
        elif given["drift"]:
            words += [each.opts[0], str(value.resolve())]
    if target == "systemd":
        from bonafide.training.schedule.notices import Notices

        Notices(given["notify"], click.echo)  # an address that is none shows now
        record = options.record_path(given["record_file"]) if given["drift"] else None
        _rules(cron, given["new_rows"], given["new_bytes"], given["max_age"], record)
        return words
    if typed:
        raise ConfigError(
            "bad_target",
            f"{', '.join(typed)}: {target} starts bonafide train by the clock, which knows none of "
            "these; --target systemd, which keeps bonafide schedule run alive, takes them",
        )
    if cron is None:
        raise click.UsageError("Missing option '--cron'.", context)
    return []


def _say_apart(target: str, secrets: Sequence[str]) -> None:
    """Name the settings that were left out, and where to set them."""
    from bonafide.training.schedule.targets import SECRETS_AT

    if secrets:
        said = f"not written, since they may be secret: {', '.join(secrets)}; set them"
        click.echo(f"{said} {SECRETS_AT[target]}", err=True)
