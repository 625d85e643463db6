"""What both clients share: the service's address, and how it is asked and answers."""

import contextlib
import time
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from bonafide.errors import BonafideError, ConfigError
from bonafide.process.service import is_loopback

BUNDLE_HEADER = "X-Bonafide-Bundle"  # names the bundle that alone may answer
HERE = "http://127.0.0.1:3000"
# A large upload and a full queue both take time; the service itself gives up before this.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)

Answer = TypeVar("Answer")
Source = Path | str | bytes
Json = dict[str, Any]


class ServiceError(BonafideError):
    """An error that the service answered with, or the lack of an answer.

    Parameters
    ----------
    code : str
        The service's own; ``unreachable`` or ``bad_answer`` where there is none.
    message : str
        The service's own, or what went wrong.
    retry_after_s : int
        Seconds after which to try again; 0 where the service named none.
    """

    def __init__(self, code: str, message: str, retry_after_s: int = 0) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["ServiceError"], tuple[str, str, int]]:  # type: ignore[override]
        """Rebuild from all arguments."""
        return type(self), (self.code, self.message, self.retry_after_s)


def service_address(url: str) -> str:
    """Return the address of a service as it is used.

    Parameters
    ----------
    url : str
        ``http://host:port``, with a path where a proxy has one.

    Returns
    -------
    str
        Without a slash at its end.

    Raises
    ------
    ConfigError
        ``bad_service`` if it is no address.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError("bad_service", f"service {url!r}: must be an address, http://host:port")
    return url.rstrip("/")


def remote_host(url: str) -> str:
    """Return the machine that an address leads to; empty for this one.

    Parameters
    ----------
    url : str
        As `service_address` returns it.

    Returns
    -------
    str

    Examples
    --------
    >>> remote_host("http://127.0.0.1:3000"), remote_host("https://detector.example")
    ('', 'detector.example')
    """
    host = urlsplit(url).hostname or ""
    return "" if is_loopback(host) else host


class Calls:
    """What both clients have: where the service is, what it is asked, and how its answers are read.

    Parameters
    ----------
    url : str
        Address of the service, ``http://host:port``.
    key : str
        API key; empty for a service without keys.
    patience_s : float
        Seconds, 0 or more. A service that is busy is asked again after the time that it names, as
        long as that is within them; 0 has each call raise at once.
    transport : httpx transport, optional
        Used in place of the network.

    Raises
    ------
    ConfigError
        ``bad_service`` if `url` is not an address; ``bad_key`` if `key` is not of ASCII letters,
        digits and signs.
    """

    def __init__(
        self, url: str = HERE, key: str = "", *, patience_s: float = 60.0, transport: Any = None
    ) -> None:
        self.url, self.patience_s = service_address(url), patience_s
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            message = "the API key holds a character that no key has: a space, or a line's end?"
            raise ConfigError("bad_key", message)
        self.options = {
            "base_url": self.url,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
            "timeout": TIMEOUT,
            # A proxy that the environment names does not lead to this machine.
            "trust_env": bool(remote_host(self.url)),
            "transport": transport,
        }

    def __repr__(self) -> str:
        """Name the service, and not the key."""
        return f"{type(self).__name__}({self.url!r})"

    def wait_s(self, error: ServiceError, until: float) -> float:
        """Return how long to wait before the next try, or raise if there is none."""
        if not error.retry_after_s or time.monotonic() + error.retry_after_s > until:
            raise error
        return error.retry_after_s

    def unreachable(self, error: Exception) -> ServiceError:
        """Return the error of a call that had no answer."""
        return ServiceError("unreachable", f"{self.url}: {error or type(error).__name__}")


@contextlib.contextmanager
def request_of(source: Source | None, bundle: str) -> Iterator[Json]:
    """Yield method, headers and content of a request; a file is open meanwhile."""
    headers = {BUNDLE_HEADER: bundle} if bundle else {}
    if source is None:
        yield {"method": "GET", "headers": headers}
        return
    with contextlib.ExitStack() as opened:
        content: bytes | BinaryIO = (
            source if isinstance(source, bytes) else opened.enter_context(Path(source).open("rb"))
        )
        yield {"method": "POST", "headers": headers, "files": {"audio": ("audio", content)}}


def answer_of(reply: httpx.Response) -> Json:
    """Return the JSON that the service sent, or raise the `ServiceError` that it is."""
    try:
        answer = reply.json()
        if reply.is_success:
            return dict(answer)
        code, message = str(answer["error"]["code"]), str(answer["error"]["message"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError(
            "bad_answer", f"status {reply.status_code}, not the JSON expected"
        ) from error
    wait = reply.headers.get("retry-after", "")
    raise ServiceError(code, message, int(wait) if wait.isdecimal() else 0)


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def as_type(kind: type[Answer], answer: Json) -> Answer:
    """Return an answer as a dataclass; raise a `ServiceError` where it is none."""
    try:
        typed: Answer = _adapter(cast(Hashable, kind)).validate_python(answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ServiceError("bad_answer", f"{where}: {first['msg']}") from error
    return typed
