"""`bonafide keys`."""

from pathlib import Path

import click

from bonafide.cli import options


@click.group()
def keys() -> None:
    """Manage the API keys of the service."""


@keys.command()
@click.argument("file", metavar="FILE", type=options.OutputFile())
@click.argument("name", metavar="NAME")
@click.option("--rate", type=float, metavar="N", help="requests a minute; default: 600")
def add(file: Path, name: str, rate: float | None) -> None:
    """Make an API key for NAME.

    It is printed once; FILE, which is created if it does not exist, keeps its hash.
    """
    from serving.http.keys import DEFAULT_RATE_PER_MINUTE, add_key

    click.echo(add_key(file, name, DEFAULT_RATE_PER_MINUTE if rate is None else rate))
