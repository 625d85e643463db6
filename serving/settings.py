"""The service's settings: one frozen set, passed on in the environment.

A dataclass and not a pydantic model: the scorer, which reads it, goes without pydantic, whose
errors would have to be reworded besides.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from bonafide.errors import ConfigError
from bonafide.registry.beside import split_share

PREFIX = "BONAFIDE_"
FILES = ("keys", "audit", "record", "jobs")  # settings that name a file or folder
MAY_BE_ZERO = ("workers", "queue", "streams", "watch_s")
SHARES = ("canary_errors", "canary_differ")  # settings that are at most 1
FOLDER_WATCH_S, STORE_WATCH_S = 0.2, 5.0


@dataclass(frozen=True)
class Settings:
    """The service's settings; each is ``BONAFIDE_<NAME>`` in the environment.

    Parameters
    ----------
    bundle : str
        A bundle, named as `bonafide.registry.bundle_folder` takes it; empty to follow the one in
        production: a promotion is picked up without a restart.
    shadow : str
        Another bundle, named alike, that scores what was answered once more, without answering
        (`serving.workers.shadow`); empty to follow the registry's, unless `bundle` is named.
    canary : str
        ``REF:SHARE%``: another bundle that answers a share of the clients
        (`serving.workers.canary`); empty to follow the registry's, unless `bundle` is named.
    canary_errors : float
        The share of its requests that a canary may fail, at most 1, before it is stopped.
    canary_slower : float
        How many times as long as the bundle in production a canary may take for most recordings.
    canary_differ : float
        The share of recordings of which a canary may give another verdict, at most 1.
    keys : str
        File of API keys (`serving.http.keys`); empty for a service without keys.
    audit : str
        File that gets a line for each call of the API (`serving.http.audit`); empty for none.
    record : str
        SQLite file that gets a row for each answer (`bonafide.monitoring.record`), without audio;
        empty for none.
    jobs : str
        Folder where jobs lie (`serving.jobs`); empty for a service that takes none.
    max_jobs : int
        Jobs that may wait.
    job_s : float
        Longest time for scoring a job.
    job_keep_h : float
        Hours that its answer is kept.
    callbacks : str
        Origins that may be called back, separated by commas (`serving.jobs.callbacks`); empty for
        none.
    callback_secret : str
        What callbacks are signed with: ``whsec_`` and base64 of at least 24 bytes.
    metrics : str
        ``HOST:PORT`` where metrics are served without a key, and no longer at ``/metrics`` beside
        the API; empty to serve them there.
    anonymous : bool
        Serve without keys even on an address that other machines can reach.
    workers : int
        Worker processes; 0 for one per core.
    max_body_mb : float
        Largest request body, in 10^6 bytes.
    max_duration_s : float
        Longest recording, checked while decoding.
    max_rate_hz : int
        Highest sample rate, checked while decoding.
    max_channels : int
        Most channels, checked while decoding.
    max_uploads : int
        Request bodies that a worker receives at the same time.
    queue : int
        Requests of a worker that may wait beside the one being scored; one more is answered 429. A
        longer queue absorbs bursts, a shorter one keeps answers quick under overload
        (`benchmarks.overload`).
    streams : int
        Live streams that a worker has at the same time; 0 for no streams.
    upload_s : float
        Longest time for a body to arrive.
    deadline_s : float
        Longest time for scoring, including the wait in the queue.
    scorer_mb : float
        Address space of a scorer process, in 10^6 bytes.
    watch_s : float
        Seconds between two looks for a promotion; 0 for `FOLDER_WATCH_S` where the registry is a
        folder, which costs next to nothing, and `STORE_WATCH_S` where it is an object store.
    endpoints : str
        Names of the endpoints to serve (`serving.http.endpoints`), separated by commas; empty for
        all that are built in.

    Raises
    ------
    ConfigError
        ``bad_setting`` for a value that is out of range.
    """

    bundle: str = ""
    shadow: str = ""
    canary: str = ""
    canary_errors: float = 0.01
    canary_slower: float = 2.0
    canary_differ: float = 0.1
    keys: str = ""
    audit: str = ""
    record: str = ""
    jobs: str = ""
    max_jobs: int = 10_000
    job_s: float = 600.0
    job_keep_h: float = 24.0
    callbacks: str = ""
    callback_secret: str = field(default="", repr=False)
    metrics: str = ""
    anonymous: bool = False
    workers: int = 0
    max_body_mb: float = 50.0
    max_duration_s: float = 3_600.0
    max_rate_hz: int = 384_000
    max_channels: int = 32
    max_uploads: int = 64
    queue: int = 2
    streams: int = 32
    upload_s: float = 60.0
    deadline_s: float = 30.0
    scorer_mb: float = 4_000.0
    watch_s: float = 0.0
    endpoints: str = ""

    def __post_init__(self) -> None:
        """Reject what is out of range."""
        for item in fields(self):
            value, may_be_zero = getattr(self, item.name), item.name in MAY_BE_ZERO
            if isinstance(value, (str, bool)):
                continue
            if not 0 <= value < float("inf") or not (value or may_be_zero):
                allowed = "at least 0" if may_be_zero else "above 0"
                raise ConfigError(
                    "bad_setting", f"{PREFIX}{item.name.upper()}={value}: must be {allowed}"
                )
            if item.name in SHARES and value > 1:
                raise ConfigError(
                    "bad_setting", f"{PREFIX}{item.name.upper()}={value}: must be at most 1"
                )
        if self.canary:
            try:
                split_share(self.canary)
            except ConfigError as error:
                raise ConfigError("bad_setting", f"{PREFIX}CANARY={error.message}") from error
        if self.metrics:
            split_address(self.metrics)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings that the environment has; the others keep their defaults."""
        values = {}
        for item in fields(cls):
            text = environment.get(PREFIX + item.name.upper())
            if text is not None:
                values[item.name] = _value(item.name, type(item.default), text)
        return cls(**values)

    def to_environment(self) -> dict[str, str]:
        """Return the variables that `from_environment` reads back, defaults left out."""
        return {
            PREFIX + item.name.upper(): str(value)
            for item in fields(self)
            if (value := getattr(self, item.name)) != item.default
        }

    def absolute(self) -> "Settings":
        """Return them with every file named from the root, for a process in another folder."""
        named = {name: getattr(self, name) for name in FILES}
        found = {name: str(Path(path).absolute()) for name, path in named.items() if path}
        return replace(self, **found)

    @property
    def n_workers(self) -> int:
        """Number of worker processes."""
        return self.workers or len(os.sched_getaffinity(0))

    def watches_every_s(self, registry: str) -> float:
        """Return the seconds between two looks for a promotion in the registry of a URL."""
        return self.watch_s or (STORE_WATCH_S if "://" in registry else FOLDER_WATCH_S)

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        """Names of the endpoints to serve; none for all that are built in."""
        return tuple(name.strip() for name in self.endpoints.split(",") if name.strip())

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port of the metrics; None where they are served beside the API."""
        return split_address(self.metrics) if self.metrics else None

    @property
    def max_body_bytes(self) -> int:
        """Largest request body, in bytes."""
        return round(self.max_body_mb * 1e6)


def _value(name: str, kind: type, text: str) -> object:
    try:
        if kind is bool:
            return {"1": True, "true": True, "0": False, "false": False, "": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError) as error:
        allowed = "true or false" if kind is bool else f"a number ({kind.__name__})"
        raise ConfigError(
            "bad_setting", f"{PREFIX}{name.upper()}={text!r}: must be {allowed}"
        ) from error


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``.

    Raises
    ------
    ConfigError
        ``bad_setting`` if it has another form.

    Examples
    --------
    >>> split_address("127.0.0.1:9464"), split_address("[::1]:9464")
    (('127.0.0.1', 9464), ('::1', 9464))
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        message = f"{PREFIX}METRICS={text!r}: must be HOST:PORT, such as 127.0.0.1:9464"
        raise ConfigError("bad_setting", message)
    return host, int(port)
