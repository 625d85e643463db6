"""The BentoML service: workers, health and metrics around the endpoints of `serving.http`.

These are an ASGI application and not BentoML methods, which read a whole body into memory before
any limit applies, and fetch a URL that is sent in place of a file (docs/decisions/service.md).
"""

import os
from typing import Any

import bentoml
import uvicorn.config
from bentoml._internal.server.http import instruments
from opentelemetry.instrumentation import asgi

from serving.http.endpoints import find_endpoints
from serving.http.guard import Guard
from serving.http.openapi import HEALTH
from serving.http.routes import application, scoring_paths
from serving.http.tracing import TraceKnown
from serving.settings import Settings
from serving.traces import tracing
from serving.workers.canary import DEADLINE_SHARE
from serving.workers.supervisor import prepare

SETTINGS = Settings.from_environment()
ENDPOINTS = find_endpoints(SETTINGS.endpoint_names)
ROUTES = application(ENDPOINTS)
PATHS = {*("/", "/livez", "/readyz"), *(route.path for route in ROUTES.routes)}
TRACING = tracing(os.environ)


class CountKnown(instruments.RunnerTrafficMetricsMiddleware):
    """BentoML's metrics by path, for existing paths alone: made-up ones would all be kept."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Count a request, or let it pass."""
        known = scope.get("path") in PATHS
        await (super().__call__ if known else self.app)(scope, receive, send)


if TRACING:
    TraceKnown.paths = frozenset((PATHS | scoring_paths(ENDPOINTS).keys()) - HEALTH.keys())
instruments.RunnerTrafficMetricsMiddleware = CountKnown
asgi.OpenTelemetryMiddleware = TraceKnown
uvicorn.config.HTTP_PROTOCOLS["auto"] = "serving.http.protocol:LimitedProtocol"
uvicorn.config.WS_PROTOCOLS["auto"] = "serving.http.sockets:LimitedSocket"


@bentoml.service(
    name="bonafide",
    workers=SETTINGS.n_workers,
    # Longer than our own limits, a canary's too: BentoML stops waiting, but lets the work go on.
    traffic={"timeout": SETTINGS.upload_s + (1 + DEADLINE_SHARE) * SETTINGS.deadline_s + 5},
    http={"host": "127.0.0.1", "port": 3000, "cors": {"enabled": False}},
    # An access log would keep what clients write into a path; the metrics count requests.
    logging={"access": {"enabled": False}},
    tracing=TRACING,
)
@bentoml.asgi_app(ROUTES, path="/")
class Bonafide:
    """The detector of machine-generated speech, over HTTP."""

    prepare = bentoml.on_deployment(prepare)  # in the server itself; /readyz is the guard's


Bonafide.add_asgi_middleware(Guard, state=ROUTES.state)
