"""What the server's first process, BentoML's, does for its workers before it starts them."""

import atexit
import os
import shutil
import signal
import sys
from typing import Any

from serving.workers.folder import VARIABLE, make_run_folder

SERVER = "BONAFIDE_SERVER"  # process ID of the server, for its workers
STOPPING = (signal.SIGTERM, signal.SIGINT)  # `serving.launch` holds them back until `prepare`


def prepare() -> None:
    """Have a run folder until this process ends, and workers whatever happens.

    `serving.launch` has made the folder already; a Bento is not started there.
    """
    from circus.watcher import Watcher  # nothing for workers to load

    os.umask(0o077)  # what is made here is this user's alone
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = str(make_run_folder())
    os.environ[SERVER] = str(os.getpid())
    atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # circus soon has handlers of its own
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    Watcher.spawn_process = _patiently(Watcher.spawn_process)


def _patiently(spawn: Any) -> Any:
    """Never give up: circus stops for good when a process cannot be started five times."""

    def spawn_process(watcher: Any, recovery_wid: int | None = None) -> Any:
        return spawn(watcher, recovery_wid) or True  # it looks again after a while

    return spawn_process
