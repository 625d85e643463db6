"""Endpoints by name: each module here has one, and other packages can add theirs.

To add an endpoint that scores, say ``POST /v1/peak``, write one file::

    def answer(detector: Detector, stream: AudioStream) -> Segment:
        return max(usable(detector.score(stream)).segments, key=lambda each: each.p_spoof)

    ENDPOINT = ScoringEndpoint("peak", "The segment that sounds most generated.", answer)

Uploads, limits, keys, the queue, metrics and OpenAPI follow from it. In this folder, that is all.
In another package, an entry point of the group ``bonafide.endpoints`` names it
(``peak = "package.peak:ENDPOINT"``), and so must the setting
``BONAFIDE_ENDPOINTS=detect,model,peak``.
"""

import pkgutil
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, is_dataclass
from importlib import import_module
from typing import Any, ClassVar, get_type_hints

from bonafide.audio import AudioStream
from bonafide.bundle import Bundle
from bonafide.detector import Detector
from bonafide.errors import ConfigError
from bonafide.plugins import Registry

GROUP = "bonafide.endpoints"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")  # a part of a path, and of a ticket of the queue


@dataclass(frozen=True)
class Endpoint:
    """What the service answers at ``/v1/NAME``.

    Parameters
    ----------
    name : str
        Lower-case letters, digits, ``_`` and ``-``; at most 32.
    summary : str
        One sentence, for the OpenAPI document.
    answer : callable
        Makes the answer: a dataclass or plain JSON values. Its return annotation becomes the
        schema in the OpenAPI document.

    Raises
    ------
    ConfigError
        ``bad_endpoint`` if the name has another form.
    """

    name: str
    summary: str
    answer: Callable[..., Any]

    method: ClassVar[str]

    def __post_init__(self) -> None:
        """Check the name."""
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                "bad_endpoint", f"endpoint {self.name!r}: the name must match {NAME.pattern}"
            )

    @property
    def path(self) -> str:
        """Where it is answered."""
        return f"/v1/{self.name}"

    @property
    def answer_type(self) -> Any:
        """The type of the answer."""
        return get_type_hints(self.answer)["return"]


@dataclass(frozen=True)
class ScoringEndpoint(Endpoint):
    """An endpoint that takes a recording by POST.

    ``answer(detector, stream)`` runs in the confined scorer process. For what it cannot score it
    raises `AudioError` with a code of `serving.http.errors.STATUS`.

    Parameters
    ----------
    judges : bool
        Whether its answers are verdicts for the record, and for a shadow or a canary to be
        compared with.
    """

    answer: Callable[[Detector, AudioStream], Any]
    judges: bool = False

    method = "POST"


@dataclass(frozen=True)
class BundleEndpoint(Endpoint):
    """An endpoint that describes the bundle, by GET; ``answer(bundle)`` runs in the worker."""

    answer: Callable[[Bundle], Any]

    method = "GET"


def plain(answer: Any) -> Any:
    """Return an answer as plain JSON values: a dataclass as a dict, all else as it is."""
    return asdict(answer) if is_dataclass(answer) and not isinstance(answer, type) else answer


def _built_in() -> list[Endpoint]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [import_module(f"{__name__}.{name}").ENDPOINT for name in names]


def find_endpoints(names: Iterable[str] = ()) -> dict[str, Endpoint]:
    """Return the endpoints to serve, by name.

    Parameters
    ----------
    names : iterable of str
        Built-in endpoints and those of other packages; none for all that are built in.

    Returns
    -------
    dict of str to Endpoint
        In the order of the names.

    Raises
    ------
    ConfigError
        ``bad_endpoint`` for an unknown name; ``bad_plugin`` if another package's endpoint cannot be
        imported or is not one.
    """
    built_in = _built_in()
    registry = Registry(GROUP, Endpoint, built_in)
    endpoints: dict[str, Endpoint] = {}
    for name in tuple(names) or [endpoint.name for endpoint in built_in]:
        found = registry.find(name)
        if found is None:
            known = ", ".join(registry.names())
            raise ConfigError("bad_endpoint", f"endpoint {name!r}: must be one of {known}")
        endpoints[name] = found
    return endpoints
