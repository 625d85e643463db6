"""The OpenAPI document of the service."""

from typing import Any

import bonafide
from bonafide.features.spec import BASE_MODELS, META_MODELS

JSON = "application/json"
_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT = {"type": "string"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _answer(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": schema}}}


_BUNDLE = _object({"name": _TEXT, "version": _TEXT, "sha256": _TEXT})
_SECOND = {"type": "number", "minimum": 0}
_DETECTION = _object(
    {
        "verdict": {"type": "string", "enum": ["bonafide", "spoof", "inconclusive"]},
        "llr": {"type": "number", "description": "natural log, higher for bona fide"},
        "p_spoof": _PROBABILITY,
        "duration_s": _SECOND,
        "segments": {
            "type": "array",
            "items": _object(
                {
                    "start_s": _SECOND,
                    "end_s": _SECOND,
                    "llr": {"type": "number"},
                    "p_spoof": _PROBABILITY,
                }
            ),
        },
        "models": _object(dict.fromkeys(BASE_MODELS, _PROBABILITY)),
        "stack": _object(dict.fromkeys(META_MODELS, _PROBABILITY)),
        "warnings": {"type": "array", "items": _TEXT},
        "bundle": _BUNDLE,
    }
)
_ERROR = _object({"error": _object({"code": _TEXT, "message": _TEXT})})
_ERRORS = {
    "400": "malformed: no audio field, not multipart, an empty or too slow upload",
    "401": "no API key, or one that is not known",
    "403": "no API keys are set, and the request does not come from this machine",
    "413": "the body is too large",
    "415": "not audio that can be decoded",
    "422": "audio, but too short, too long, silent, damaged or out of format",
    "429": "busy, or a key over its rate; see Retry-After",
    "503": "not ready yet",
    "504": "the deadline has passed; the work was stopped",
}


def document() -> dict[str, Any]:
    """Build the document, OpenAPI 3.0.3, as plain JSON values."""
    errors = {
        status: _answer(text, {"$ref": "#/components/schemas/Error"})
        for status, text in _ERRORS.items()
    }
    model = _object(
        {
            "bundle": _BUNDLE,
            "thresholds": {"type": "object"},
            "prior_spoof": _PROBABILITY,
            "lineage": {"type": "object"},
            "card": _TEXT,
            "manifest": {"type": "object"},
        }
    )
    form = _object({"audio": {"type": "string", "format": "binary"}})
    guarded = {"security": [{}, {"bearer": []}]}
    detect = {
        "operationId": "detect",
        "summary": "Score one recording.",
        "description": "Any codec that libsndfile or FFmpeg reads, as a form or as the body.",
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": _answer("verdict and scores", {"$ref": "#/components/schemas/Detection"}),
            **errors,
        },
        **guarded,
    }
    show = {
        "operationId": "model",
        "summary": "Manifest, card, thresholds and lineage of the bundle that answers.",
        "responses": {
            "200": _answer("the bundle", model),
            **{status: errors[status] for status in ("401", "403", "429", "503")},
        },
        **guarded,
    }
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Bonafide",
            "version": bonafide.__version__,
            "description": "Tells machine-generated speech from human speech.",
        },
        "servers": [{"url": "."}],
        "paths": {
            "/v1/detect": {"post": detect},
            "/v1/model": {"get": show},
            **{path: {"get": _plain(text)} for path, text in _HEALTH.items()},
        },
        "components": {
            "schemas": {"Detection": _DETECTION, "Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


_HEALTH = {
    "/livez": "The worker is alive.",
    "/readyz": "A scorer stands by.",
    "/metrics": "Counters for Prometheus.",
}


def _plain(text: str) -> dict[str, Any]:
    refused = {
        status: _answer(_ERRORS[status], {"$ref": "#/components/schemas/Error"})
        for status in ("401", "403", "429", "503")
    }
    content = {"text/plain": {"schema": _TEXT}}
    return {
        "summary": text,
        "responses": {"200": {"description": text, "content": content}, **refused},
    }
