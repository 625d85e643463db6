"""How long a process lives: whether one is gone, what it started, and an end with its parent."""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def process_is_gone(pid: str) -> bool:
    """Return whether no process of this number runs; what is no number is gone too."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return True
    except PermissionError:
        return False
    return False


def descendants(pid: int) -> list[int]:
    """Return every process below one, itself first; itself alone where there is no Linux."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # the thread has ended
                found += [int(child) for child in task.read_text().split()]
    return found


def end_with_parent(sent: signal.Signals) -> None:
    """Have this process sent a signal when its parent ends, however that one ends.

    Linux alone knows how; elsewhere a process that hangs outlives a killed parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sent)
