"""The BentoML service: workers, health, metrics and OpenAPI around the routes of `serving.api`.

The routes are an ASGI application and not BentoML methods: those read a body whole into memory
before any limit, and fetch a URL that is sent in a file's place (docs/decisions/service.md).
"""

import os
from pathlib import Path

import bentoml

from bonafide.home import home
from serving.api import application
from serving.guard import Guard
from serving.keys import Gate, read_keys
from serving.settings import Settings

SETTINGS = Settings.from_environment()
ROUTES = application()


@bentoml.service(
    name="bonafide",
    workers=SETTINGS.n_workers,
    traffic={"timeout": SETTINGS.upload_s + SETTINGS.deadline_s + 5},
    http={"host": "127.0.0.1", "port": 3000, "cors": {"enabled": False}},
    # An access log would keep what clients write into a path; the metrics count.
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": "v1/detect"},
)
@bentoml.asgi_app(ROUTES, path="/")
class Bonafide:
    """Tells machine-generated speech from human speech."""

    def __is_ready__(self) -> bool:
        """Tell whether a scorer stands by."""
        return bool(ROUTES.state.scoring.ready)


def _gate() -> Gate | None:
    if not SETTINGS.keys:
        return None
    counters = home() / "service"
    counters.mkdir(parents=True, exist_ok=True)
    return Gate(read_keys(Path(SETTINGS.keys)), counters / f"rates-{os.getppid()}")


Bonafide.add_asgi_middleware(Guard, gate=_gate(), anonymous=SETTINGS.anonymous)
