"""The span of a request: BentoML's own middleware, told what to leave out and what to add."""

from typing import Any

from opentelemetry.instrumentation import asgi
from opentelemetry.trace import get_current_span

from serving.http.call import CALL, Call

WHOLE = "bonafide.scope"  # where the scope that is traced has the one that it was made of


class TraceKnown(asgi.OpenTelemetryMiddleware):  # type: ignore[misc]
    """OpenTelemetry's middleware as BentoML sets it up: one span a request, for some paths alone.

    Parameters
    ----------
    app : ASGI application
        What is traced.
    **options : Any
        BentoML's.
    """

    paths: frozenset[str] = frozenset()
    """What is traced; made-up paths would carry what clients write into them."""

    def __init__(self, app: Any, **options: Any) -> None:
        # A span for each message would be one for each 64 kB of an upload.
        super().__init__(_described(app), **options, exclude_spans=["receive", "send"])
        # Whatever the environment says: one of the headers is the API key.
        self.http_capture_headers_server_request = self.http_capture_headers_server_response = None
        self._untraced = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Trace a request, or let it pass."""
        if scope.get("path") in self.paths:
            told = {**scope, "query_string": b"", "client": None, WHOLE: scope}
            await super().__call__(told, receive, send)
        else:
            await self._untraced(scope, receive, send)


def _described(app: Any) -> Any:
    """Have the span of a request say what is known of it when its answer begins."""

    async def traced(told: Any, receive: Any, send: Any) -> None:
        scope, span = told[WHOLE], get_current_span()

        async def describing(message: Any) -> None:
            if message["type"] == "http.response.start" and CALL in scope:
                span.set_attributes(_attributes(scope[CALL]))
            await send(message)

        await app(scope, receive, describing)

    return traced


def _attributes(call: Call) -> dict[str, Any]:
    names = ("request_id", "code", "endpoint", "bundle")
    known = {name: getattr(call, name) for name in names}
    known = {f"bonafide.{name}": text for name, text in known.items() if text}
    return known | {f"bonafide.{stage}_s": seconds for stage, seconds in call.timings.items()}
