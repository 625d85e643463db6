"""`bonafide mcp`."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from bonafide.cli import options

if TYPE_CHECKING:
    from bonafide.process.service import Service

INTERRUPTED = 130
LEAVE_S = 10.0  # that its service may take to end


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
@options.service
def mcp(bundle: str | None, files: Path, service: str | None) -> None:
    """Give agents the tools detect, explain and provenance.

    It speaks the Model Context Protocol on standard input and output: programs that run agents
    start it.
    """
    from bonafide.cli.extras import require

    _ends_by_signals(lambda: None)  # an interrupt may be lost while libraries are imported
    require("mcp")
    from bonafide.client import AsyncClient
    from bonafide.home import home
    from bonafide.process.service import own_environment, running_service
    from bonafide.registry import find_bundle
    from serving.settings import Settings
    from serving.tools import tool_server

    key = os.environ.get("BONAFIDE_API_KEY", "")
    folder, most_bytes = files.resolve(), Settings.from_environment().max_body_bytes
    options.require_own(bundle, service)
    if service is not None:
        server = tool_server(AsyncClient(service, key), folder, most_bytes, lambda: None)
        server.run()
        return
    words = ["--bundle", bundle] if bundle else []
    find_bundle(home(), bundle)  # now, and not once an agent asks
    with tempfile.TemporaryDirectory(prefix="bonafide-mcp-") as place:
        # It starts meanwhile: who runs agents waits for the list of tools, and not long.
        with running_service(
            *("--workers", "1", *words),
            environment=own_environment(),
            log=Path(place) / "log",
            ready=False,
        ) as own:

            def leave() -> None:
                if own.end(LEAVE_S) is None:
                    own.kill()
                shutil.rmtree(place, ignore_errors=True)

            _ends_by_signals(leave)
            tool_server(AsyncClient(own.url), folder, most_bytes, _Readiness(own)).run()


class _Readiness:
    """Waits until a service can be asked, and says so where it has ended since."""

    def __init__(self, service: "Service") -> None:
        self._service, self._was_ready = service, False

    def __call__(self) -> None:
        from bonafide.process.service import StartError

        if not self._was_ready:
            self._service.wait_ready()
            self._was_ready = True
        if (status := self._service.process.poll()) is not None:
            why = f"the service has ended, with status {status}; start bonafide mcp again"
            raise StartError("no_service", why)


def _ends_by_signals(leave: Callable[[], None]) -> None:
    """Have signals end this process: a thread of the SDK waits for a line that may not come."""

    def end(number: int, _frame: FrameType | None) -> None:
        leave()
        os._exit(INTERRUPTED if number == signal.SIGINT else 0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
