"""The life of processes: whether one is gone, what it has started, and ending with the parent."""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def process_is_gone(pid: str) -> bool:
    """Return whether a process is gone.

    Parameters
    ----------
    pid : str
        Its number, such as the name of its folder in ``work``.

    Returns
    -------
    bool
        True also for text that is not a number.

    Examples
    --------
    >>> process_is_gone(str(os.getpid())), process_is_gone("not a number")
    (False, True)
    """
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return True
    except PermissionError:
        return False
    return False


def descendants(pid: int) -> list[int]:
    """Return a process and all of its descendants, itself first; outside Linux, itself alone."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # the thread has ended
                found += [int(child) for child in task.read_text().split()]
    return found


def end_with_parent(sent: signal.Signals, parent: int | None = None) -> None:
    """Have the kernel signal this process when its parent ends, however it ends.

    Only Linux can; elsewhere a process that hangs outlives a killed parent.

    Parameters
    ----------
    sent : signal.Signals
        The signal.
    parent : int or None
        Process ID of the parent, if this process was told: one that has ended already, before the
        kernel was asked, counts too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sent)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), sent)
