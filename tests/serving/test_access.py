"""Who is answered by a running service, with keys and without."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from benchmarks.sounds import encode, speech
from bonafide.process.service import free_port
from serving.http.keys import add_key, read_keys, revoke_key
from tests.helpers.servers import Server, private_home, server, wait_for

SOUND, LONG = encode(speech(2.0), "flac"), encode(speech(120.0), "flac")

# --- the service ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(bundle_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return private_home(bundle_home, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def secrets(home: Path) -> dict[str, str]:
    rates = {"ana": 6_000, "slow": 12}
    return {name: add_key(home / "keys.json", name, rate) for name, rate in rates.items()}


@pytest.fixture(scope="module")
def guarded(home: Path, secrets: dict[str, str]) -> Iterator[Server]:
    with server(home, "--keys", str(home / "keys.json"), workers=2) as running:
        yield running


NO_KEY = {
    "none": {},
    "wrong": {"authorization": "Bearer wrong"},
    "wrong header": {"x-api-key": "wrong"},
    "another scheme": {"authorization": "Basic {ana}"},
    "hash in its place": {"authorization": "Bearer {hash}"},
    "not ASCII": {"x-api-key": b"\xff\xfe"},
}


@pytest.mark.parametrize("name", NO_KEY)
@pytest.mark.parametrize("path", ["/v1/detect", "/v1/model", "/v1/nope", "/metrics"])
def test_without_a_key(
    guarded: Server, home: Path, secrets: dict[str, str], name: str, path: str
) -> None:
    values = {**secrets, "hash": read_keys(home / "keys.json")[0].sha256}
    headers = {
        key: value.format(**values) if isinstance(value, str) else value
        for key, value in NO_KEY[name].items()
    }
    method = "POST" if path == "/v1/detect" else "GET"
    response = httpx.request(method, guarded.url + path, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs.json"])
def test_health_needs_no_key(guarded: Server, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_key_is_taken_from_either_header(guarded: Server, secrets: dict[str, str]) -> None:
    for headers in ({"authorization": f"Bearer {secrets['ana']}"}, {"x-api-key": secrets["ana"]}):
        assert guarded.detect(SOUND, headers=headers).status_code == 200
    assert secrets["ana"] not in guarded.log


def test_a_key_over_its_rate_is_told_when_to_come_again(
    guarded: Server, secrets: dict[str, str]
) -> None:
    headers = {"x-api-key": secrets["slow"]}
    # a new connection each, so that both workers are asked
    answers = [guarded.get("/v1/model", headers=headers) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 2 + [429] * 4
    assert answers[-1].json()["error"]["code"] == "over_rate"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 5  # one each five seconds
    assert guarded.get("/v1/model", headers={"x-api-key": secrets["ana"]}).status_code == 200


def test_keys_are_followed_while_the_service_runs(
    guarded: Server, home: Path, secrets: dict[str, str]
) -> None:
    path = home / "keys.json"

    def statuses(secret: str) -> set[int]:  # a new connection each, so that both workers are asked
        headers = {"x-api-key": secret}
        return {guarded.get("/v1/model", headers=headers).status_code for _ in range(8)}

    late = add_key(path, "late")
    wait_for(lambda: statuses(late) == {200}, "both workers know it")
    good = path.read_bytes()
    path.write_bytes(good[:-5])
    wait_for(lambda: "the keys stay as they were" in guarded.log, "a line in the log")
    assert statuses(late) == {200}
    path.write_bytes(good)
    revoke_key(path, "late")
    wait_for(lambda: statuses(late) == {401}, "no worker knows it")
    assert statuses(secrets["ana"]) == {200}


def test_a_key_that_has_expired_is_told(guarded: Server, home: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    headers = {"x-api-key": add_key(home / "keys.json", "brief", expires=soon)}
    ask = partial(guarded.get, "/v1/model", headers=headers)
    wait_for(lambda: "has expired on" in ask().text, "it expires")
    assert (ask().status_code, ask().json()["error"]["code"]) == (401, "unauthorized")


class Greedy:
    """Requests of a greedy key, eight at a time, until the block is left."""

    def __init__(self, running: Server, secret: str, sound: bytes) -> None:
        self.codes: list[int] = []
        self._ask = partial(running.detect, sound, headers={"x-api-key": secret})
        self._done, self._pool = threading.Event(), ThreadPoolExecutor(8)

    def __enter__(self) -> "Greedy":
        for _ in range(8):
            self._pool.submit(self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._pool.shutdown()

    def _loop(self) -> None:
        while not self._done.is_set():
            self.codes.append(self._ask().status_code)


@pytest.fixture
def shared(bundle_home: Path, tmp_path: Path) -> Iterator[tuple[Server, str, str]]:
    """A service with one worker, and the keys of a greedy client and of a modest one."""
    home, path = private_home(bundle_home, tmp_path / "home"), tmp_path / "keys.json"
    greedy, modest = add_key(path, "greedy", 1e6), add_key(path, "modest", 1200)
    with server(home, "--keys", str(path), workers=1) as running:
        yield running, greedy, modest


def test_a_greedy_key_leaves_a_modest_one_its_rate(shared: tuple[Server, str, str]) -> None:
    running, secret, modest = shared
    codes = []
    with Greedy(running, secret, SOUND) as greedy:
        for _ in range(12):
            start = time.monotonic()
            codes.append(running.detect(SOUND, headers={"x-api-key": modest}).status_code)
            time.sleep(max(0.0, start + 0.5 - time.monotonic()))
    assert 429 in greedy.codes  # busy
    assert codes == [200] * 12


def test_a_place_is_not_lost_while_an_upload_arrives(shared: tuple[Server, str, str]) -> None:
    running, secret, modest = shared
    head = (
        f"POST /v1/detect HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {modest}\r\n"
        f"content-length: {len(SOUND)}\r\n\r\n"
    )
    with ExitStack() as until_answered:

        def upload() -> Iterator[bytes]:
            yield head.encode() + SOUND[:1000]  # while nobody else is there
            wait_for(running.upload_files, "the upload arrives")
            greedy = until_answered.enter_context(Greedy(running, secret, LONG))
            wait_for(lambda: 429 in greedy.codes, "the queue is full")
            yield SOUND[1000:]

        assert running.raw(upload())[0] == 200


# --- what is written down -------------------------------------------------------------------------


def test_calls_are_written_down(bundle_home: Path, tmp_path: Path) -> None:
    home, path = private_home(bundle_home, tmp_path / "home"), tmp_path / "keys.json"
    headers = {"x-api-key": add_key(path, "ana"), "x-request-id": "call-1"}
    audit = tmp_path / "calls.jsonl"
    with server(home, "--keys", str(path), workers=1, audit=audit) as running:
        verdict = running.detect(SOUND, headers=headers).json()["verdict"]
        running.detect(b"not audio", headers=headers)
        running.get("/v1/secret-name", headers=headers)
        # A line is written once its answer is on the way.
        wait_for(lambda: len(audit.read_text().splitlines()) == 3, "three lines")
        audit.rename(tmp_path / "calls.1")
        running.detect(SOUND)
        running.get("/livez")
    entries = [json.loads(line) for line in (tmp_path / "calls.1").read_text().splitlines()]
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600
    assert [entry.pop("time")[:2] for entry in entries] == ["20"] * 3
    assert all(0 <= entry.pop("took_s") < 60 for entry in entries)
    who = {"request_id": "call-1", "key": "ana"}
    assert entries == [
        {
            **who,
            "path": "/v1/detect",
            "status": 200,
            "code": "ok",
            "verdict": verdict,
            "size_bytes": len(SOUND),
        },
        {
            **who,
            "path": "/v1/detect",
            "status": 415,
            "code": "not_audio",
            "verdict": None,
            "size_bytes": 9,
        },
        {
            **who,
            "path": None,
            "status": 404,
            "code": "not_found",
            "verdict": None,
            "size_bytes": 0,
        },
    ]
    (later,) = map(json.loads, audit.read_text().splitlines())
    assert (later["key"], later["status"], later["code"]) == (None, 401, "unauthorized")


def test_metrics_may_have_an_address_of_their_own(bundle_home: Path, tmp_path: Path) -> None:
    home, path, port = (
        private_home(bundle_home, tmp_path / "home"),
        tmp_path / "keys.json",
        free_port(),
    )
    headers = {"x-api-key": add_key(path, "ana")}
    address = f"127.0.0.1:{port}"
    with server(home, "--keys", str(path), workers=2, metrics=address) as running:
        running.detect(SOUND, headers=headers)
        running.detect(SOUND, headers={"x-api-key": "wrong"})
        found = httpx.get(f"http://{address}/metrics")
        line = 'bonafide_requests_total{code="ok",endpoint="detect",status="200"} 1.0'
        assert found.status_code == 200 and line in found.text
        assert 'bonafide_rejected_total{code="unauthorized",status="401"} 1.0' in found.text
        assert httpx.get(f"http://{address}/v1/model").json()["error"]["code"] == "not_found"
        elsewhere = httpx.get(f"http://{address}/metrics", headers={"host": "evil.example"})
        assert elsewhere.json()["error"]["code"] == "bad_host"
        assert running.get("/metrics", headers=headers).status_code == 404


START = {
    "keys that others can read": ({"KEYS": "{path}"}, "bad_keys: .*mode 0644 lets others read it"),
    "a log that cannot be": ({"AUDIT": "{path}/calls.jsonl"}, "bad_setting: BONAFIDE_AUDIT=.*"),
    "metrics at the API's port": ({"METRICS": "127.0.0.1:{port}"}, "bad_setting: .* another port"),
    "metrics at a taken port": ({"METRICS": "127.0.0.1:{taken}"}, "port_taken: BONAFIDE_METRICS="),
}


@pytest.mark.parametrize("name", START)
def test_what_cannot_be_ends_the_start(bundle_home: Path, tmp_path: Path, name: str) -> None:
    given, message = START[name]
    path, port = tmp_path / "keys.json", free_port()
    add_key(path, "ana")
    path.chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as other:
        values = {"path": path, "port": port, "taken": other.getsockname()[1]}
        settings = {f"BONAFIDE_{key}": text.format(**values) for key, text in given.items()}
        done = subprocess.run(
            [sys.executable, "-m", "bonafide.cli", "serve", "--port", str(port)],
            env={**os.environ, "BONAFIDE_HOME": str(bundle_home), **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and re.match(f"bonafide: {message}", line)


# --- without keys ---------------------------------------------------------------------------------


def test_other_machines_are_not_served_without_keys(bundle_home: Path) -> None:
    command = [sys.executable, "-m", "bonafide.cli", "serve", "--host", "0.0.0.0", "--port", "3000"]
    done = subprocess.run(
        command,
        env={**os.environ, "BONAFIDE_HOME": str(bundle_home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("bonafide: keys_required: --host 0.0.0.0 is reached by other")
    assert "--keys" in done.stderr and "--anonymous" in done.stderr


def test_other_machines_are_served_without_keys_if_that_is_said(home: Path) -> None:
    with server(home, "--host", "0.0.0.0", "--anonymous", workers=1) as running:
        named = running.get("/v1/model", headers={"host": "speech.example"})
        assert named.status_code == 200


@pytest.mark.parametrize("path", ["/v1/model", "/metrics", "/", "/livez"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "[::2]"]
)
def test_a_web_page_that_points_its_name_here_is_refused(
    service: Server, path: str, host: str
) -> None:
    response = service.get(path, headers={"host": host})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "bad_host")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:3000",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:9",
        "LOCALHOST",
        "Localhost.:80",
    ],
)
def test_this_machine_is_answered_by_its_names(service: Server, host: str) -> None:
    assert service.get("/v1/model", headers={"host": host}).status_code == 200
