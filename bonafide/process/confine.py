"""Confined processes: they decode untrusted files, so a crash or a hang must stay in them.

Each runs a module of ours, which calls `confine` before anything else.
"""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from bonafide.errors import BonafideError
from bonafide.process.lifetime import end_with_parent

MAX_FILES = 256
ROOT = Path(__file__).resolve().parents[2]  # where the module is found, installed or not


class ConfinedError(BonafideError):
    """A confined process that fails, or does not start."""


def confine(memory_bytes: int) -> None:
    """Deny this process what decoding and scoring do not need.

    Parameters
    ----------
    memory_bytes : int
        Address space that it may use, in bytes.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # it writes no file
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent(signal.SIGKILL)


def run_confined(module: str, content: bytes, *arguments: str, limit_s: float) -> bytes:
    """Run a module once, from bytes on its standard input to bytes on its standard output.

    Parameters
    ----------
    module : str
        Such as ``serving.app.drawing``; its `main` confines itself.
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
            timeout=limit_s,
            check=True,
        ).stdout
    except (subprocess.SubprocessError, OSError) as error:
        raise ConfinedError("confined_failed", f"{module} failed: {error}") from error


async def start_confined(
    module: str, *arguments: str, limit_s: float
) -> asyncio.subprocess.Process:
    """Start a module that serves until it is ended, and wait until it prints that it is ready.

    Parameters
    ----------
    module : str
        Such as ``serving.workers.scorer``; its `main` confines itself.
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
    asyncio.CancelledError
        If the caller is cancelled meanwhile; the process is killed first.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # decoders print what a file makes them print
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            said = await process.stdout.readline()
    except TimeoutError:
        said = b""
    except asyncio.CancelledError:
        await end(process)
        raise
    if not said:
        await end(process)
        raise ConfinedError("confined_failed", f"{module} does not start")
    return process


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a process, whatever it is doing, and wait until it has gone."""
    if process.returncode is None:
        process.kill()
    await process.wait()
