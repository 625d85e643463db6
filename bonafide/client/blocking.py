"""The client whose calls wait for their answers."""

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


class Client(Calls):
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
        For how many seconds in all a service that is busy is asked again; 0 for never.
    transport : httpx.BaseTransport, optional
        Used in place of the network.

    Raises
    ------
    ConfigError
        ``bad_service`` if `url` is not an address; ``bad_key`` if `key` is none.
    """

    def __init__(
        self, url: str = HERE, key: str = "", *, patience_s: float = 60.0, transport: Any = None
    ) -> None:
        super().__init__(url, key, patience_s=patience_s, transport=transport)
        self._http = httpx.Client(**self.options)

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
            ``unreachable``; ``bad_answer``.
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
        ServiceError
            As above.
        """
        until = time.monotonic() + self.patience_s
        while True:
            try:
                with request_of(source, bundle) as call:
                    return answer_of(self._http.request(url=path, **call))
            except httpx.HTTPError as error:
                raise self.unreachable(error) from error
            except ServiceError as error:
                wait_s = self.wait_s(error, until)
            time.sleep(wait_s)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
