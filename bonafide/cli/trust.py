"""`bonafide models sign`, `verify`, `sbom` and `card`: what others need to trust a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options

if TYPE_CHECKING:
    from minisign import PublicKey

ref = click.argument("ref", required=False, metavar="[REF]")


@click.command(
    epilog="The key is one of minisign (minisign -G), whose program verifies the signature too. It "
    "lies beside manifest.json, which holds the hash of every other file, and changes no hash."
)
@click.argument("ref", metavar="REF")
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="the secret key; its password is asked for if it has one",
)
def sign(ref: str, key: Path) -> None:
    """Sign a bundle, so that others can verify it."""
    from bonafide.home import home
    from bonafide.registry import registry_of
    from bonafide.registry.trust import sign

    registry = registry_of(home())
    bundle = registry.read(ref)
    signature = sign(bundle, key, lambda: click.prompt("Password", hide_input=True, err=True))
    registry.versions.sign(bundle, signature)
    click.echo("{name}:{version}: signed".format(**bundle.identity))


@click.command("verify")
@ref
@click.option(
    "--key", metavar="PUB", help="a public key or its file; default: BONAFIDE_TRUSTED_KEYS"
)
def verify(ref: str | None, key: str | None) -> None:
    """Verify who signed a bundle.

    By default it is the one in production.
    """
    from bonafide.home import home
    from bonafide.registry import registry_of
    from bonafide.registry.trust import require_signed

    bundle = registry_of(home()).read(ref)
    said = require_signed(bundle, _keys(key))
    click.echo("{name}:{version}: verified, signed as: ".format(**bundle.identity) + said)


def _keys(key: str | None) -> "list[PublicKey]":
    from bonafide.registry.trust import VARIABLE, public_key, trusted_keys

    if keys := [public_key(key)] if key else trusted_keys():
        return keys
    raise click.UsageError(f"name a public key with --key, or in {VARIABLE}")


@click.command("sbom")
@ref
@click.option(
    "--output", type=options.OutputFile(), metavar="FILE", help="default: standard output"
)
def sbom(ref: str | None, output: Path | None) -> None:
    """Write which packages made a bundle (CycloneDX).

    By default it is the one in production.
    """
    import json

    from bonafide.home import home
    from bonafide.lineage.sbom import bill_of_materials
    from bonafide.registry import registry_of

    found = bill_of_materials(registry_of(home()).read(ref))
    _write(json.dumps(found, indent=1) + "\n", output)


@click.command("card")
@ref
@click.option("--licence", default="unknown", metavar="ID", help="of the bundle; default: unknown")
@click.option(
    "--output", type=options.OutputFile(), metavar="FILE", help="default: standard output"
)
def card(ref: str | None, licence: str, output: Path | None) -> None:
    """Write the model card as public hubs read it.

    That is with YAML before it, as README.md. By default it is of the bundle in production.
    """
    from bonafide.cli.extras import require

    require("yaml", "pyarrow")
    from bonafide.home import home
    from bonafide.lineage.hub import hub_card
    from bonafide.registry import registry_of

    _write(hub_card(registry_of(home()).read(ref), licence), output)


def _write(text: str, output: Path | None) -> None:
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)


COMMANDS = (sign, verify, sbom, card)
