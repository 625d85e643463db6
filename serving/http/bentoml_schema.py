"""The document by which BentoML's own clients learn what there is to call."""

from collections.abc import Mapping
from typing import Any

from serving.http.endpoints import Endpoint, ScoringEndpoint

SCHEMA = "/schema.json"
AUDIO = {
    "type": "object",
    "properties": {"audio": {"type": "file", "format": "audio"}},
    "required": ["audio"],
}


def schema(endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    """Return what ``bentoml.SyncHTTPClient`` and ``AsyncHTTPClient`` read at ``/schema.json``.

    Parameters
    ----------
    endpoints : mapping of str to Endpoint
        What `serving.http.endpoints.find_endpoints` returns.

    Returns
    -------
    dict
        Plain JSON values: a route for each call that takes a recording.
    """
    routes = [
        {
            "name": name.replace("-", "_"),
            "route": endpoint.path,
            "doc": endpoint.summary,
            "input": AUDIO,
            "output": {"type": "object"},
        }
        for name, endpoint in endpoints.items()
        if isinstance(endpoint, ScoringEndpoint)
    ]
    return {"name": "bonafide", "type": "service", "routes": routes}
