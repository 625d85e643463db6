"""What surrounds scoring: health, metrics, the bundle, and the shape of every other answer."""

import contextlib
import re
import socket

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
    line = 'bonafide_rejected_total{code="not_found",status="404"}'
    before = service.metric(line)
    for path in ("/made-up", "/v1/made-up", "/v1/model/made-up", "/static_content/made-up"):
        assert service.get(path).status_code == 404
    metrics = service.get("/metrics").text
    assert served in metrics and "made-up" not in metrics
    assert service.metric(line) == before + 4


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


@pytest.mark.parametrize(
    "path", ["/", "/v1/model", "/v1/detect", "/metrics", "/livez", "/nope", "/app/"]
)
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
    else:
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy


def test_another_site_may_not_call_from_a_browser(service: Server) -> None:
    headers = {"origin": "https://example.org", "access-control-request-method": "POST"}
    response = httpx.options(f"{service.url}/v1/detect", headers=headers)
    assert "access-control-allow-origin" not in response.headers


SITES = {
    "another site": ({"sec-fetch-site": "cross-site"}, 403),
    "a sister": ({"sec-fetch-site": "same-site"}, 403),
    "this site": ({"sec-fetch-site": "same-origin", "origin": "null"}, 415),
    "the user": ({"sec-fetch-site": "none"}, 415),
    "another origin": ({"origin": "https://example.org"}, 403),
    "no origin to speak of": ({"origin": "null"}, 403),
    "another port": ({"origin": "http://localhost:1", "host": "localhost"}, 403),
    "this origin": ({"origin": "http://LOCALHOST:3", "host": "localhost:3"}, 415),
    "no browser": ({}, 415),
}


@pytest.mark.parametrize("name", SITES)
def test_a_form_of_another_site_is_refused(service: Server, name: str) -> None:
    headers, status = SITES[name]
    response = service.detect(b"not audio", headers=headers)
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"]["code"] == "cross_site"
    assert service.get("/v1/model", headers=headers).status_code == 200  # as a link is


def test_the_page_loads_nothing(service: Server) -> None:
    page = service.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    found = re.findall(r"<(script|link|iframe|img|style|meta|object)\b([^>]*)", page.text)
    assert found == [("meta", ' charset="utf-8"')]
    links = re.findall(r"(?:href|src)=\"([^\"]*)\"", page.text)
    assert {service.get(f"/{link}").status_code for link in links} == {200}


@pytest.mark.parametrize("path", ["/schema.yaml", "/static_content/index.css", "/healthz", "//"])
def test_nothing_is_served_but_what_is_written(service: Server, path: str) -> None:
    assert service.get(path).status_code == 404


IDS = {
    "of the client": ("call-17:a.b_C", True),
    "none": (None, False),
    "empty": ("", False),
    "too long": ("a" * 129, False),
    "with a blank": ("a b", False),
    "with a sign": ("a%s", False),
    "in another script": (b"\xc3\xbc", False),
}


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("path", ["/v1/model", "/livez", "/nope", "/v1/detect"])
def test_every_answer_has_an_id(service: Server, name: str, path: str) -> None:
    sent, kept = IDS[name]
    headers = {} if sent is None else {"x-request-id": sent}
    answer = httpx.get(service.url + path, headers=headers)
    (seen,) = answer.headers.get_list("x-request-id")
    assert seen == sent if kept else re.fullmatch(r"[0-9a-f]{16}", seen)


def test_an_offer_of_http_2_is_answered_like_any_other(service: Server, voice: Samples) -> None:
    content = encode(voice, "flac")
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMA"}
    plain = service.detect(content)
    assert service.detect(content, headers=offer).json() == plain.json()
    assert service.get("/livez", headers=offer).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"), [({"content-encoding": "Identity"}, 200), ({"host": "LOCALHOST."}, 200)]
)
def test_headers_are_read_as_they_are_meant(
    service: Server, voice: Samples, headers: dict[str, str], status: int
) -> None:
    assert service.detect(encode(voice, "flac"), headers=headers).status_code == status


FLOODS = {
    "lines": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n" * 20_000),
    "one line": (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", b"y" * 1_000_000),
    "requests": (b"", b"GET /docs.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2_000),
    "trailers": (
        b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X: y\r\n" * 20_000,
    ),
    "parts": (
        b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3900000\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\n\r\n",
        b"--B\r\nA:\r\n\r\n\r\n" * 10_000,
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_cut_off_in_constant_memory(service: Server, name: str) -> None:
    head, piece = FLOODS[name]
    (worker,) = service.workers()
    before, sent = worker.memory_info().rss, 0
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head)
            while sent < 60_000_000:
                connection.sendall(piece)
                sent += len(piece)
    assert sent < 30_000_000
    assert worker.memory_info().rss - before < 25_000_000
    assert service.get("/livez").status_code == 200


def test_no_error_was_the_services_own(service: Server) -> None:
    assert "Traceback" not in service.log
