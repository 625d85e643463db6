"""How long a process lives: whether one is gone, and one that ends with its parent."""

import ctypes
import os
import signal
import sys

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


def end_with_parent(sent: signal.Signals) -> None:
    """Have this process sent a signal when its parent ends, however that one ends.

    Linux alone knows how; elsewhere a process that hangs outlives a killed parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sent)
