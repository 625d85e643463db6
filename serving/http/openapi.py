"""The OpenAPI document of the service: paths from its endpoints, schemas from their types."""

from collections.abc import Mapping
from typing import Any

import bonafide
from bonafide.client import BUNDLE_HEADER
from serving.http import feedback, jobs
from serving.http.endpoints import Endpoint, ScoringEndpoint
from serving.http.errors import Error
from serving.http.sockets import PATH as STREAM
from serving.http.uploads import FIELD

REFERENCE = "#/components/schemas/{model}"
ERRORS = {
    "400": "malformed: no audio field, not multipart, or an upload that is empty or too slow",
    "401": "no API key, or one that is unknown or has expired",
    "403": "no API keys are set and another machine calls, or a page of another site does",
    "404": "there is no such path",
    "408": "the request took too long to arrive",
    "409": "another bundle answers than the one that the call names",
    "413": "the body is too large",
    "414": "the URL is too long",
    "415": "not audio that can be decoded",
    "422": "audio, but too short, too long, silent, damaged or of an unsupported format",
    "426": "a WebSocket is needed",
    "429": "busy, or a key over its rate; see Retry-After",
    "431": "the header is too large",
    "503": "not ready yet",
    "504": "the deadline has passed; the work was stopped",
}
OF_ANY_PATH = ("401", "403", "429", "503")
HEALTH = {
    "/livez": "The worker is alive.",
    "/readyz": "A scorer is ready.",
    "/metrics": "Counters for Prometheus.",
}
GUARDED: dict[str, Any] = {"security": [{}, {"bearer": []}]}
_BINARY = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: _BINARY}}
BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": _FORM},
        "application/octet-stream": {"schema": _BINARY},
    },
}
_JOB: dict[str, Any] = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"},
        "status": {"enum": ["queued", "running", "done", "failed"]},
    },
}

BUNDLE_PARAMETER = {
    "name": BUNDLE_HEADER,
    "in": "header",
    "description": "The content hash of the bundle that alone may answer; see /v1/model.",
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}


def document(endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
    """Build the OpenAPI 3.1 document of the service.

    Parameters
    ----------
    endpoints : mapping of str to Endpoint
        What `serving.http.endpoints.find_endpoints` returns.

    Returns
    -------
    dict
        Plain JSON values.
    """
    schemas, components = _schemas(endpoints)
    errors = {
        status: _response(text, schemas["Error"], "application/json")
        for status, text in ERRORS.items()
    }
    paths = {
        endpoint.path: {endpoint.method.lower(): _call(name, endpoint, schemas[name], errors)}
        for name, endpoint in endpoints.items()
    }
    paths[feedback.PATH] = {"post": _feedback(errors)}
    paths[STREAM] = {"get": _stream(errors)}
    paths |= _jobs(endpoints, errors)
    general = {status: errors[status] for status in OF_ANY_PATH}
    for path, text in HEALTH.items():
        answer = _response(text, {"type": "string"}, "text/plain")
        paths[path] = {"get": {"summary": text, "responses": {"200": answer, **general}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bonafide",
            "version": bonafide.__version__,
            "description": "Detects machine-generated speech.",
        },
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(endpoints: Mapping[str, Endpoint]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of each endpoint's answer and of errors, and those they refer to."""
    from pydantic import TypeAdapter  # the scorer and `bonafide score` go without it

    types = {name: endpoint.answer_type for name, endpoint in endpoints.items()} | {"Error": Error}
    found, rest = TypeAdapter.json_schemas(
        [(name, "serialization", TypeAdapter(kind)) for name, kind in types.items()],
        ref_template=REFERENCE,
    )
    components = rest.get("$defs", {})
    for schema in components.values():
        if "description" in schema:  # the first line of a docstring
            schema["description"] = schema["description"].partition("\n")[0]
    return {name: schema for (name, _), schema in found.items()}, components


def _call(
    name: str, endpoint: Endpoint, schema: dict[str, Any], errors: dict[str, Any]
) -> dict[str, Any]:
    call = {"operationId": name, "summary": endpoint.summary, **GUARDED}
    scoring = tuple(status for status in errors if status != "426")
    statuses = scoring if isinstance(endpoint, ScoringEndpoint) else OF_ANY_PATH
    if isinstance(endpoint, ScoringEndpoint):
        call["description"] = "Any codec that libsndfile or FFmpeg reads, as a form or as the body."
        call["requestBody"] = BODY
        call["parameters"] = [BUNDLE_PARAMETER]
    answer = _response("the answer", schema, "application/json")
    responses = {"200": answer, **{status: errors[status] for status in statuses}}
    return {**call, "responses": responses}


def _feedback(errors: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": feedback.SCHEMA}}
    own = {
        "200": _response("noted", feedback.SCHEMA, "application/json"),
        "400": {**errors["400"], "description": "the body is not what it must be"},
        "404": {**errors["404"], "description": "no record is kept, or it holds no such answer"},
        "409": {**errors["409"], "description": "several files had that request ID"},
    }
    others = {status: errors[status] for status in ("408", "413", *OF_ANY_PATH)}
    return {
        "operationId": "feedback",
        "summary": "Say what a recording was that the service has answered.",
        **GUARDED,
        "requestBody": {"required": True, "content": content},
        "responses": {**own, **others},
    }


def _stream(errors: dict[str, Any]) -> dict[str, Any]:
    statuses = ("404", "426", *OF_ANY_PATH)
    return {
        "operationId": "stream",
        "summary": "Judge sound while it comes: a WebSocket.",
        "description": "16-bit little-endian mono samples at 16 kHz in, a JSON event every half "
        "second out. What else it takes and says: docs/stream.md.",
        **GUARDED,
        "responses": {
            "101": {"description": "the WebSocket is open"},
            **{status: errors[status] for status in statuses},
        },
    }


def _jobs(endpoints: Mapping[str, Endpoint], errors: dict[str, Any]) -> dict[str, Any]:
    """Return what takes jobs, tells of them and forgets them."""
    scoring = [name for name, each in endpoints.items() if isinstance(each, ScoringEndpoint)]
    uri = {"type": "string", "format": "uri"}
    wanted = {"endpoint": {"enum": scoring}, "callback": uri}
    query = [{"name": name, "in": "query", "schema": schema} for name, schema in wanted.items()]
    one = {"name": "id", "in": "path", "required": True, "schema": _JOB["properties"]["id"]}
    told = {status: errors[status] for status in ("404", *OF_ANY_PATH)}
    more = {status: errors[status] for status in ("400", "408", "413", "414")}
    answer = _response("what is known of it", _JOB, "application/json")
    return {
        jobs.PATH: {
            "post": {
                "operationId": "job",
                "summary": "Take a recording, and answer later.",
                **GUARDED,
                "parameters": query,
                "requestBody": BODY,
                "responses": {"202": answer, **told, **more},
            }
        },
        f"{jobs.PATH}/{{id}}": {
            "get": {
                "operationId": "told",
                "summary": "Tell of a job, and its answer once there is one.",
                **GUARDED,
                "parameters": [one],
                "responses": {"200": answer, **told},
            },
            "delete": {
                "operationId": "forget",
                "summary": "Forget a job, its recording and its answer.",
                **GUARDED,
                "parameters": [one],
                "responses": {"204": {"description": "nothing is left of it"}, **told},
            },
        },
    }


def _response(text: str, schema: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": schema}}}
