"""Starting the page, and its own service beside it."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from streamlit.web import bootstrap

from bonafide.errors import ConfigError
from bonafide.process.service import LOOPBACK, own_environment, running_service
from serving.app.allowed import Allowed
from serving.app.client import URL, Service
from serving.app.palette import ACCENT
from serving.settings import Settings

STOP_S = 15.0
PAGE = Path(__file__).with_name("page.py")


def options(port: int, max_body_bytes: int) -> dict[str, Any]:
    """Return Streamlit's settings, so that no file of the user's decides them."""
    return {
        "server.address": LOOPBACK,
        "server.port": port,
        "server.headless": True,
        "server.allowedHosts": [LOOPBACK, "localhost"],
        "server.maxUploadSize": max(1, max_body_bytes // 2**20),
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,  # to search engines and chatbots
        "runner.magicEnabled": False,
        "theme.light.primaryColor": ACCENT["light"],
        "theme.dark.primaryColor": ACCENT["dark"],
        "theme.paddingTop": "3rem",
        "theme.headingFontSizes": ["2.25rem", "1.75rem", "1.25rem"],
    }


def check_port(port: int) -> None:
    """Check, before anything starts, that a port is free.

    Parameters
    ----------
    port : int
        On this machine.

    Raises
    ------
    ConfigError
        ``port_taken`` if it cannot be listened on.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                "port_taken", f"--port {port}: cannot be listened on: {error}"
            ) from error


@contextlib.contextmanager
def own_service() -> Iterator[str]:
    """Run a service on this machine while the page runs.

    Yields
    ------
    str
        Its address, ``http://host:port``.

    Raises
    ------
    StartError
        ``no_service`` if it ends, or is not ready in time; standard error has its messages.
    """
    words = ("--host", LOOPBACK, "--workers", "1")
    with running_service(*words, environment=own_environment(), stop_s=STOP_S) as service:
        yield service.url


def run_page(service: Service, port: int, allowed: Allowed) -> None:
    """Serve the page until a signal stops it."""
    os.environ |= {URL: service.url, **allowed.to_environment()}
    flags = options(port, Settings.from_environment().max_body_bytes)
    bootstrap.load_config_options(flags)
    bootstrap.run(str(PAGE), False, [], flags)


def launch(port: int, url: str | None, allowed: Allowed, say: Callable[[str], None]) -> None:
    """Run the page with a given service, or with its own.

    Parameters
    ----------
    port : int
        Port of the page.
    url : str or None
        Address of a running service; None to start one.
    allowed : Allowed
        What visitors may do.
    say : callable
        Called with what is going on, in words.

    Raises
    ------
    ConfigError
        ``bad_service`` or ``port_taken``; ``not_own`` if visitors may manage a given service.
    StartError
        What `own_service` raises.
    """
    if allowed.manage and not allowed.own:
        raise ConfigError(
            "not_own", f"--manage: must be about a service of the page's own, not about {url}"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what is running is ended
    check_port(port)
    if url is not None:
        run_page(Service(url), port, allowed)
        return
    say("bonafide: starting the detector; Ctrl-C ends it and the page")
    with own_service() as own:
        run_page(Service(own), port, allowed)
