"""Confined processes: they decode untrusted files, so a crash or a hang must stay in them.

Each runs a module of ours, which calls `confine` before anything else.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bonafide.errors import BonafideError
from bonafide.process.lifetime import end_with_parent

if TYPE_CHECKING:
    from asyncio.subprocess import Process

MAX_FILES = 256
READY = b"ready\n"
SECRETS = ("BONAFIDE_CALLBACK_SECRET",)  # variables that no confined process gets
PARENT = "BONAFIDE_PARENT"  # the variable that tells a confined process who started it
ROOT = Path(__file__).resolve().parents[2]  # where the module is found, installed or not


class ConfinedError(BonafideError):
    """A confined process that fails, or does not start."""


def confine(memory_bytes: int) -> None:
    """Deny this process what decoding and scoring do not need.

    Parameters
    ----------
    memory_bytes : int
        Address space that it may use, in bytes.

    Raises
    ------
    ConfinedError
        ``bad_limit`` if a limit cannot be set: its hard limit is lower.
    """
    end_with_parent(signal.SIGKILL, int(os.environ[PARENT]) if PARENT in os.environ else None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    limits = {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 0,  # it writes no file
        "RLIMIT_NOFILE": MAX_FILES,
    }
    for name, most in limits.items():
        limit = getattr(resource, name)
        try:
            resource.setrlimit(limit, (most, most))
        except ValueError as error:
            seen = resource.getrlimit(limit)[1]
            message = f"{name}: cannot be set to {most}: the hard limit is {seen}"
            raise ConfinedError("bad_limit", message) from error


def run_confined(module: str, content: bytes, *arguments: str, limit_s: float) -> bytes:
    """Run a module once, from bytes on its standard input to bytes on its standard output.

    Parameters
    ----------
    module : str
        Such as ``bonafide.drawing``; its `main` confines itself.
    content : bytes
        Its standard input.
    *arguments : str
        Its command-line arguments.
    limit_s : float
        Seconds after which it is killed.

    Returns
    -------
    bytes
        Its standard output.

    Raises
    ------
    ConfinedError
        ``confined_failed`` if it fails or takes too long.
    """
    try:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            input=content,
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, PARENT: str(os.getpid())},
            timeout=limit_s,
            check=True,
        ).stdout
    except (subprocess.SubprocessError, OSError) as error:
        raise ConfinedError("confined_failed", f"{module} failed: {error}") from error


async def start_confined(module: str, *arguments: str, limit_s: float) -> "Process":
    """Start a module that serves until it is ended, and wait until it prints `READY`.

    Parameters
    ----------
    module : str
        Such as ``serving.workers.scorer``; its `main` confines itself. What it prints instead of
        `READY`, a line, says why it does not start.
    *arguments : str
        Its command-line arguments.
    limit_s : float
        Seconds that it may take to be ready.

    Returns
    -------
    asyncio.subprocess.Process
        Ready, and for the caller to `end`.

    Raises
    ------
    ConfinedError
        ``confined_failed`` if it ends instead, or takes too long.
    OSError
        If there is no room for another process.
    asyncio.CancelledError
        If the caller is cancelled meanwhile; the process is killed first.
    """
    import asyncio  # here: what is confined starts sooner without it

    known = {name: value for name, value in os.environ.items() if name not in SECRETS}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # decoders print what a file makes them print
        cwd=ROOT,
        env={**known, "OPENBLAS_NUM_THREADS": "1", PARENT: str(os.getpid())},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            said = await process.stdout.readline()
    except TimeoutError:
        said = f"it takes longer than the {limit_s:g} s limit".encode()
    except asyncio.CancelledError:
        await end(process)
        raise
    if said != READY:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 1.0 if not said else 0.0)
        await end(process)
        why = said.decode(errors="replace").strip() or f"it ended with status {process.returncode}"
        raise ConfinedError("confined_failed", f"{module} does not start: {why}")
    return process


async def end(process: "Process") -> None:
    """Kill a process, whatever it is doing, and wait until it has gone."""
    if process.returncode is None:
        process.kill()
    await process.wait()
