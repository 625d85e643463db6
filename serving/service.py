"""The BentoML service: workers, health, metrics and OpenAPI around the routes of `serving.api`.

The routes are an ASGI application and not BentoML methods: those read a body whole into memory
before any limit, and fetch a URL that is sent in a file's place (docs/decisions/service.md).
"""

import bentoml

from serving.api import application
from serving.guard import Guard
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


Bonafide.add_asgi_middleware(Guard, state=ROUTES.state)
