"""The file of API keys, and the command that changes it."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from bonafide.cli.root import main
from bonafide.errors import ConfigError
from serving.http import keys as keys_module
from serving.http.keys import add_key, read_keys

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
    "rate without end": (json.dumps([{**ENTRY, "rate_per_minute": float("inf")}]), "a rate above"),
    "no burst": (json.dumps([{**ENTRY, "burst": 0}]), "a burst of at least 1 request, not 0"),
    "no time": (json.dumps([{**ENTRY, "expires": "soon"}]), "expires 'soon': must be a time"),
    "a time of somewhere": (json.dumps([{**ENTRY, "expires": "2027-01-31"}]), "must be a time"),
    "no name": (json.dumps([{**ENTRY, "name": ""}]), "1 to 64 printable characters"),
    "a name of two lines": (json.dumps([{**ENTRY, "name": "a\nb"}]), "printable characters"),
    "a name that is none": (json.dumps([{**ENTRY, "name": ["a"]}]), "printable characters"),
    "a name twice": (json.dumps([ENTRY, {**ENTRY, "sha256": "1" * 64}]), "twice; must be unique"),
    "a key twice": (json.dumps([ENTRY, {**ENTRY, "name": "ben"}]), "twice; must be unique"),
    "an unknown field": (json.dumps([{**ENTRY, "scope": "all"}]), "not a file of API keys"),
    "half a file": (json.dumps([ENTRY])[:-3], "not a file of API keys"),
    "bytes": ("\x00\udcff", "not a file of API keys"),
    "endless lists": ("[" * 100_000, "not a file of API keys"),
    "too many": (
        json.dumps([{"name": f"{n}", "sha256": f"{n:064x}"} for n in range(4_097)]),
        "4096",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_refused(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content, errors="surrogateescape")
        path.chmod(0o600)
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


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o777])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "ana")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"mode {mode:04o} .* chmod 600 .*keys\.json"):
        read_keys(path)
    with pytest.raises(ConfigError, match="lets others read it"):
        add_key(path, "ben")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="must be a file, not a pipe or a device"):
        read_keys(path)
    path.unlink()
    path.mkdir()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_keys(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_cannot_be_read_again_is_no_key_file(kind: str, tmp_path: Path) -> None:
    """A named pipe would be waited for, and the advice to chmod a device would break it."""
    path = tmp_path if kind == "folder" else tmp_path / "keys.json"
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "device":
        path.symlink_to(os.devnull)
    for use in (read_keys, lambda path: add_key(path, "ana")):
        with pytest.raises(ConfigError, match=r"must be a file|Is a directory"):
            use(path)


def test_a_secret_that_a_container_mounts_may_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "ana")
    path.chmod(0o444)
    mounted = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "fstatvfs", lambda _: mounted)
    assert [key.name for key in read_keys(path)] == ["ana"]


def test_keys_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(add_key, path), map(str, range(40))))
    assert {key.name for key in read_keys(path)} == set(map(str, range(40)))
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


def test_a_link_to_a_key_file_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "real" / "keys.json", tmp_path / "keys.json"
    path.parent.mkdir()
    add_key(path, "ana")
    link.symlink_to(path)
    add_key(link, "ben")
    assert link.is_symlink() and len(read_keys(path)) == 2


def test_a_key_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "ana", expires=datetime(2999, 1, 31, tzinfo=UTC))
    (key,) = read_keys(path)
    assert not key.expired()
    monkeypatch.setattr(keys_module, "now", lambda: datetime(2999, 1, 31, tzinfo=UTC))
    assert key.expired()


# --- the command ----------------------------------------------------------------------------------


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def bonafide(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        status = main(["keys", *words])
        output = capsys.readouterr()
        return status, output.out + output.err

    return run


def test_keys_are_listed_and_revoked_by_name(bonafide: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "keys.json")
    _, made = bonafide(
        "add", path, "ana", "--rate", "30", "--burst", "4", "--expires", "2999-01-31"
    )
    bonafide("add", path, "ben")
    _, listed = bonafide("list", path, "--json")
    assert made.strip() not in listed
    ana, ben = json.loads(listed)
    assert ana == {
        "name": "ana",
        "rate_per_minute": 30.0,
        "burst": 4.0,
        "expires": "2999-01-31T00:00:00+00:00",
        "expired": False,
    }
    assert (ben["rate_per_minute"], ben["burst"], ben["expires"]) == (600.0, 100.0, None)
    assert "2999-01-31" in bonafide("list", path)[1]
    assert bonafide("revoke", path, "ana")[0] == 0
    assert [key["name"] for key in json.loads(bonafide("list", path, "--json")[1])] == ["ben"]
    assert bonafide("revoke", path, "ben")[0] == 0
    assert json.loads(bonafide("list", path, "--json")[1]) == []


WRONG = {
    "no rate": (("add", "cy", "--rate", "0"), "a rate above 0 per minute, not 0.0"),
    "less than none": (("add", "cy", "--rate", "-1"), "a rate above 0 per minute, not -1.0"),
    "no burst": (("add", "cy", "--burst", "0.5"), "a burst of at least 1 request, not 0.5"),
    "in the past": (("add", "cy", "--expires", "2001-01-31"), "must be in the future"),
    "no span": (("add", "cy", "--expires", "0d"), "must be in the future"),
    "no time": (("add", "cy", "--expires", "soon"), "must be a date, a time or a span such as 30d"),
    "no name": (("add", ""), "1 to 64 printable characters"),
    "taken": (("add", "ana"), "names must be unique"),
    "nobody": (("revoke", "cy"), "has no key for 'cy'; must be one of ana"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_command_refuses(bonafide: Run, tmp_path: Path, name: str) -> None:
    (verb, *words), message = WRONG[name]
    path = tmp_path / "keys.json"
    add_key(path, "ana")
    before = path.read_bytes()
    status, said = bonafide(verb, str(path), *words)
    assert status == 2 and message in said and "Traceback" not in said
    assert path.read_bytes() == before


def test_no_file_is_made_to_list_or_revoke(bonafide: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "keys.json")
    for words in (("list", path), ("revoke", path, "ana")):
        status, said = bonafide(*words)
        assert status == 2 and "no such file" in said
    assert not list(tmp_path.iterdir())
