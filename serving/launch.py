"""Starting the service: checks first, then BentoML's own server."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from bonafide.bundle import Bundle
from bonafide.errors import ConfigError
from bonafide.home import home
from bonafide.process.confine import ConfinedError, end
from bonafide.process.service import is_loopback
from bonafide.registry import bundle_folder, find_bundle
from bonafide.registry.beside import percent, split_share
from serving.http.audit import Audit
from serving.http.endpoints import find_endpoints
from serving.http.keys import read_keys
from serving.http.recorder import Recorder
from serving.jobs.work import check_jobs
from serving.settings import Settings
from serving.traces import tracing
from serving.workers.folder import VARIABLE, make_run_folder, temporary_folder
from serving.workers.keeper import start_scorer
from serving.workers.supervisor import STOPPING

SERVICE = "serving.service:Bonafide"


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
        ``bad_endpoint``; ``bad_tmpdir``; ``bad_host``; ``port_taken``; ``bad_setting``;
        ``not_installed`` for traces without their extra.
    BundleError
        What `bonafide.registry.find_bundle` raises.
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
    temporary_folder()
    tracing(os.environ)
    check_port(_address(host), port)
    if settings.metrics_address:
        named = f"BONAFIDE_METRICS={settings.metrics}"
        if settings.metrics_address[1] == port:
            raise ConfigError("bad_setting", f"{named}: must be another port than --port {port}")
        check_port(*settings.metrics_address, named)
    if settings.audit:
        Audit(Path(settings.audit))
    if settings.record:
        Recorder(Path(settings.record))
    check_jobs(settings)
    if settings.shadow:
        find_bundle(home(), settings.shadow)
    if settings.canary:
        find_bundle(home(), split_share(settings.canary)[0])
    return find_bundle(home(), settings.bundle or None)


def check_port(address: str, port: int, named: str = "") -> None:
    """Check, before anything is touched, that an address can be listened on.

    Parameters
    ----------
    address : str
        An IP address of this machine.
    port : int
        The port.
    named : str
        What they were given as; empty for the options of `bonafide serve`.

    Raises
    ------
    ConfigError
        ``port_taken`` if it cannot.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()  # two may be bound to one port, one alone may listen
        except OSError as error:
            named = named or f"--host {address} --port {port}"
            message = f"{named}: cannot be listened on: {error.strerror}"
            raise ConfigError("port_taken", message) from error


async def check_scorer(folder: Path, bundle: Bundle, settings: Settings) -> None:
    """Start a scorer once, as every worker will, and end it.

    Parameters
    ----------
    folder : Path
        The run folder.
    bundle : Bundle
        The one to score with.
    settings : Settings
        Those of the service.

    Raises
    ------
    ConfinedError
        ``confined_failed`` if it does not start.
    """
    try:
        await end(await start_scorer(folder, bundle, settings))
    except (ConfinedError, OSError) as error:
        message = f"{error}; its address space is BONAFIDE_SCORER_MB={settings.scorer_mb:g}"
        raise ConfinedError("confined_failed", message) from error


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    """Return the environment of BentoML's server: all that it writes lies in the run folder.

    Paths are absolute, since its processes work in another folder than the user.
    """
    return {
        **os.environ,
        "BENTOML_HOME": str(folder / "bentoml"),  # its counters are there
        "BENTOML_DO_NOT_TRACK": "true",
        "TMPDIR": str(folder),
        VARIABLE: str(folder),
        "BONAFIDE_HOME": str(home()),
        **settings.absolute().to_environment(),
    }


def serve(settings: Settings, bundle: Bundle, host: str, port: int) -> None:
    """Become BentoML's server; never return.

    Parameters
    ----------
    settings : Settings
        Those of the service.
    bundle : Bundle
        What `check` returned.
    host : str
        The address to listen on.
    port : int
        The port to listen on.

    Raises
    ------
    ConfigError
        ``bad_tmpdir`` if no run folder can be made.
    ConfinedError
        ``confined_failed`` if no scorer starts.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as BentoML answers it
    if settings.bundle:  # by whatever name, it is the one that was checked
        settings = replace(settings, bundle=str(bundle.folder))
    if settings.shadow:
        settings = replace(settings, shadow=str(bundle_folder(home(), settings.shadow)))
    if settings.canary:
        ref, share = split_share(settings.canary)
        settings = replace(settings, canary=f"{bundle_folder(home(), ref)}:{percent(share)}")
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the folder would be removed again
    folder = make_run_folder()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        asyncio.run(check_scorer(folder, bundle, settings))
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until `prepare` can clean up
        root = Path(__file__).resolve().parent.parent
        words = ["-m", "bentoml", "serve", SERVICE]
        words += ["--host", _address(host), "--port", str(port), "--working-dir", str(root)]
        os.execve(sys.executable, [sys.executable, *words], environment(settings, folder))  # noqa: S606
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _address(host: str) -> str:
    """Return the IP address of a host, which BentoML needs."""
    try:
        return str(ip_address(host))
    except ValueError as error:
        if is_loopback(host):  # by a name
            return "127.0.0.1"
        message = f"--host {host}: must be an IP address of this machine, or localhost"
        raise ConfigError("bad_host", message) from error
