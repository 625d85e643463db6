"""Starting the service: checks first, then BentoML's own server."""

import os
import sys
from pathlib import Path

from bonafide.bundle import Bundle
from bonafide.errors import ConfigError
from bonafide.home import find_bundle, home
from serving.http.endpoints import find_endpoints
from serving.http.keys import read_keys
from serving.settings import Settings, is_loopback
from serving.workers.queue import sweep

SERVICE = "serving.service:Bonafide"


def check(settings: Settings, host: str) -> Bundle:
    """Check what is to be served, before a server starts.

    Parameters
    ----------
    settings : Settings
        Those of the service.
    host : str
        The address that it will listen on.

    Returns
    -------
    Bundle
        The one that will be served.

    Raises
    ------
    ConfigError
        ``keys_required`` for an address that other machines can reach, without keys; ``bad_keys``;
        ``bad_endpoint``.
    BundleError
        What `bonafide.home.find_bundle` raises.
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
    return find_bundle(home(), settings.bundle_folder)


def environment(settings: Settings, port: int) -> dict[str, str]:
    """Return the environment that BentoML's server runs in."""
    service = home() / "service" / str(port)  # BentoML keeps one server's counters there
    service.mkdir(parents=True, exist_ok=True)
    return {
        "BENTOML_HOME": str(service),
        "BENTOML_DO_NOT_TRACK": "true",
        **os.environ,
        **settings.to_environment(),
    }


def serve(settings: Settings, host: str, port: int) -> None:
    """Become BentoML's server; never return."""
    sweep()
    root = Path(__file__).resolve().parent.parent
    address = "127.0.0.1" if host == "localhost" else host
    words = ["-m", "bentoml", "serve", SERVICE, "--host", address, "--port", str(port)]
    words += ["--working-dir", str(root)]
    os.execve(sys.executable, [sys.executable, *words], environment(settings, port))  # noqa: S606
