"""`bonafide models shadow` and `canary`: bundles beside the one in production."""

from typing import TYPE_CHECKING

import click

from bonafide.cli.registry import why

if TYPE_CHECKING:
    from bonafide.registry import Role

off = click.option("--off", is_flag=True, help="have none any more")


@click.command("shadow")
@click.argument("model", required=False, metavar="[REF]")
@off
@why
def shadow(model: str | None, off: bool, why: str) -> None:
    """Have a kept bundle listen to what is answered.

    Services that follow the registry have it score what was answered once more; nobody gets that.
    """
    _switch("shadow", model, 0.0, off, why)


@click.command("canary")
@click.argument("model", required=False, metavar="[REF:SHARE%]")
@off
@why
def canary(model: str | None, off: bool, why: str) -> None:
    """Have a kept bundle answer a share of the clients.

    Services that follow the registry stop it where it does worse than it may, which the journal
    says then.
    """
    from bonafide.registry.beside import split_share

    ref, share = split_share(model) if model else (None, 0.0)
    _switch("canary", ref, share, off, why)


def _switch(role: "Role", ref: str | None, share: float, off: bool, why: str) -> None:
    from bonafide.home import home
    from bonafide.registry import registry_of
    from bonafide.registry.beside import begin, end, percent

    if bool(ref) == off:
        raise click.UsageError("name a bundle, or give --off")
    registry = registry_of(home())
    if ref is None:
        entry = end(registry, role, why=why)
        click.echo(f"{entry.bundle}: no {role} any more" if entry else f"there is no {role}")
        return
    entry = begin(registry, role, registry.find(ref), share=share, why=why)
    said = f"answers {percent(share)} of the clients" if share else "listens"
    click.echo(f"{entry.bundle}: the {role} {said} now" if entry else f"{ref}: {said} already")


COMMANDS = (shadow, canary)
