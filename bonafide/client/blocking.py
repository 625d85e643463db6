"""The client whose calls wait for their answers."""

import math
import time
from typing import Self

import httpx

from bonafide.client.shared import (
    HERE,
    Json,
    ServiceError,
    Source,
    answer_of,
    as_type,
    remote_host,
    request_of,
    require_plain,
    service_address,
)
from bonafide.detection import Detection
from bonafide.errors import ConfigError
from bonafide.explanation.types import Explained
from bonafide.provenance.finding import Origin

# A large upload and a full queue both take time; the service itself gives up before this.
TIMEOUT = httpx.Timeout(120.0, connect=5.0)


class Client:
    """A service that is asked call after call; its connections are kept until it is closed.

    Every call raises `ServiceError`, and `OSError` where the file cannot be read. Calls may come
    from several threads.

    Parameters
    ----------
    url : str
        Address of the service, ``http://host:port``.
    key : str
        API key; empty for a service without keys.
    patience_s : float
        For how many seconds in all a service that is busy is asked again, after the time that it
        names; 0 for never.
    transport : httpx.BaseTransport, optional
        Used in place of the network.

    Raises
    ------
    ConfigError
        ``bad_service`` if `url` is not an address; ``bad_key`` if `key` is none; ``bad_patience``.
    """

    def __init__(
        self,
        url: str = HERE,
        key: str = "",
        *,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not (math.isfinite(patience_s) and patience_s >= 0):
            raise ConfigError("bad_patience", f"patience_s={patience_s}: must be 0 or more seconds")
        self.url, self.patience_s = service_address(url), patience_s
        require_plain(key, "bad_key", "API key")
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=TIMEOUT,
            # A proxy that the environment names does not lead to this machine.
            trust_env=bool(remote_host(self.url)),
            transport=transport,
        )

    def __repr__(self) -> str:
        """Name the service, and not the key."""
        return f"{type(self).__name__}({self.url!r})"

    def detect(self, source: Source, *, bundle: str = "") -> Detection:
        """Score a recording; the name of its file is not sent.

        Parameters
        ----------
        source : Path, str or bytes
            An audio or video file, or its content.
        bundle : str
            Content hash of the bundle that alone may answer; empty for the one in production.

        Returns
        -------
        Detection
            As `bonafide.Detector.score` returns it, with numbers rounded as JSON has them.

        Raises
        ------
        ServiceError
            What the service answers with, ``other_bundle`` where another one answers by now;
            ``unreachable``; ``bad_answer``; ``closed``.
        """
        return as_type(Detection, self.ask("/v1/detect", source, bundle=bundle))

    def explain(self, source: Source, *, bundle: str = "") -> Explained:
        """Score a recording and say why, as `bonafide.explanation.Explainer` does; as `detect`."""
        return as_type(Explained, self.ask("/v1/explain", source, bundle=bundle))

    def provenance(self, source: Source) -> Origin:
        """Return what a file says of its origin, as `bonafide.provenance.examine` does."""
        return as_type(Origin, self.ask("/v1/provenance", source))

    def model(self) -> Json:
        """Return what the service decides with: bundle, thresholds, card, manifest, lineage."""
        return self.ask("/v1/model")

    def ask(self, path: str, source: Source | None = None, *, bundle: str = "") -> Json:
        """Call an endpoint, and return its answer as it is.

        Parameters
        ----------
        path : str
            Such as ``/v1/detect``.
        source : Path, str or bytes, optional
            What to upload; None for a call without.
        bundle : str
            Content hash of the bundle that alone may answer.

        Returns
        -------
        dict
            The JSON that the service sent.

        Raises
        ------
        ConfigError
            ``bad_call`` for what is no path of the service; ``bad_bundle`` for what is no hash.
        ServiceError
            As above.
        """
        until = time.monotonic() + self.patience_s
        while True:
            try:
                return self._ask(path, source, bundle)
            except ServiceError as error:
                wait_s = error.retry_after_s
                if not wait_s or time.monotonic() + wait_s > until:
                    raise
            time.sleep(wait_s)

    def _ask(self, path: str, source: Source | None, bundle: str) -> Json:
        if self._http.is_closed:
            raise ServiceError("closed", f"{self!r} was closed")
        with request_of(path, source, bundle) as request:
            try:
                return answer_of(self._http.request(**request))
            except httpx.DecodingError as error:
                raise ServiceError("bad_answer", f"not the encoding it names: {error}") from error
            except httpx.HTTPError as error:
                why = str(error) or type(error).__name__
                raise ServiceError("unreachable", f"{self.url}: {why}") from error

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
