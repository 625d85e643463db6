"""The OpenAPI document is valid, and the service does what it says of itself."""

import subprocess
import sys
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from benchmarks.sounds import Samples, encode
from serving.http.endpoints import find_endpoints
from serving.http.errors import STATUS
from serving.http.openapi import document
from tests.helpers.servers import Server

DOCUMENT = document(find_endpoints())
ALL = list(HealthCheck)
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CALLS = [
    *((path, method, POSITIVE) for path, item in DOCUMENT["paths"].items() for method in item),
    ("/v1/detect", "post", NEGATIVE),
    ("/v1/explain", "post", NEGATIVE),
]
NOT_OURS = [positive_data_acceptance]  # the schema says bytes; which bytes are audio it cannot say


@pytest.fixture(scope="module")
def api(service: Server) -> Any:
    schema = schemathesis.openapi.from_url(f"{service.url}/docs.json")
    schema.config.update(base_url=service.url)
    return schema


@pytest.mark.parametrize(("path", "method", "mode"), CALLS)
def test_whatever_is_called_is_answered_as_the_document_says(
    api: Any, path: str, method: str, mode: GenerationMode
) -> None:
    made = api[path][method].as_strategy(generation_mode=mode)
    called = 0

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=ALL)
    @given(made)
    def call(case: Any) -> None:
        nonlocal called
        called += 1
        case.call_and_validate(excluded_checks=NOT_OURS)

    call()
    assert called


def test_the_document_is_valid_and_the_one_that_is_served(api: Any, service: Server) -> None:
    api.validate()
    assert service.get("/docs.json").json() == DOCUMENT


def test_every_error_has_its_status_in_the_document() -> None:
    calls = [call for item in DOCUMENT["paths"].values() for call in item.values()]
    described = {status for call in calls for status in call["responses"] if status >= "400"}
    possible = set(STATUS.values()) - {405}  # of other methods than the ones described
    assert {str(status) for status in possible} == described
    detect = DOCUMENT["paths"]["/v1/detect"]["post"]["responses"]
    assert described - set(detect) == {"426"}  # no WebSocket is wanted there


def resolved(schema: Any, components: Any) -> Any:
    """Put what is referred to in its place, and allow no property that is not written down."""
    if isinstance(schema, list):
        return [resolved(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        return resolved(components[reference.rpartition("/")[2]], components)
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**{key: resolved(value, components) for key, value in schema.items()}, **closed}


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/explain", "/v1/model"])
def test_answers_are_what_is_written_and_no_more(
    service: Server, voice: Samples, path: str
) -> None:
    method = "get" if path == "/v1/model" else "post"
    responses = DOCUMENT["paths"][path][method]["responses"]
    schemas = DOCUMENT["components"]["schemas"]

    def check(status: str, answer: Any) -> None:
        written = responses[status]["content"]["application/json"]["schema"]
        jsonschema.validate(answer, resolved(written, schemas))

    if method == "get":
        check("200", service.get(path).json())
    else:
        for status, content in (("200", encode(voice, "flac")), ("415", b"not audio")):
            url = f"{service.url}{path}"
            check(status, httpx.post(url, files={"audio": content}, trust_env=False).json())


def test_the_scorer_goes_without_what_only_the_worker_needs() -> None:
    script = (
        "import sys, serving.workers.scorer as scorer; scorer.find_endpoints();"
        "print([n for n in ('pydantic', 'starlette', 'bentoml') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_models_are_a_map_of_names_and_may_be_null() -> None:
    detection = DOCUMENT["components"]["schemas"]["Detection"]["properties"]
    number_or_null = [{"type": "number"}, {"type": "null"}]
    for name in ("models", "stack"):
        assert detection[name]["additionalProperties"]["anyOf"] == number_or_null
    codes = DOCUMENT["components"]["schemas"]["Caution"]["properties"]["code"]["enum"]
    few = {"damaged", "not_all_judged", "silent_windows", "no_speech", "too_short"}
    assert set(codes) == {*few, "unknown_channel"}
