"""`bonafide mcp`."""

import os
import signal
import sys
from pathlib import Path

import click

from bonafide.cli import options


@click.command()
@options.bundle
@click.option(
    "--files",
    type=options.NamedPath(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="this folder",
    metavar="FOLDER",
    help="the folder whose files may be judged; no other file is read",
)
@click.option(
    "--service",
    metavar="URL",
    help="a service that is running (its API key: BONAFIDE_API_KEY); default: one of its own",
)
def mcp(bundle: str | None, files: Path, service: str | None) -> None:
    """Give agents the tools detect, explain and provenance.

    It speaks the Model Context Protocol on standard input and output: programs that run agents
    start it.
    """
    from bonafide.cli.extras import require

    require("mcp")
    from bonafide.client import AsyncClient
    from bonafide.home import home
    from bonafide.process.service import running_service
    from bonafide.registry import find_bundle
    from serving.settings import Settings
    from serving.tools import tool_server

    key = os.environ.get("BONAFIDE_API_KEY", "")
    folder, most_bytes = files.resolve(), Settings.from_environment().max_body_bytes
    if service is not None:
        _require_own(bundle)
        tool_server(AsyncClient(service, key), folder, most_bytes, lambda: None).run()
        return
    words = ["--bundle", bundle] if bundle else []
    find_bundle(home(), bundle)  # now, and not once an agent asks
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what is running is ended
    # It starts meanwhile: who runs agents waits for the list of tools, and not long.
    with running_service("--workers", "1", *words, ready=False) as own:
        tool_server(AsyncClient(own.url), folder, most_bytes, own.wait_ready).run()


def _require_own(bundle: str | None) -> None:
    if bundle is not None:
        raise click.UsageError("--bundle: must be about a service of its own, not --service")
