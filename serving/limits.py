"""The limits that the system sets for this process, against what the service needs."""

import resource

from bonafide.errors import ConfigError
from bonafide.process.confine import MAX_FILES
from serving.settings import Settings

WORKER_MB = 2_000.0  # address space of BentoML's processes, which use a tenth of it
DATA_MB = 500.0  # of each process
SPARE_FILES = 128  # of a worker, beside two an upload or stream: the file and the connection
PROCESSES = 16  # of the server itself, threads counted: the kernel counts them alike
WORKER_PROCESSES = 16  # of each worker and its scorer
BESIDE_PROCESSES = 4  # of the scorer of a shadow, of a canary, or of jobs


def check_limits(settings: Settings) -> None:
    """Check that the service can have what it needs; raise a soft limit where that is enough.

    Parameters
    ----------
    settings : Settings
        Of the service.

    Raises
    ------
    ConfigError
        ``bad_limit`` for a limit that is lower.
    """
    files = max(MAX_FILES, 2 * (settings.max_uploads + settings.streams) + SPARE_FILES)
    space = round(max(settings.scorer_mb, WORKER_MB) * 1e6)
    each = WORKER_PROCESSES + BESIDE_PROCESSES * sum(
        map(bool, (settings.shadow, settings.canary, settings.jobs))
    )
    processes = PROCESSES + each * settings.n_workers
    _require("RLIMIT_NOFILE", files, "open files (ulimit -n)")
    _require("RLIMIT_AS", space, "bytes of address space (ulimit -v)")
    _require("RLIMIT_DATA", round(DATA_MB * 1e6), "bytes of data (ulimit -d)")
    _require("RLIMIT_NPROC", processes, "processes (ulimit -u)")
    _require("RLIMIT_FSIZE", settings.max_body_bytes, "bytes of a file (ulimit -f)")


def _require(name: str, needed: int, what: str) -> None:
    limit = getattr(resource, name)
    soft, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError("bad_limit", f"{name} is {hard}; the service needs {needed} {what}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(limit, (needed, hard))
