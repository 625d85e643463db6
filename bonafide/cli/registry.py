"""`bonafide models`: the registry's commands."""

from typing import TYPE_CHECKING, Any

import click

from bonafide.cli import options

if TYPE_CHECKING:
    from bonafide.bundle import Bundle
    from bonafide.registry import Entry, Registry

COLUMNS = ("name", "version", "stage", "beside", "held", "created", "sha256")
JOURNAL = ("number", "at", "by", "action", "bundle", "from", "to", "why")
model = click.argument("model", required=False, metavar="[REF]")
why = click.option("--why", metavar="TEXT", default="", help="what the journal says of it")


def _registry() -> "Registry":
    from bonafide.home import home
    from bonafide.registry import registry_of

    return registry_of(home())


@click.command("list")
@click.option("--journal", is_flag=True, help="show every switch instead, the newest first")
@options.as_json
def list_(journal: bool, as_json: bool) -> None:
    """List what is kept, the newest first, and what is shipped.

    Stages: staging, production, archived (it was in production), shipped, missing (the journal
    names it and its folder is gone). Beside the one in production may be a shadow and a canary.
    """
    from bonafide.cli.terminal import show_records
    from bonafide.registry.listing import SHIPPED, listed

    registry = _registry()
    if journal:
        entries = registry.journal()[::-1]
        rows = [entry.to_json() if as_json else _plain(entry) for entry in entries]
        show_records(rows, JOURNAL, as_json)
        return
    found = listed(registry)
    show_records([{key: each[key] for key in COLUMNS} for each in found], COLUMNS, as_json)
    if all(each["stage"] == SHIPPED for each in found):
        click.echo(
            f"{registry.url}: no bundle is kept here yet; the shipped default answers", err=True
        )


def _plain(entry: "Entry") -> dict[str, Any]:
    """Return an entry of the journal as a row of a table."""
    from bonafide.registry.beside import percent

    versions = {"bundle": entry.bundle, "from": entry.before, "to": entry.after}
    why = f"override: {entry.why}" if entry.override else entry.why
    plain = {key: str(version or "-") for key, version in versions.items()}
    if entry.share:
        plain["bundle"] += f":{percent(entry.share)}"
    return {**entry.to_json(), **plain, "why": why}


@click.command("show")
@model
@options.as_json
def show(model: str | None, as_json: bool) -> None:
    """Show a bundle, by default that in production, and its switches.

    Where none is in production, it is the shipped default.
    """
    from bonafide.cli.terminal import show_json, show_values
    from bonafide.errors import printable
    from bonafide.registry import Version

    registry = _registry()
    bundle = registry.read(model)
    manifest = dict(bundle.manifest)
    del manifest["files"]
    version = Version.of(bundle)
    entries = [entry for entry in registry.journal() if entry.bundle == version]
    if as_json:
        show_json({**manifest, "journal": [entry.to_json() for entry in entries]})
        return
    switches = {
        printable(each.at): printable(f"{each.action} by {each.by}: {_plain(each)['why']}")
        for each in entries
    }
    show_values(f"bundle {version}", {**manifest, **({"journal": switches} if switches else {})})


@click.command("promote")
@click.argument("model", metavar="REF")
@why
@click.option("--override", metavar="REASON", default="", help="go past the gate; it is journalled")
def promote(model: str, why: str, override: str) -> None:
    """Put a kept bundle into production, if the gate let it pass."""
    registry = _registry()
    seen = registry.state()
    entry = registry.promote(registry.find(model), why=why, override=override, seen=seen)
    click.echo(_switched(entry) if entry else f"{model}: is in production already")


@click.command("rollback")
@model
@why
def rollback(model: str | None, why: str) -> None:
    """Put an earlier bundle back into production, and hold it there.

    By default that which was in production before.
    """
    click.echo(_switched(_registry().rollback(model, why=why)))


def _switched(entry: "Entry") -> str:
    held = " and held" if entry.action == "rollback" else ""
    return f"{entry.after}: in production now{held}, instead of {entry.before or 'what ships'}"


@click.command("hold")
@model
@why
def hold(model: str | None, why: str) -> None:
    """Hold a bundle, by default the one in production.

    Until it is released, no promotion replaces it, or puts it into production. A canary that is
    held answers nobody any more.
    """
    registry = _registry()
    ref = model or _served(registry)
    bundle, canary = registry.read(ref), registry.state().beside.get("canary")
    entry = registry.hold(bundle, why=why)
    click.echo(f"{ref}: held" if entry else f"{ref}: is held already")
    if entry and canary and canary.bundle == entry.bundle:
        click.echo(f"{entry.bundle}: no canary any more")


@click.command("release")
@model
@why
def release(model: str | None, why: str) -> None:
    """End the hold of a bundle, by default of that in production.

    A candidate that was kept meanwhile does not go into production by itself: what waits is named.
    """
    from bonafide.registry.listing import waiting

    registry = _registry()
    ref = model or _served(registry)
    entry = registry.release(registry.read(ref), why=why)
    click.echo(f"{ref}: released" if entry else f"{ref}: is not held")
    if entry and (candidate := waiting(registry)):
        said = f"{candidate}: was kept meanwhile, and does not go into production by itself"
        click.echo(f"{said}: bonafide models promote {candidate}")


def _served(registry: "Registry") -> str:
    from bonafide.errors import RegistryError

    if (served := registry.production()) is None:
        raise RegistryError("none_served", f"{registry.url}: nothing is in production; name a REF")
    return str(served)


@click.command("diff")
@click.argument("one", metavar="REF")
@click.argument("other", required=False, metavar="[REF]")
@options.as_json
def diff(one: str, other: str | None, as_json: bool) -> None:
    """Show what differs between the manifests of two bundles.

    The second is by default that in production. Long values are cut short; --json has them whole.
    """
    from bonafide.cli.terminal import show_json, show_table
    from bonafide.registry.difference import difference, shown

    registry = _registry()
    first, second = registry.read(one), registry.read(other)
    found = difference(first.manifest, second.manifest)
    if as_json:
        show_json([{"entry": key, "first": a, "second": b} for key, (a, b) in found.items()])
        return
    names = ["{name}:{version}".format(**each.identity) for each in (first, second)]
    rows = [[key, *map(shown, ends)] for key, ends in found.items()]
    show_table(["entry", *names], rows, justify="left")


@click.command("push")
@model
@click.option("--to", "url", required=True, metavar="URL", help="a folder, s3:// or gs://")
def push(model: str | None, url: str) -> None:
    """Copy a bundle into another registry.

    By default it is the one in production.
    """
    registry = _registry()
    _copy(registry, _other(url), registry.read(model))


@click.command("pull")
@model
@click.option("--from", "url", required=True, metavar="URL", help="a folder, s3:// or gs://")
def pull(model: str | None, url: str) -> None:
    """Copy a bundle from another registry.

    By default it is the one that is in production there.
    """
    source = _other(url)
    _copy(source, _registry(), _kept_there(source, model))


def _other(url: str) -> "Registry":
    from bonafide.home import home
    from bonafide.registry import Registry

    return Registry(url, home())


def _kept_there(source: "Registry", model: str | None) -> "Bundle":
    """Read a bundle that another registry keeps; what ships is kept in none."""
    from bonafide.errors import RegistryError

    bundle = source.read(model or _served(source))
    if not source.keeps(bundle):
        raise RegistryError("not_kept", f"{model}: is not kept in {source.url}")
    return bundle


def _copy(source: "Registry", target: "Registry", bundle: "Bundle") -> None:
    from bonafide.bundle import SIGNATURE
    from bonafide.registry import Version

    kept = source.copy_to(target, bundle)
    click.echo(f"{Version.of(bundle)}: kept in {target.url} as {Version.of(kept)}")
    if (bundle.folder / SIGNATURE).is_file() and not (kept.folder / SIGNATURE).is_file():
        said = "its signature holds of another manifest and stayed behind: sign it there"
        click.echo(f"{Version.of(kept)}: {said}", err=True)


COMMANDS = (list_, show, promote, rollback, hold, release, diff, push, pull)
