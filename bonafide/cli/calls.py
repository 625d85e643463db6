"""`bonafide calls`."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options

if TYPE_CHECKING:
    from serving.calls.listening import Address


class HostPort(click.ParamType["Address"]):
    """Where to listen: HOST:PORT, or PORT of this machine alone."""

    name = "[HOST:]PORT"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Address":
        """Take it apart."""
        host, _, port = value.rpartition(":")
        if not (port.isascii() and port.isdigit() and int(port) < 65_536):
            self.fail(f"{value!r}: must be HOST:PORT, or a port of this machine", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


@click.command()
@click.option("--audiosocket", type=HostPort(), help="listen for Asterisk (AudioSocket)")
@click.option("--twilio", type=HostPort(), help="listen for Twilio's Media Streams")
@options.bundle
@options.service
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="add what is said to a file; default: print it",
)
def calls(
    audiosocket: "Address | None",
    twilio: "Address | None",
    bundle: str | None,
    service: str | None,
    output: Path | None,
) -> None:
    """Judge telephone calls while they last, as exchanges send them.

    What is said of each voice comes as one JSON object a line, every half second and at the end.
    Ctrl-C ends all calls as a hang-up does.
    """
    from bonafide.errors import storing
    from serving.calls.listening import listen

    wanted = _wanted({"audiosocket": audiosocket, "twilio": twilio})
    options.require_own(bundle, service)
    key = os.environ.get("BONAFIDE_API_KEY", "") if service else ""
    with contextlib.ExitStack() as opened:
        url = service or opened.enter_context(_own(bundle))
        if output is None:
            listen(wanted, url, key, lambda line: click.echo(line))
            return
        with storing(output), output.open("a", encoding="utf-8", buffering=1) as file:
            listen(wanted, url, key, lambda line: print(line, file=file))


def _wanted(places: Mapping[str, "Address | None"]) -> "dict[str, Address]":
    wanted = {name: place for name, place in places.items() if place}
    if not wanted:
        raise click.UsageError("--audiosocket or --twilio: one must be given")
    return wanted


@contextlib.contextmanager
def _own(bundle: str | None) -> Iterator[str]:
    """Run a service until the block ends."""
    from bonafide.home import home
    from bonafide.process.service import own_environment, running_service
    from bonafide.registry import find_bundle

    find_bundle(home(), bundle)
    words = ["--bundle", bundle] if bundle else []
    with (
        tempfile.TemporaryDirectory(prefix="bonafide-calls-") as place,
        running_service(
            *("--workers", "1", *words), environment=own_environment(), log=Path(place) / "log"
        ) as service,
    ):
        yield service.url
