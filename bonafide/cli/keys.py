"""`bonafide keys`."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from bonafide.cli import options

SPAN = re.compile(r"(\d{1,5})([dh])")


class Until(click.ParamType[datetime]):
    """A time in the future: a date, a time with or without an offset, or a span such as 30d."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, in UTC unless it says otherwise."""
        if span := SPAN.fullmatch(value):
            hours = int(span[1]) * (24 if span[2] == "d" else 1)
            return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: must be a date, a time or a span such as 30d or 12h", param, ctx)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


FILE = click.Path(path_type=Path)


@click.group()
def keys() -> None:
    """Manage the API keys of the service.

    A service that runs picks up changes within a second.
    """


@keys.command()
@click.argument("file", metavar="FILE", type=options.OutputFile())
@click.argument("name", metavar="NAME")
@click.option("--rate", type=float, metavar="N", help="requests a minute; default: 600")
@click.option("--burst", type=float, metavar="N", help="requests at once; default: those of 10 s")
@click.option(
    "--expires",
    type=Until(),
    metavar="WHEN",
    help="such as 2027-01-31 (UTC) or 30d; default: never",
)
def add(
    file: Path, name: str, rate: float | None, burst: float | None, expires: datetime | None
) -> None:
    """Make an API key for NAME.

    It is printed once; FILE, which is created if it does not exist, keeps its hash.
    """
    from serving.http.keys import DEFAULT_RATE_PER_MINUTE, add_key

    rate = DEFAULT_RATE_PER_MINUTE if rate is None else rate
    click.echo(add_key(file, name, rate, burst, expires))


@keys.command("list")
@click.argument("file", metavar="FILE", type=FILE)
@options.as_json
def show(file: Path, as_json: bool) -> None:
    """List the API keys in FILE.

    Names and limits, never the keys themselves.
    """
    import json

    from serving.http.keys import parse_keys, read_private

    found = parse_keys(file, read_private(file))
    rows = [
        {
            "name": key.name,
            "rate_per_minute": key.rate_per_minute,
            "burst": key.most,
            "expires": key.expires,
            "expired": key.expired(),
        }
        for key in found
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    click.echo(f"{'name':24} {'a minute':>9} {'at once':>8}  expires")
    for row in rows:
        until = row["expires"] or "never"
        note = " (expired)" * bool(row["expired"])
        click.echo(
            f"{row['name']:24} {row['rate_per_minute']:>9g} {row['burst']:>8g}  {until}{note}"
        )


@keys.command()
@click.argument("file", metavar="FILE", type=FILE)
@click.argument("name", metavar="NAME")
def revoke(file: Path, name: str) -> None:
    """Revoke the API key of NAME.

    Services that use FILE stop to accept it.
    """
    from serving.http.keys import revoke_key

    revoke_key(file, name)
