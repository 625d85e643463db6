"""Endpoints by name: each module here is one, and other packages add theirs.

To add an endpoint that scores, say ``/v1/peak``, write one file::

    def answer(detector: Detector, stream: AudioStream) -> Segment:
        return max(usable(detector.score(stream)).segments, key=lambda each: each.p_spoof)

    ENDPOINT = ScoringEndpoint("/v1/peak", "The segment that sounds most generated.", answer)

Uploads, limits, keys, the queue, metrics and OpenAPI follow from it. In this folder the file's name
is the endpoint's, and that is all. In another package, an entry point of the group
``bonafide.endpoints`` names it (``peak = "package.peak:ENDPOINT"``), and it is served where it is
asked for: ``BONAFIDE_ENDPOINTS=detect,model,peak``.
"""

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, get_type_hints

from bonafide.audio import AudioStream
from bonafide.bundle import Bundle
from bonafide.detector import Detector
from bonafide.errors import ConfigError

GROUP = "bonafide.endpoints"
ATTRIBUTE = "ENDPOINT"
MAX_NAME_BYTES = 32  # of a ticket in the queue


@dataclass(frozen=True)
class Endpoint:
    """What the service answers at a path.

    Parameters
    ----------
    path : str
        Starts with ``/v1/``, so that API keys guard it.
    summary : str
        One sentence, for the OpenAPI document.
    answer : callable
        Makes the answer: a dataclass or plain JSON values. Its return annotation becomes the
        schema in the OpenAPI document.
    """

    path: str
    summary: str
    answer: Callable[..., Any]

    method: ClassVar[str]

    @property
    def answer_type(self) -> Any:
        """The type of the answer."""
        return get_type_hints(self.answer)["return"]


@dataclass(frozen=True)
class ScoringEndpoint(Endpoint):
    """An endpoint that takes a recording by POST.

    ``answer(detector, stream)`` runs in the confined scorer process. For what it cannot score it
    raises `AudioError` with a code of `serving.http.errors.STATUS`.
    """

    answer: Callable[[Detector, AudioStream], Any]

    method = "POST"


@dataclass(frozen=True)
class BundleEndpoint(Endpoint):
    """An endpoint that describes the bundle, by GET; ``answer(bundle)`` runs in the worker."""

    answer: Callable[[Bundle], Any]

    method = "GET"


def plain(answer: Any) -> Any:
    """Return an answer as plain JSON values: a dataclass as a dict, all else as it is."""
    return asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer


def built_in() -> tuple[str, ...]:
    """Return the names of the endpoints that come with the service, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find_endpoints(names: Iterable[str] = ()) -> dict[str, Endpoint]:
    """Return the endpoints to serve, by name.

    Parameters
    ----------
    names : iterable of str
        Built-in ones and those of other packages; none for all that are built in.

    Returns
    -------
    dict of str to Endpoint
        In the order of the names.

    Raises
    ------
    ConfigError
        ``bad_endpoint`` for a name that nobody has, an object that is no endpoint, or a path that
        is not under ``/v1/`` or is taken.
    """
    endpoints: dict[str, Endpoint] = {}
    for name in tuple(names) or built_in():
        endpoint = _load(name)
        taken = {other.path for other in endpoints.values()}
        if not endpoint.path.startswith("/v1/") or endpoint.path in taken:
            allowed = "must start with /v1/ and belong to no other endpoint"
            raise ConfigError(
                "bad_endpoint", f"endpoint {name!r}: path {endpoint.path!r}: {allowed}"
            )
        endpoints[name] = endpoint
    return endpoints


def _load(name: str) -> Endpoint:
    if name in built_in():
        found = getattr(import_module(f"{__name__}.{name}"), ATTRIBUTE, None)
    else:
        others = {entry.name: entry for entry in entry_points(group=GROUP)}
        if name not in others:
            known = ", ".join((*built_in(), *sorted(others)))
            raise ConfigError("bad_endpoint", f"endpoint {name!r}: must be one of {known}")
        found = others[name].load()
    if not isinstance(found, Endpoint) or len(name.encode()) > MAX_NAME_BYTES:
        raise ConfigError(
            "bad_endpoint",
            f"endpoint {name!r}: must be an Endpoint with a name of at most {MAX_NAME_BYTES} bytes",
        )
    return found
