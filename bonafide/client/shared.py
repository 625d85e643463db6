"""What a call of the service is made of: its address, its content, and how its answer is read."""

import contextlib
import stat
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from bonafide.errors import MALFORMED, BonafideError, ConfigError
from bonafide.process.service import is_loopback

BUNDLE_HEADER = "X-Bonafide-Bundle"  # names the bundle that alone may answer
HERE = "http://127.0.0.1:3000"
LONGEST_WAIT = 5  # digits of the seconds after which a service wants to be asked again

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
        ``bad_service`` if it is no address, or holds more: a query, or a name and password.
    """
    shown, valid = repr(url), False
    with contextlib.suppress(ValueError, httpx.InvalidURL):
        parts = urlsplit(url)
        if parts.username or parts.password:
            shown = "one with a name or password"
        (parts.hostname or "").encode("idna")  # as it will be looked up
        more = parts.query or parts.fragment or parts.username or parts.password
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        valid = bool(named and is_plain(url) and not more and httpx.URL(url))
    if not valid:
        raise ConfigError("bad_service", f"service {shown}: must be an address, http://host:port")
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


def is_plain(text: str) -> bool:
    """Return whether text may stand in the head of a request: ASCII, without spaces or controls.

    Parameters
    ----------
    text : str
        Such as a key.

    Returns
    -------
    bool
    """
    return text.isascii() and text.isprintable() and " " not in text


def require_plain(text: str, code: str, what: str) -> str:
    """Return text that may stand in the head of a request; the message does not repeat it.

    Parameters
    ----------
    text : str
        Such as a key.
    code, what : str
        Of the error.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        With that code, if it may not.
    """
    if not is_plain(text):
        message = f"{what}: must be of ASCII letters, digits and signs, without spaces or line ends"
        raise ConfigError(code, message)
    return text


@contextlib.contextmanager
def request_of(path: str, source: Source | None, bundle: str) -> Iterator[Json]:
    """Make a request; a file is open while the block lasts.

    Parameters
    ----------
    path : str
        Of the endpoint, from ``/`` on.
    source : Path, str or bytes, optional
        What to upload.
    bundle : str
        Content hash of the bundle that alone may answer; empty for any.

    Yields
    ------
    dict
        As `httpx.Client.request` takes it.

    Raises
    ------
    ConfigError
        ``bad_call`` for a path that leads to another service, or is none; ``bad_bundle``.
    OSError
        If the file cannot be read, or is none.
    """
    if not path.startswith("/") or path.startswith("//"):
        raise ConfigError("bad_call", f"path {path!r}: must begin with one /, as /v1/detect")
    request: Json = {"url": require_plain(path, "bad_call", "path"), "headers": {}}
    if bundle:
        request["headers"][BUNDLE_HEADER] = require_plain(bundle, "bad_bundle", "bundle")
    if source is None:
        yield {"method": "GET", **request}
        return
    with contextlib.ExitStack() as opened:
        content = source if isinstance(source, bytes) else opened.enter_context(_opened(source))
        yield {"method": "POST", "files": {"audio": ("audio", content)}, **request}


def _opened(source: Path | str) -> BinaryIO:
    """Open a file; nobody may ever write to a pipe."""
    if "\0" in str(source):
        raise FileNotFoundError(f"{str(source)!r}: no file has a zero byte in its name")
    if not stat.S_ISREG(Path(source).stat().st_mode):
        raise OSError(f"{source}: must be a file")
    return Path(source).open("rb")


def answer_of(reply: httpx.Response) -> Json:
    """Return the JSON that the service sent, or raise the `ServiceError` that it is."""
    try:
        answer = reply.json()
        if not isinstance(answer, dict):
            raise TypeError("no object")
        if reply.is_success:
            return answer
        error = answer["error"]
        code, message = error["code"], error["message"]
        if not (isinstance(code, str) and isinstance(message, str)):
            raise TypeError("no error")
    except MALFORMED as failure:
        raise ServiceError(
            "bad_answer", f"status {reply.status_code}, not the JSON expected"
        ) from failure
    wait = reply.headers.get("retry-after", "")
    is_known = wait.isascii() and wait.isdecimal() and len(wait) <= LONGEST_WAIT
    raise ServiceError(code, message, int(wait) if is_known else 0)


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
