"""Run the service as a child process: start it, wait for it, and end it with all it started."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import ip_address
from pathlib import Path

from bonafide.errors import BonafideError
from bonafide.process.lifetime import descendants, end_with_parent

LOOPBACK = "127.0.0.1"
SERVE = (sys.executable, "-m", "bonafide.cli", "serve")
START_S, STOP_S = 90.0, 30.0
POLL_S = 0.02
QUOTED = 3000
FOR_OTHERS = (
    *("BONAFIDE_KEYS", "BONAFIDE_METRICS"),
    *("BONAFIDE_JOBS", "BONAFIDE_CALLBACKS", "BONAFIDE_CALLBACK_SECRET"),
)


class StartError(BonafideError):
    """A service that does not start."""


def own_environment() -> dict[str, str]:
    """Return the environment of a service that this process alone asks.

    Returns
    -------
    dict of str to str
        This process's, without what is meant for a service that others reach: its keys, the
        address of its metrics, its jobs and their callbacks.
    """
    return {name: value for name, value in os.environ.items() if name not in FOR_OTHERS}


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Return whether an address or host name can be reached from this machine alone.

    Parameters
    ----------
    host : str
        In any case, with or without a dot at its end.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_loopback("LOCALHOST"), is_loopback("localhost."), is_loopback("::ffff:127.0.0.1")
    (True, True, True)
    """
    host = host.lower().removesuffix(".")
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@dataclass(frozen=True)
class Service:
    """A service that this process has started and will end.

    Parameters
    ----------
    process : subprocess.Popen
        Its first process, the leader of a group of its own.
    port : int
        Port of this machine that it listens on.
    log : Path or None
        What it prints; None where that goes to standard error.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def is_ready(self) -> bool:
        """Return whether /readyz says that it is ready."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_ready(self, limit_s: float = START_S) -> None:
        """Wait until it is ready.

        Parameters
        ----------
        limit_s : float
            Seconds that it may take.

        Raises
        ------
        StartError
            ``no_service`` if it ends, or is not ready in time.
        """
        deadline = time.monotonic() + limit_s
        while not self.is_ready():
            if (status := self.process.poll()) is not None:
                why = f"the service ended with status {status} while it started"
                raise StartError("no_service", why + self._said())
            if time.monotonic() > deadline:
                why = f"the service was not ready within {limit_s:g} s"
                raise StartError("no_service", why + self._said())
            time.sleep(POLL_S)

    def _said(self) -> str:
        if self.log is None:
            return ""
        said = self.log.read_text(errors="replace").strip() or "nothing"
        return f"; it printed: {said[-QUOTED:]}"

    def end(self, limit_s: float = STOP_S) -> int | None:
        """Ask it to end; return its exit status, or None if it still runs after `limit_s` s."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(limit_s)
        return None

    def kill(self) -> None:
        """Kill it and all it started, including workers in sessions of their own."""
        if self.process.poll() is None:
            for pid in descendants(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running_service(
    *words: str,
    port: int | None = None,
    command: Sequence[str] = SERVE,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    log: Path | None = None,
    ready: bool = True,
    stop_s: float = STOP_S,
) -> Iterator[Service]:
    """Run `bonafide serve` on this machine until the block ends.

    Ctrl-C does not reach it. On Linux it ends with the thread that starts it, however that ends.

    Parameters
    ----------
    *words : str
        More arguments, such as ``--workers``.
    port : int or None
        None for one that is free.
    command : sequence of str
        What to run; ``--port`` and `words` follow.
    environment : mapping or None
        Its whole environment; None for this process's.
    folder : Path or None
        Its working folder; None for this process's.
    log : Path or None
        Receives what it prints; None lets errors through to standard error.
    ready : bool
        Wait until it is ready.
    stop_s : float
        Seconds that it may take to end before it is killed.

    Yields
    ------
    Service
        Running, and ready if `ready`.

    Raises
    ------
    StartError
        ``no_service`` if it ends, or is not ready in time.
    """
    port = free_port() if port is None else port
    with contextlib.ExitStack() as files:
        output = files.enter_context(log.open("wb")) if log else None
        process = subprocess.Popen(
            [*command, "--port", str(port), *words],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,  # Ctrl-C is ours to handle
            preexec_fn=partial(end_with_parent, signal.SIGTERM),
        )
    service = Service(process, port, log)
    try:
        if ready:
            service.wait_ready()
        yield service
    finally:
        service.end(stop_s)
        service.kill()
