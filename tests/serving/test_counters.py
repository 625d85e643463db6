"""The files of the metrics: whatever happens to them, nothing is lost but what cannot be kept."""

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import prometheus_client.values
import pytest
from prometheus_client.mmap_dict import MmapedDict

from serving.workers import counters
from serving.workers.counters import SIZE, Counters, Values


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    every: list[Values] = []
    monkeypatch.setattr(counters, "_all", every)
    monkeypatch.setattr(prometheus_client.values, "MmapedDict", MmapedDict)
    yield
    for values in every:
        values.close()


@pytest.fixture
def full() -> Iterator[None]:
    """Let writing to any file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def read(path: Path) -> dict[str, float]:
    return {key: value for key, value, *_ in MmapedDict.read_all_values_from_file(str(path))}


def gone() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_file_has_all_of_its_room_at_once(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    values = Values(str(path))
    assert path.stat().st_blocks * 512 >= SIZE
    values.write_value("a", 3.0, 0.0)
    assert values.read_value("a") == (3.0, 0.0) and values.read_value("b") == (0.0, 0.0)
    assert read(path) == {"a": 3.0, "b": 0.0}
    assert [path.name for path in tmp_path.iterdir()] == ["counter_1.db"]


def test_without_room_values_stay_in_memory_until_there_is(tmp_path: Path, full: None) -> None:
    values = Values(str(tmp_path / "counter_1.db"))
    values.write_value("a", 3.0, 0.0)
    assert list(tmp_path.iterdir()) == []
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    Counters(tmp_path).tend()
    assert read(tmp_path / "counter_1.db") == {"a": 3.0}


def test_a_file_that_vanished_is_put_back_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    values = Values(str(folder / "counter_1.db"))
    values.write_value("a", 3.0, 0.0)
    (folder / "counter_1.db").unlink()
    folder.rmdir()
    Counters(folder).tend()
    values.write_value("a", 4.0, 0.0)
    assert read(folder / "counter_1.db") == {"a": 4.0}


def test_a_full_file_leaves_new_metrics_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = Values(str(tmp_path / "counter_1.db"))
    values.write_value("a", 1.0, 0.0)
    for number in range(SIZE // 1000):
        values.write_value(f"{number:01000}", 1.0, 0.0)
    values.write_value("a", 2.0, 0.0)
    assert values.read_value("a") == (2.0, 0.0)
    assert (tmp_path / "counter_1.db").stat().st_size == SIZE
    assert len(read(tmp_path / "counter_1.db")) < SIZE // 1000
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_worker_goes_on_with_the_counters_of_one_that_is_gone(tmp_path: Path) -> None:
    dead, living, own = gone(), os.getppid(), os.getpid()
    for worker in (dead, living):
        Values(str(tmp_path / f"counter_{worker}.db")).write_value("a", 3.0, 0.0)
        Values(str(tmp_path / f"gauge_livesum_{worker}.db")).write_value("b", 3.0, 0.0)
    Counters(tmp_path).begin()
    left = [f"counter_{living}.db", f"counter_{own}.db", f"gauge_livesum_{living}.db"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)
    values = prometheus_client.values.MmapedDict(str(tmp_path / f"counter_{own}.db"))
    assert isinstance(values, Values) and values.read_value("a") == (3.0, 0.0)
