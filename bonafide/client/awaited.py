"""The client for asyncio."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Self, TypeVar

import httpx

from bonafide.client.blocking import Client
from bonafide.client.shared import HERE, Json, Source
from bonafide.detection import Detection
from bonafide.explanation.types import Explained
from bonafide.provenance.finding import Origin

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class AsyncClient:
    """`Client` for asyncio: the same calls, each to be awaited, several at once.

    They run in threads, for files are read as they are sent, and an answer that comes before an
    upload is through, such as ``too_large``, is lost to asyncio's own connections.

    Parameters
    ----------
    url, key, patience_s, transport
        As `Client` has them.
    at_once : int
        Most calls at a time; further ones wait.

    Raises
    ------
    ConfigError
        As `Client` raises it.
    """

    def __init__(
        self,
        url: str = HERE,
        key: str = "",
        *,
        patience_s: float = 60.0,
        at_once: int = 32,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._client = Client(url, key, patience_s=patience_s, transport=transport)
        self._threads = ThreadPoolExecutor(at_once, "bonafide-client")

    def __repr__(self) -> str:
        """Name the service, and not the key."""
        return f"{type(self).__name__}({self._client.url!r})"

    async def detect(self, source: Source, *, bundle: str = "") -> Detection:
        """Score a recording: `Client.detect`."""
        return await self._run(self._client.detect, source, bundle=bundle)

    async def explain(self, source: Source, *, bundle: str = "") -> Explained:
        """Score a recording and say why: `Client.explain`."""
        return await self._run(self._client.explain, source, bundle=bundle)

    async def provenance(self, source: Source) -> Origin:
        """Return what a file says of its origin: `Client.provenance`."""
        return await self._run(self._client.provenance, source)

    async def model(self) -> Json:
        """Return what the service decides with: `Client.model`."""
        return await self._run(self._client.model)

    async def ask(self, path: str, source: Source | None = None, *, bundle: str = "") -> Json:
        """Call an endpoint, and return its answer as it is: `Client.ask`."""
        return await self._run(self._client.ask, path, source, bundle=bundle)

    async def _run(
        self, call: Callable[Given, Answer], *given: Given.args, **named: Given.kwargs
    ) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(call, *given, **named))

    async def close(self) -> None:
        """Close all connections; what was not awaited ends by itself."""
        self._client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()
