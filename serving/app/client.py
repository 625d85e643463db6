"""The page's client of the service, whose answers are shown as they are."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from bonafide.client import Client, Source, remote_host, service_address

URL, KEY = "BONAFIDE_SERVICE", "BONAFIDE_API_KEY"


@dataclass(frozen=True)
class Service:
    """A running service. Each question raises `ServiceError`; the visitor says when to try again.

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
        service_address(self.url)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Service":
        """Return the service that `serving.app.launch` wrote into the environment."""
        return cls(environment.get(URL, ""), environment.get(KEY, ""))

    def model(self) -> dict[str, Any]:
        """Return the answer of ``GET /v1/model``."""
        return self._ask("/v1/model")

    def detect(self, content: bytes, bundle: str) -> dict[str, Any]:
        """Return the answer of ``POST /v1/detect``, by the bundle of that hash alone."""
        return self._ask("/v1/detect", content, bundle)

    def explain(self, content: bytes, bundle: str) -> dict[str, Any]:
        """Return the answer of ``POST /v1/explain``, by the bundle of that hash alone."""
        return self._ask("/v1/explain", content, bundle)

    def provenance(self, content: bytes) -> dict[str, Any]:
        """Return the answer of ``POST /v1/provenance``."""
        return self._ask("/v1/provenance", content)

    @property
    def host(self) -> str:
        """The machine that recordings are sent to; empty for this one."""
        return remote_host(self.url)

    def _ask(self, path: str, source: Source | None = None, bundle: str = "") -> dict[str, Any]:
        with Client(self.url, self.key, patience_s=0, transport=self.transport) as client:
            return client.ask(path, source, bundle=bundle)
