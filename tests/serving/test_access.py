"""Who is answered by a running service, with keys and without."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.sounds import encode, speech
from serving.http.keys import add_key, read_keys
from tests.helpers.servers import Server, private_home, server

SOUND = encode(speech(2.0), "flac")

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


@pytest.mark.parametrize("host", ["localhost", "localhost:3000", "127.0.0.1:1", "[::1]", "[::1]:9"])
def test_this_machine_is_answered_by_its_names(service: Server, host: str) -> None:
    assert service.get("/v1/model", headers={"host": host}).status_code == 200
