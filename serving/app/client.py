"""The page's client of the service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from bonafide.errors import BonafideError, ConfigError
from serving.http.call import BUNDLE_HEADER
from serving.settings import is_loopback

URL, KEY = "BONAFIDE_SERVICE", "BONAFIDE_API_KEY"
# A large upload and a full queue both take time; the service itself gives up before this.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)


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


@dataclass(frozen=True)
class Service:
    """A running service.

    Parameters
    ----------
    url : str
        Its address, ``http://host:port``.
    key : str
        API key; empty for a service without keys.
    transport : httpx.BaseTransport, optional
        Used in place of the network.

    Raises
    ------
    ConfigError
        ``bad_service`` if `url` is not an address.
    """

    url: str
    key: str = field(default="", repr=False)
    transport: httpx.BaseTransport | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Reject what is not an address."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                "bad_service", f"service {self.url!r}: must be an address, http://host:port"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Service":
        """Return the service that `serving.app.launch` wrote into the environment."""
        return cls(environment.get(URL, ""), environment.get(KEY, ""))

    def model(self) -> dict[str, Any]:
        """Return what the service decides with: bundle, thresholds, card, manifest.

        Returns
        -------
        dict
            The answer of ``GET /v1/model``.

        Raises
        ------
        ServiceError
            What the service answers with; ``unreachable``; ``bad_answer``.
        """
        return self._ask("GET", "/v1/model")

    def detect(self, content: bytes, bundle: str) -> dict[str, Any]:
        """Score a recording; the name of its file is not sent.

        Parameters
        ----------
        content : bytes
            An audio or video file.
        bundle : str
            Content hash of the bundle that alone may answer, as `model` names it.

        Returns
        -------
        dict
            The answer of ``POST /v1/detect``.

        Raises
        ------
        ServiceError
            What the service answers with, ``other_bundle`` where another one answers by now;
            ``unreachable``; ``bad_answer``.
        """
        return self._send("/v1/detect", content, bundle)

    def explain(self, content: bytes, bundle: str) -> dict[str, Any]:
        """Score a recording and say why: the answer of ``POST /v1/explain``; as `detect`."""
        return self._send("/v1/explain", content, bundle)

    def provenance(self, content: bytes) -> dict[str, Any]:
        """Ask what a file says of its origin: the answer of ``POST /v1/provenance``."""
        return self._send("/v1/provenance", content)

    @property
    def host(self) -> str:
        """The machine that recordings are sent to; empty for this one."""
        host = urlsplit(self.url).hostname or ""
        return "" if is_loopback(host) else host

    def _send(self, path: str, content: bytes, bundle: str = "") -> dict[str, Any]:
        return self._ask("POST", path, bundle, files={"audio": ("audio", content)})

    def _ask(self, method: str, path: str, bundle: str = "", **content: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        if bundle:
            headers[BUNDLE_HEADER] = bundle
        # A proxy that the environment names does not lead to this machine.
        try:
            with httpx.Client(
                timeout=TIMEOUT, trust_env=bool(self.host), transport=self.transport
            ) as client:
                reply = client.request(
                    method, self.url.rstrip("/") + path, headers=headers, **content
                )
        except httpx.HTTPError as error:
            raise ServiceError("unreachable", f"{self.url}: {error}") from error
        return _read(reply)


def _read(reply: httpx.Response) -> dict[str, Any]:
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
