"""Starting the service: checks first, then BentoML's own server."""

import errno
import os
import socket
import sys
import tempfile
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from bonafide.bundle import Bundle
from bonafide.detector import Detector
from bonafide.errors import ConfigError
from bonafide.home import bundle_folder, find_bundle, home
from serving.http.endpoints import find_endpoints
from serving.http.keys import read_keys
from serving.settings import Settings, is_loopback
from serving.workers.queue import PREFIX, sweep

SERVICE = "serving.service:Bonafide"
SOCKET_BYTES = 107  # of a socket's path


def check(settings: Settings, host: str, port: int) -> Bundle:
    """Check what is to be served, before a server starts.

    Parameters
    ----------
    settings : Settings
        Those of the service.
    host : str
        The address that it will listen on.
    port : int
        The port that it will listen on.

    Returns
    -------
    Bundle
        The one that will be served.

    Raises
    ------
    ConfigError
        ``keys_required`` for an address that other machines can reach, without keys; ``bad_keys``;
        ``bad_endpoint``; ``bad_host``; ``port_taken``; ``bad_tmpdir``.
    BundleError
        What `bonafide.home.find_bundle` and `bonafide.detector.Detector` raise.
    """
    find_endpoints(settings.endpoint_names)
    if settings.keys:
        read_keys(Path(settings.keys))
    elif not (is_loopback(host) or settings.anonymous):
        raise ConfigError(
            "keys_required",
            f"--host {host} is reached by other machines: name a file of API keys with --keys "
            "(bonafide keys add), or pass --anonymous",
        )
    _check_temporary_folder()
    _check_free(host, port)
    return Detector(find_bundle(home(), settings.bundle or None)).bundle


def _check_temporary_folder() -> None:
    """Check that the folder where uploads and sockets lie is one; Python would take another."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        if folder := os.environ.get(name):
            if not (Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)):
                message = f"{name}={folder}: must be a folder that can be written to"
                raise ConfigError("bad_tmpdir", message)
            break
    folder = tempfile.gettempdir()
    longest = SOCKET_BYTES - len(f"/{PREFIX}{os.getuid()}-{os.getpid()}/4194304.sock")
    if len(os.fsencode(folder)) > longest:
        message = f"TMPDIR={folder}: sockets lie in it, so it must be at most {longest} bytes long"
        raise ConfigError("bad_tmpdir", message)


def _check_free(host: str, port: int) -> None:
    """Check that a port of this machine can be listened on."""
    try:
        family = socket.AF_INET6 if ip_address(_address(host)).version == 6 else socket.AF_INET
    except ValueError as error:
        message = f"--host {host}: must be an IP address of this machine, or localhost"
        raise ConfigError("bad_host", message) from error
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_address(host), port))
            probe.listen()
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            message = f"--host {host} --port {port}: cannot be listened on: {error.strerror}"
            raise ConfigError("port_taken" if busy else "bad_address", message) from error


def _address(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def environment(settings: Settings, port: int) -> dict[str, str]:
    """Return the environment that BentoML's server runs in, which changes its folder."""
    service = home() / "service" / str(port)  # BentoML keeps one server's counters there
    service.mkdir(parents=True, exist_ok=True)
    if settings.bundle:
        settings = replace(settings, bundle=str(bundle_folder(home(), settings.bundle)))
    return {
        "BENTOML_HOME": str(service),
        "BENTOML_DO_NOT_TRACK": "true",
        **os.environ,
        **settings.absolute().to_environment(),
        "BONAFIDE_HOME": str(home()),
        "TMPDIR": tempfile.gettempdir(),
    }


def serve(settings: Settings, host: str, port: int) -> None:
    """Become BentoML's server; never return."""
    sweep()
    root = Path(__file__).resolve().parent.parent
    words = ["-m", "bentoml", "serve", SERVICE, "--host", _address(host), "--port", str(port)]
    words += ["--working-dir", str(root)]
    os.execve(sys.executable, [sys.executable, *words], environment(settings, port))  # noqa: S606
