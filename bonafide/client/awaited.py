"""The client for asyncio."""

import asyncio
import time
from typing import Any, Self

import httpx

from bonafide.client.shared import (
    HERE,
    Calls,
    Json,
    ServiceError,
    Source,
    answer_of,
    as_type,
    request_of,
)
from bonafide.detection import Detection
from bonafide.explanation.types import Explained
from bonafide.provenance.finding import Origin


class AsyncClient(Calls):
    """`Client` for asyncio: the same calls, each to be awaited, and as many at once as are wanted.

    Parameters
    ----------
    url, key, patience_s, transport
        As `Client` has them.

    Raises
    ------
    ConfigError
        ``bad_service`` if `url` is not an address; ``bad_key`` if `key` is none.
    """

    def __init__(
        self, url: str = HERE, key: str = "", *, patience_s: float = 60.0, transport: Any = None
    ) -> None:
        super().__init__(url, key, patience_s=patience_s, transport=transport)
        self._http = httpx.AsyncClient(**self.options)

    async def detect(self, source: Source, *, bundle: str = "") -> Detection:
        """Score a recording: `Client.detect`."""
        return as_type(Detection, await self.ask("/v1/detect", source, bundle=bundle))

    async def explain(self, source: Source, *, bundle: str = "") -> Explained:
        """Score a recording and say why: `Client.explain`."""
        return as_type(Explained, await self.ask("/v1/explain", source, bundle=bundle))

    async def provenance(self, source: Source) -> Origin:
        """Return what a file says of its origin: `Client.provenance`."""
        return as_type(Origin, await self.ask("/v1/provenance", source))

    async def model(self) -> Json:
        """Return what the service decides with: `Client.model`."""
        return await self.ask("/v1/model")

    async def ask(self, path: str, source: Source | None = None, *, bundle: str = "") -> Json:
        """Call an endpoint, and return its answer as it is: `Client.ask`."""
        until = time.monotonic() + self.patience_s
        while True:
            try:
                with request_of(source, bundle) as call:
                    return answer_of(await self._http.request(url=path, **call))
            except httpx.HTTPError as error:
                raise self.unreachable(error) from error
            except ServiceError as error:
                wait_s = self.wait_s(error, until)
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()
