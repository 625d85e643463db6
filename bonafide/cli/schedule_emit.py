"""`bonafide schedule emit`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bonafide.cli import options
from bonafide.cli.schedule_run import keep_option, rules_of, run
from bonafide.errors import ConfigError


@click.command()
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
        click.echo(f"{target} starts {STARTED[target]}, which heeds no BONAFIDE_NOTIFY", err=True)


OWN = {each.name for each in emit.params}
TRIGGERS = [each for each in run.params if each.name not in OWN]  # those of `run` alone
emit.params += TRIGGERS
TRAIN = "bonafide train"
STARTED = {"cron": TRAIN, "kubernetes": TRAIN, "zenml": "the pipeline"}  # by other targets


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
        if _is_typed(context, name):
            typed.append(each.opts[0])
        if source == ParameterSource.DEFAULT or name == "notify":  # which may hold a password
            continue
        if name != "record_file":
            words += [each.opts[0]] if value is True else [each.opts[0], str(value)]
        elif given["drift"]:
            words += [each.opts[0], str(value.resolve())]
    if target == "zenml":  # whose orchestrator runs the pipeline alone
        typed += [f"--{name}" for name in ("verify", "keep") if _is_typed(context, name)]
    if target == "systemd":
        from bonafide.training.schedule.notices import Notices

        Notices(given["notify"], click.echo)  # an address that is none shows now
        record = options.record_path(given["record_file"]) if given["drift"] else None
        rules_of(cron, given["new_rows"], given["new_bytes"], given["max_age"], record)
        return words
    if typed:
        raise ConfigError(
            "bad_target",
            f"{', '.join(typed)}: {target} starts {STARTED[target]} by the clock, which knows none "
            "of these; --target systemd, which keeps bonafide schedule run alive, takes them",
        )
    if cron is None:
        raise click.UsageError("Missing option '--cron'.", context)
    return []


def _is_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) == ParameterSource.COMMANDLINE


def _say_apart(target: str, secrets: Sequence[str]) -> None:
    """Name the settings that were left out, and where to set them."""
    from bonafide.training.schedule.targets import SECRETS_AT

    if secrets:
        said = f"not written, since they may be secret: {', '.join(secrets)}; set them"
        click.echo(f"{said} {SECRETS_AT[target]}", err=True)
