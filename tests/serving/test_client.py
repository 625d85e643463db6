"""The Python client, sync and async, and what it makes of a service's answers and errors."""

import asyncio
import copy
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.sounds import Samples, encode
from bonafide.client import AsyncClient, Client, ServiceError
from bonafide.client.shared import as_type
from bonafide.detection import Detection
from bonafide.detector import Detector
from bonafide.errors import ConfigError
from bonafide.process.service import free_port
from bonafide.provenance import examine
from tests.helpers.servers import Server

BUSY = {"error": {"code": "busy", "message": "9 wait"}}


def answered(detector: Detector, recording: Path) -> Detection:
    """Return a result with its numbers as JSON has them."""
    return as_type(Detection, detector.score(recording).to_json())


def plain(value: Any) -> Any:
    """Return a dataclass as its JSON reads."""
    return json.loads(json.dumps(dataclasses.asdict(value)))


@pytest.fixture
def recording(voice: Samples, tmp_path: Path) -> Path:
    path = tmp_path / "who-said-what.flac"
    path.write_bytes(encode(voice, "flac"))
    return path


def awaited(url: str, ask: Callable[[AsyncClient], Any]) -> Any:
    async def run() -> Any:
        async with AsyncClient(url) as client:
            return await ask(client)

    return asyncio.run(run())


def test_answers_are_those_of_the_detector(
    service: Server, detector: Detector, recording: Path
) -> None:
    expected = answered(detector, recording)
    with Client(service.url) as client:
        for source in (recording, str(recording), recording.read_bytes()):
            assert client.detect(source) == expected
        assert client.explain(recording).explanation.windows
        assert client.provenance(recording) == examine(recording)
        assert client.model()["bundle"] == plain(expected.bundle)
        assert client.detect(recording, bundle=expected.bundle.sha256) == expected
        with pytest.raises(ServiceError) as caught:
            client.detect(recording, bundle="0" * 64)
        assert caught.value.code == "other_bundle"
        with pytest.raises(ServiceError) as caught:
            client.detect(b"this is no audio" * 99)
        assert caught.value.code == "not_audio"
        with pytest.raises(FileNotFoundError):
            client.detect(recording.with_name("another.ogg"))


def test_asyncio_asks_as_much_at_once_as_is_wanted(
    service: Server, detector: Detector, recording: Path
) -> None:
    """More than the service takes at once: it is asked again, and all are answered."""
    expected = answered(detector, recording)

    async def several(client: AsyncClient) -> list[Any]:
        return await asyncio.gather(*(client.detect(recording) for _ in range(12)))

    assert awaited(service.url, several) == [expected] * 12
    assert awaited(service.url, lambda client: client.explain(recording)).verdict
    assert awaited(service.url, lambda client: client.provenance(recording)) == examine(recording)
    assert awaited(service.url, lambda client: client.model())["bundle"] == plain(expected.bundle)


BENTOML = """
import asyncio, json, sys
from pathlib import Path
import bentoml
from bentoml.exceptions import BentoMLException
url, recording, text = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
with bentoml.SyncHTTPClient(url) as client:
    print(json.dumps([client.detect(audio=recording), client.explain(recording)]))
    try: client.detect(audio=text)
    except BentoMLException as error: print(json.dumps(str(error)))
async def ask():
    async with bentoml.AsyncHTTPClient(url) as client: return await client.detect(audio=recording)
print(json.dumps(asyncio.run(ask())))
"""


def test_bentoml_s_own_clients_can_call(
    service: Server, detector: Detector, recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    command = [sys.executable, "-c", BENTOML, service.url, recording, tmp_path / "text.wav"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (detected, explained), refused, awaited = map(json.loads, done.stdout.splitlines())
    assert detected == awaited == detector.score(recording).to_json()
    assert explained["explanation"]["windows"] and "not_audio" in refused


def test_who_is_not_there_is_unreachable(recording: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(ServiceError, match=url) as caught:
        client.detect(recording)
    assert caught.value.code == "unreachable"
    with pytest.raises(ServiceError, match=url):
        awaited(url, lambda client: client.detect(recording))


class Busy:
    """A service that is busy some times, and then answers."""

    def __init__(self, times: int, answer: dict[str, Any], after: str = "1") -> None:
        self.times, self.answer, self.after, self.seen = times, answer, after, list[bytes]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.read())
        if len(self.seen) > self.times:
            return httpx.Response(200, json=self.answer)
        return httpx.Response(429, json=BUSY, headers={"retry-after": self.after})


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("times", "patience_s", "after", "seen"),
    [(1, 60.0, "1", 2), (1, 0.0, "1", 1), (1, 60.0, "61", 1), (1, 60.0, "", 1)],
)
def test_a_busy_service_is_asked_again_within_patience(
    client: type, recording: Path, times: int, patience_s: float, after: str, seen: int
) -> None:
    busy = Busy(times, {"is": "well"}, after)
    asked = client(
        "http://host", "k" * 20, patience_s=patience_s, transport=httpx.MockTransport(busy)
    )

    def ask() -> Any:
        done = asked.ask("/v1/detect", recording)
        return asyncio.run(done) if client is AsyncClient else done

    if seen > times:
        assert ask() == {"is": "well"}
    else:
        with pytest.raises(ServiceError, match="9 wait") as caught:
            ask()
        assert caught.value.retry_after_s == int(after or 0)
    assert len(busy.seen) == seen
    for body in busy.seen:  # the whole file each time, and not its name
        assert recording.read_bytes() in body and b"who-said-what" not in body


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(200, json={"verdict": "perhaps"}), "bad_answer"),
        (httpx.Response(200, text="[" * 100_000), "bad_answer"),
        (httpx.Response(200, json=[["verdict", "spoof"]]), "bad_answer"),
        (httpx.Response(500, json={"error": {"code": None, "message": {}}}), "bad_answer"),
        (httpx.Response(503, json=BUSY, headers={"retry-after": "9" * 400}), "busy"),
        (httpx.Response(503, json=BUSY, headers={"retry-after": "9" * 5000}), "busy"),
        (httpx.Response(503, json=BUSY, headers={"retry-after": "\u0663".encode()}), "busy"),
        (httpx.Response(301, headers={"location": "http://other/"}), "bad_answer"),
    ],
)
def test_odd_answers_are_errors_of_the_service(
    recording: Path, answer: httpx.Response, code: str
) -> None:
    transport = httpx.MockTransport(lambda _: answer)
    with (
        Client("http://host", transport=transport) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.detect(recording)
    assert (caught.value.code, caught.value.retry_after_s) == (code, 0)


def test_an_answer_to_half_an_upload_is_heard(service: Server) -> None:
    """By asyncio too, whose connections lose it."""
    large = bytes(30_000_000)
    with pytest.raises(ServiceError, match="larger than") as caught, Client(service.url) as client:
        client.detect(large)
    assert caught.value.code == "too_large"
    with pytest.raises(ServiceError, match="larger than"):
        awaited(service.url, lambda client: client.detect(large))


def test_only_files_are_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with Client("http://host") as client:
        for source in (tmp_path / "pipe", tmp_path, "", "a\0b"):
            with pytest.raises(OSError):
                client.detect(source)


def test_the_key_goes_to_no_other_service() -> None:
    with Client("http://host", "secret") as client:
        for path in ("http://other/v1/model", "//other/v1/model", "v1/model", "", "/v1/\n"):
            with pytest.raises(ConfigError) as caught:
                client.ask(path)
            assert caught.value.code == "bad_call"
        with pytest.raises(ConfigError) as caught:
            client.detect(b"", bundle="a\nb")
        assert caught.value.code == "bad_bundle"


def test_a_client_that_was_closed_says_so() -> None:
    client = Client("http://host")
    client.close()
    with pytest.raises(ServiceError) as caught:
        client.model()
    assert caught.value.code == "closed"
    assert copy.copy(caught.value).code == "closed"


@pytest.mark.parametrize("patience_s", [-1.0, float("nan"), float("inf")])
def test_patience_is_a_number_of_seconds(patience_s: float) -> None:
    with pytest.raises(ConfigError, match="must be 0 or more seconds"):
        Client(patience_s=patience_s)


NO_ADDRESSES = (
    *("", "localhost:3000", "ftp://host", "http://", "http://host:x", "http://host:0"),
    *("http://host\n", " http://host", "http://a b", "http://..", f"http://{'a' * 300}"),
    *("http://xn--\ud800", "http://host?x=1", "http://host#f", "http://me:secret@host"),
)


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be an address") as caught:
        Client(url)
    assert caught.value.code == "bad_service" and "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["a key", "key\n", "clé"])
def test_what_is_no_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AsyncClient(key=key)
    assert caught.value.code == "bad_key" and key not in str(caught.value)


def test_the_key_is_sent_and_not_shown() -> None:
    busy = Busy(0, {})

    def seen(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer secret"
        return busy(request)

    with Client("http://host/", "secret", transport=httpx.MockTransport(seen)) as client:
        assert client.ask("/v1/model") == {}
        assert repr(client) == "Client('http://host')"
