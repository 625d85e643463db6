"""API keys and who is answered without one."""

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.sounds import encode, speech
from bonafide.errors import ConfigError
from serving.http.keys import BURST_S, Gate, add_key, read_keys
from tests.helpers.servers import Server, private_home, server

SOUND = encode(speech(2.0), "flac")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


# --- the file -------------------------------------------------------------------------------------


def test_the_file_holds_hashes_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old = os.umask(0)
    try:
        secrets = [add_key(path, "ana"), add_key(path, "ben", 30)]
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]
    keys = read_keys(path)
    assert [(key.name, key.rate_per_minute) for key in keys] == [("ana", 600), ("ben", 30)]
    for key, secret in zip(keys, secrets, strict=True):
        assert len(secret) >= 43 and secret not in path.read_text()
        assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()


ENTRY = {"name": "ana", "sha256": "0" * 64}
BAD_FILES = {
    "missing": (None, "no such file; `bonafide keys add` makes one"),
    "not JSON": ("secret", "not a file of API keys"),
    "not a list of keys": ('{"a": 1}', "not a file of API keys"),
    "no key": ("[]", "holds no key"),
    "no hash": (json.dumps([{**ENTRY, "sha256": "ab"}]), "needs a sha256"),
    "no rate": (json.dumps([{**ENTRY, "rate_per_minute": 0}]), "a rate above 0"),
    "hash that is none": (json.dumps([{**ENTRY, "sha256": "z" * 64}]), "needs a sha256"),
    "hash that is a number": (json.dumps([{**ENTRY, "sha256": 1}]), "needs a sha256"),
    "rate that is a text": (json.dumps([{**ENTRY, "rate_per_minute": "9"}]), "a rate above 0"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_refused(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message) as raised:
        read_keys(path)
    assert raised.value.code == "bad_keys"


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [("ana", 60, "names must be unique"), ("ben", 0, "above 0"), ("ben", float("nan"), "above 0")],
)
def test_keys_that_are_not_made(tmp_path: Path, name: str, rate: float, message: str) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "ana")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=message):
        add_key(path, name, rate)
    assert path.read_bytes() == before


# --- the gate -------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    add_key(path, "slow", 60)
    add_key(path, "slower", 3)
    return path


@pytest.fixture
def gate(keys: Path, tmp_path: Path, clock: Clock) -> Iterator[Gate]:
    with contextlib.closing(Gate(read_keys(keys), tmp_path / "rates", clock)) as made:
        yield made


def burst(gate: Gate, number: int) -> int:
    """Count the requests that are let through at once."""
    count = 0
    while not gate.take(number):
        count += 1
    return count


def test_a_key_may_burst_and_then_keeps_its_rate(gate: Gate, clock: Clock) -> None:
    assert burst(gate, 0) == BURST_S  # of one a second
    assert gate.take(0) == pytest.approx(1.0)
    clock.now += 0.5
    assert gate.take(0) == pytest.approx(0.5)
    clock.now += 0.51
    assert burst(gate, 0) == 1
    clock.now += 1e6
    assert burst(gate, 0) == BURST_S  # and saves no more than that


def test_keys_do_not_spend_for_each_other(gate: Gate, clock: Clock) -> None:
    burst(gate, 0)
    assert burst(gate, 1) == 1
    assert gate.take(1) == pytest.approx(20.0)


def test_workers_share_the_count(gate: Gate, keys: Path, tmp_path: Path, clock: Clock) -> None:
    with contextlib.closing(Gate(read_keys(keys), tmp_path / "rates", clock)) as other:
        assert [bool(each.take(0)) for _ in range(6) for each in (gate, other)] == [
            *[False] * int(BURST_S),
            *[True] * 2,
        ]


def test_a_clock_that_went_back_locks_nobody_out(gate: Gate, clock: Clock) -> None:
    burst(gate, 0)
    clock.now = 5.0
    assert burst(gate, 0) == BURST_S


def test_only_the_key_itself_is_found(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secret = add_key(path, "ana")
    strangers = ("", secret[:-1], secret + "a", secret.swapcase(), read_keys(path)[0].sha256, "ü")
    with contextlib.closing(Gate(read_keys(path), tmp_path / "rates")) as gate:
        assert gate.find(secret) == 0 and gate.name(0) == "ana"
        assert [gate.find(stranger) for stranger in strangers] == [None] * len(strangers)


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
