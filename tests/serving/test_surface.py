"""What surrounds scoring: health, metrics, the bundle, and the shape of every other answer."""

import httpx
import pytest

from benchmarks.sounds import Samples, encode
from bonafide.detector import Detector
from tests.helpers.servers import Server

API_POLICY = "default-src 'none'; frame-ancestors 'none'"


def test_model_is_the_bundle_that_answers(service: Server, detector: Detector) -> None:
    answer = service.get("/v1/model").json()
    bundle = detector.bundle
    assert answer["bundle"] == bundle.identity
    assert answer["manifest"] == bundle.manifest
    assert answer["thresholds"] == bundle.manifest["thresholds"]
    assert answer["prior_spoof"] == bundle.manifest["prior_spoof"]
    assert answer["card"] == (bundle.folder / "card.md").read_text()
    assert answer["lineage"]["corpus"] == bundle.manifest["corpus"]


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health(service: Server, path: str) -> None:
    assert service.get(path).status_code == 200


def test_metrics_count(service: Server, detector: Detector, voice: Samples) -> None:
    identity = detector.bundle.identity
    content = encode(voice, "mp3")
    verdict = detector.score(content).verdict
    counters = {
        'bonafide_requests_total{code="ok",endpoint="detect",status="200"}': 2,
        'bonafide_requests_total{code="not_audio",endpoint="detect",status="415"}': 1,
        f'bonafide_verdicts_total{{endpoint="detect",verdict="{verdict}"}}': 2,
        'bonafide_request_seconds_count{endpoint="detect"}': 3,
        **{
            f'bonafide_stage_seconds_count{{endpoint="detect",stage="{stage}"}}': 2
            for stage in ("receive", "wait", "decode", "resample", "infer")
        },
    }
    before = {line: service.metric(line) for line in counters}
    spent = service.metric('bonafide_stage_seconds_sum{endpoint="detect",stage="infer"}')
    for upload in (content, content, b"not audio"):
        service.detect(upload)
    moved = {line: service.metric(line) - seen for line, seen in before.items()}
    assert moved == counters
    assert service.metric('bonafide_stage_seconds_sum{endpoint="detect",stage="infer"}') > spent
    labels = ",".join(f'{key}="{identity[key]}"' for key in ("name", "sha256", "version"))
    assert service.metric(f"bonafide_bundle{{{labels}}}") == 1
    assert service.metric("bonafide_queue") == 0


def test_paths_that_do_not_exist_leave_no_trace(service: Server) -> None:
    served = 'bentoml_service_request_total{endpoint="/v1/model",http_response_code="200",'
    service.get("/v1/model")
    for path in ("/made-up", "/v1/made-up", "/v1/model/made-up", "/static_content/made-up"):
        assert service.get(path).status_code == 404
    metrics = service.get("/metrics").text
    assert served in metrics and "made-up" not in metrics


OTHER = {
    "no such path": ("GET", "/nope", 404, "not_found"),
    "no such call": ("POST", "/v1/nope", 404, "not_found"),
    "wrong method": ("GET", "/v1/detect", 405, "method_not_allowed"),
    "wrong method on health": ("DELETE", "/v1/model", 405, "method_not_allowed"),
    "up the tree": ("GET", "/static_content/..%2f..%2fsetup.py", 404, "not_found"),
}


@pytest.mark.parametrize("name", OTHER)
def test_every_error_has_one_shape(service: Server, name: str) -> None:
    method, path, status, code = OTHER[name]
    response = httpx.request(method, service.url + path)
    assert response.status_code == status
    (error,) = response.json().values()
    assert list(response.json()) == ["error"] and list(error) == ["code", "message"]
    assert error["code"] == code and error["message"]
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/", "/v1/model", "/v1/detect", "/metrics", "/livez", "/nope"])
def test_every_answer_has_security_headers(service: Server, path: str) -> None:
    headers = service.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers
    policy = headers["content-security-policy"]
    if path.startswith("/v1/"):
        assert policy == API_POLICY
    else:  # BentoML's page has a tracker in it, which this keeps out
        assert policy.startswith("default-src 'self';") and "script" not in policy


def test_another_site_may_not_call_from_a_browser(service: Server) -> None:
    headers = {"origin": "https://example.org", "access-control-request-method": "POST"}
    response = httpx.options(f"{service.url}/v1/detect", headers=headers)
    assert "access-control-allow-origin" not in response.headers


def test_no_error_was_the_services_own(service: Server) -> None:
    assert "Traceback" not in service.log
