"""The page at ``/live``: what a microphone or a tab plays, judged while it plays."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FOLDER = Path(__file__).parent
NAMES = ("live.html", "live.css", "live.js", "sound.js", "stream.js", "words.js")


def _served(name: str) -> Route:
    content, kind = (FOLDER / name).read_bytes(), KINDS[Path(name).suffix]

    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind)

    return Route("/live" if name == "live.html" else f"/live/{name}", answer, methods=["GET"])


def live_routes() -> list[Route]:
    """Return a route for each file of the page, read once."""
    return [_served(name) for name in NAMES]
