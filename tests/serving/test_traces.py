"""Traces: what a receiver of OpenTelemetry's protocol gets, and that nobody gets anything else."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.sounds import Samples, encode
from bonafide.detector import Detector
from bonafide.errors import ConfigError
from serving import traces
from serving.http.call import CALL, Call
from serving.http.keys import add_key
from serving.http.tracing import TraceKnown
from tests.helpers.servers import private_home, server, wait_for

SECRET = "not-to-be-told"
ENDPOINT, OWN = traces.ENDPOINTS[1], traces.ENDPOINTS[0]
LOCAL = "http://127.0.0.1:4318"
BLOCKING = f"""
import sys

class Blocking:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("{traces.EXPORTER.rpartition(".proto")[0]}"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocking())
"""


@dataclass
class Receiver:
    """What arrived at ``/v1/traces``."""

    url: str
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        scopes = [s for r in requests for each in r.resource_spans for s in each.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def services(self) -> set[str]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        resources = [each.resource for r in requests for each in r.resource_spans]
        return {str(attributes(each)["service.name"]) for each in resources}


def attributes(span: Any) -> dict[str, Any]:
    kinds = {each.key: each.value for each in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in kinds.items()}


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            known = self.path == "/v1/traces"
            if known:
                assert self.headers["content-type"] == "application/x-protobuf"
                found.bodies.append(body)
            self.send_response(200 if known else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        found = Receiver(f"http://127.0.0.1:{listening.server_port}")
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield found
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture
def without_exporter(tmp_path: Path) -> dict[str, str]:
    """Variables under which no Python finds the exporter."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKING)
    path = os.pathsep.join(
        [str(tmp_path / "site"), *sys.path[1:2], os.environ.get("PYTHONPATH", "")]
    )
    return {"PYTHONPATH": path}


def test_a_span_for_each_request(
    bundle_home: Path, tmp_path: Path, voice: Samples, detector: Detector
) -> None:
    home, keys = private_home(bundle_home, tmp_path / "home"), tmp_path / "keys.json"
    headers = {"x-api-key": add_key(keys, "ana"), "x-request-id": "call-17", "user-agent": "mine"}
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers["traceparent"] = f"00-{trace}-{parent}-01"
    sent, name = encode(voice, "flac"), f"{SECRET}.flac"
    with contextlib.ExitStack() as receiving:
        found = receiving.enter_context(receiver())
        environment = {
            ENDPOINT: found.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            # Whoever asks for headers does not get any: a key is among them.
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": ".*",
        }
        with server(home, workers=1, keys=keys, environment=environment) as running:
            path = f"/v1/detect?token={SECRET}"
            answer = running.post(path, files={"audio": (name, sent)}, headers=headers)
            assert answer.status_code == 200
            running.post(path, headers={"x-api-key": SECRET, "x-request-id": "call-18"})
            for path in (f"/v1/{SECRET}", "/livez", "/readyz"):
                running.get(path, headers={"x-request-id": "unseen"})
            running.get("/v1/model", headers=headers)
            wait_for(lambda: len(found.spans()) >= 3, "the spans are sent")
            receiving.close()  # one that is gone keeps nobody waiting, at the end neither
            assert running.get("/v1/model", headers=headers).status_code == 200
        (detect, refused, model) = sorted(found.spans(), key=lambda each: each.start_time_unix_nano)
    assert found.services() == {"bonafide"}
    told = attributes(detect)
    stages = {f"bonafide.{name}_s" for name in ("receive", "wait", "decode", "resample", "infer")}
    assert stages <= told.keys() and all(told[stage] >= 0 for stage in stages)
    ours = {key: text for key, text in told.items() if key.startswith("bonafide.")}
    assert {key: ours[key] for key in ours.keys() - stages} == {
        "bonafide.request_id": "call-17",
        "bonafide.code": "ok",
        "bonafide.endpoint": "detect",
        "bonafide.bundle": "{name}:{version}".format(**detector.bundle.identity),
    }
    assert (detect.name, told["http.status_code"]) == ("POST /v1/detect", 200)
    assert (detect.trace_id.hex(), detect.parent_span_id.hex()) == (trace, parent)
    took_s = (detect.end_time_unix_nano - detect.start_time_unix_nano) / 1e9
    assert sum(told[stage] for stage in stages) <= took_s < 60
    told = attributes(refused)
    assert (told["bonafide.request_id"], told["bonafide.code"]) == ("call-18", "unauthorized")
    assert told["http.status_code"] == 401 and "bonafide.bundle" not in told
    assert (model.name, attributes(model)["bonafide.request_id"]) == ("GET /v1/model", "call-17")
    everything = b"".join(found.bodies)
    unsaid = [SECRET, headers["x-api-key"], "net.peer", "http.request.header"]
    assert [text for text in unsaid if text.encode() in everything] == []
    assert sent[:64] not in everything and len(everything) < 10_000


def test_the_application_is_told_what_the_span_is_not() -> None:
    seen: dict[str, Any] = {}

    async def application(scope: Any, _: Any, send: Any) -> None:
        seen.update(scope)
        scope[CALL] = Call("call-1", code="busy")
        await send({"type": "http.response.start", "status": 429, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(_: Any) -> None:
        pass

    class Traced(TraceKnown):
        paths = frozenset({"/v1/detect"})

    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    scope = {"type": "http", "method": "POST", "path": "/v1/detect", "headers": []}
    scope |= {"client": ("192.0.2.7", 5), "query_string": b"a=1", "server": ("127.0.0.1", 3000)}
    asyncio.run(Traced(application, tracer_provider=provider)(scope, None, send))
    assert (seen["client"], seen["query_string"]) == (("192.0.2.7", 5), b"a=1")
    (span,) = kept.get_finished_spans()
    told = dict(span.attributes or {})
    assert (told["bonafide.request_id"], told["bonafide.code"]) == ("call-1", "busy")
    assert not [text for text in map(str, told.values()) if "192.0.2.7" in text or "a=1" in text]


def test_without_a_receiver_nothing_is_sent_and_nothing_is_needed(
    bundle_home: Path, tmp_path: Path, voice: Samples, without_exporter: dict[str, str]
) -> None:
    home = private_home(bundle_home, tmp_path / "home")
    with receiver() as found:
        environment = {**without_exporter, ENDPOINT: found.url, "OTEL_TRACES_EXPORTER": "none"}
        environment |= {"OTEL_BSP_SCHEDULE_DELAY": "10"}
        with server(home, workers=1, environment=environment) as running:
            assert running.detect(encode(voice, "flac")).status_code == 200
    assert found.bodies == []


def test_the_extra_is_asked_for(bundle_home: Path, without_exporter: dict[str, str]) -> None:
    environment = {**os.environ, **without_exporter, "BONAFIDE_HOME": str(bundle_home)}
    done = subprocess.run(
        [sys.executable, "-m", "bonafide.cli", "serve"],
        env={**environment, ENDPOINT: LOCAL},
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = (
        f"bonafide: not_installed: {traces.EXPORTER} is missing: pip install 'bonafide[traces]'\n"
    )
    assert (done.returncode, done.stderr) == (2, said)


RATIO = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
ON: dict[str, tuple[dict[str, str], str, float]] = {
    "everything": ({ENDPOINT: LOCAL}, f"{LOCAL}/v1/traces", 1.0),
    "a slash": ({ENDPOINT: f"{LOCAL}/"}, f"{LOCAL}/v1/traces", 1.0),
    "an address of their own": ({ENDPOINT: LOCAL, OWN: "https://t/x"}, "https://t/x", 1.0),
    "a tenth": ({ENDPOINT: LOCAL, **RATIO, "OTEL_TRACES_SAMPLER_ARG": "0.1"}, "", 0.1),
    "a ratio without one": ({ENDPOINT: LOCAL, **RATIO}, "", 1.0),
    "the protocol that it is": ({ENDPOINT: LOCAL, traces.PROTOCOLS[1]: "http/protobuf"}, "", 1.0),
}


@pytest.mark.parametrize("name", ON)
def test_on(name: str) -> None:
    environment, url, share = ON[name]
    section = traces.tracing(environment)
    assert section["exporter_type"] == "otlp" and section["sample_rate"] == share
    assert section["otlp"] == {"protocol": "http", "endpoint": url or f"{LOCAL}/v1/traces"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: LOCAL, "OTEL_TRACES_EXPORTER": "none"},
        {ENDPOINT: LOCAL, "OTEL_SDK_DISABLED": "True"},
    ],
)
def test_off(environment: dict[str, str]) -> None:
    assert traces.tracing(environment) == {}


BAD = {
    "no URL": ({ENDPOINT: "collector:4318"}, f"{ENDPOINT}='collector:4318': must be a URL such as"),
    "no host": ({OWN: "http://"}, f"{OWN}='http://': must be a URL"),
    "another exporter": ({"OTEL_TRACES_EXPORTER": "zipkin"}, "='zipkin': must be otlp or none"),
    "another protocol": (
        {ENDPOINT: LOCAL, traces.PROTOCOLS[1]: "grpc"},
        "OTEL_EXPORTER_OTLP_PROTOCOL='grpc': must be http/protobuf",
    ),
    "another sampler": (
        {ENDPOINT: LOCAL, "OTEL_TRACES_SAMPLER": "always_on"},
        "'always_on': must be parentbased_always_on or parentbased_traceidratio",
    ),
    "no number": (
        {ENDPOINT: LOCAL, **RATIO, "OTEL_TRACES_SAMPLER_ARG": "half"},
        "OTEL_TRACES_SAMPLER_ARG='half': must be a number from 0 to 1",
    ),
    "too much": ({ENDPOINT: LOCAL, **RATIO, "OTEL_TRACES_SAMPLER_ARG": "10"}, "from 0 to 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    environment, message = BAD[name]
    with pytest.raises(ConfigError, match=message) as raised:
        traces.tracing(environment)
    assert raised.value.code == "bad_setting"
