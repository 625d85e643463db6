"""Who is let in: rates, work and changes of the key file."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.http.gate import WORK_S, Gate
from serving.http.keys import BURST_S, MAX_KEYS, Key, add_key, read_keys, revoke_key


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


# --- the gate -------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    add_key(path, "slow", 60)
    add_key(path, "slower", 3)
    add_key(path, "patient", 60, burst=2)
    return path


@pytest.fixture
def slow(keys: Path) -> Key:
    return read_keys(keys)[0]


@pytest.fixture
def gate(keys: Path, tmp_path: Path, clock: Clock) -> Iterator[Gate]:
    with contextlib.closing(Gate(keys, tmp_path / "rates", clock)) as made:
        yield made


def burst(gate: Gate, key: Key) -> int:
    """Count the requests that are let through at once."""
    count = 0
    while not gate.take(key):
        count += 1
    return count


def test_a_key_may_burst_and_then_keeps_its_rate(gate: Gate, slow: Key, clock: Clock) -> None:
    assert burst(gate, slow) == BURST_S  # of one a second
    assert gate.take(slow) == pytest.approx(1.0)
    clock.now += 0.5
    assert gate.take(slow) == pytest.approx(0.5)
    clock.now += 0.51
    assert burst(gate, slow) == 1
    clock.now += 1e6
    assert burst(gate, slow) == BURST_S  # and saves no more than that


def test_a_key_may_have_a_burst_of_its_own(gate: Gate, keys: Path, clock: Clock) -> None:
    patient = read_keys(keys)[2]
    assert burst(gate, patient) == 2
    clock.now += 1e6
    assert burst(gate, patient) == 2


def test_keys_do_not_spend_for_each_other(gate: Gate, slow: Key, keys: Path) -> None:
    slower = read_keys(keys)[1]
    burst(gate, slow)
    assert burst(gate, slower) == 1
    assert gate.take(slower) == pytest.approx(20.0)


def test_work_counts_as_requests(gate: Gate, slow: Key) -> None:
    gate.take(slow)
    gate.charge(slow, 0.9 * WORK_S)  # the request has paid for that
    gate.charge(slow, 4 * WORK_S)
    assert burst(gate, slow) == BURST_S - 1 - 3
    gate.charge(slow, 31 * WORK_S)
    assert gate.take(slow) == pytest.approx(31.0)


def test_workers_share_the_count(
    gate: Gate, slow: Key, keys: Path, tmp_path: Path, clock: Clock
) -> None:
    with contextlib.closing(Gate(keys, tmp_path / "rates", clock)) as other:
        assert [bool(each.take(slow)) for _ in range(6) for each in (gate, other)] == [
            *[False] * int(BURST_S),
            *[True] * 2,
        ]


def test_a_clock_that_went_back_locks_nobody_out(gate: Gate, slow: Key, clock: Clock) -> None:
    burst(gate, slow)
    clock.now = 5.0
    assert burst(gate, slow) == BURST_S


def test_keys_that_came_and_went_leave_room_for_others(gate: Gate) -> None:
    for number in range(MAX_KEYS + 10):
        key = Key(str(number), hashlib.sha256(str(number).encode()).hexdigest(), 60)
        assert burst(gate, key) == BURST_S


def test_only_the_key_itself_is_found(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secret = add_key(path, "ana")
    strangers = ("", secret[:-1], secret + "a", secret.swapcase(), read_keys(path)[0].sha256, "ü")
    with contextlib.closing(Gate(path, tmp_path / "rates")) as gate:
        assert gate.find(secret) == read_keys(path)[0]
        assert [gate.find(stranger) for stranger in strangers] == [None] * len(strangers)


# --- changes --------------------------------------------------------------------------------------


def test_keys_that_are_added_and_revoked_are_followed(gate: Gate, keys: Path) -> None:
    secret = add_key(keys, "late")
    assert gate.find(secret) is None
    gate.follow()
    assert gate.find(secret)
    for name in ("slow", "slower", "patient", "late"):
        revoke_key(keys, name)
    gate.follow()  # the last one too
    assert gate.find(secret) is None


def test_a_change_of_keys_refills_nobody(gate: Gate, keys: Path, slow: Key) -> None:
    burst(gate, slow)
    revoke_key(keys, "slower")
    add_key(keys, "new")
    gate.follow()
    assert gate.take(slow) == pytest.approx(1.0)


SPOILT: dict[str, Callable[[Path], object]] = {
    "damaged": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "open to others": lambda path: path.chmod(0o644),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_file_leaves_the_last_good_keys_and_one_line(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, rates = tmp_path / "keys.json", tmp_path / "rates"
    secret = add_key(path, "ana")
    with contextlib.closing(Gate(path, rates)) as gate:
        SPOILT[name](path)
        for _ in range(3):
            gate.follow()
        assert gate.find(secret)
        with contextlib.closing(Gate(path, rates)) as later:  # a worker that is started again
            assert later.find(secret)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == 2 and all("the keys stay as they were" in line for line in lines)


def test_a_file_that_is_mended_is_read_again(gate: Gate, keys: Path) -> None:
    keys.chmod(0o640)
    secret = "unknown"
    gate.follow()
    keys.chmod(0o600)
    secret = add_key(keys, "late")
    gate.follow()
    assert gate.find(secret)
