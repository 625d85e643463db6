"""What is wrong at the start ends the start: one line says what was seen and what is needed."""

import os
import re
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import read_bundle, write_bundle
from bonafide.home import SHIPPED
from bonafide.process.service import SERVE, free_port
from bonafide.registry import keep, promote
from tests.helpers.servers import server

SOUND = encode(speech(5.0), "flac")
OK = 'bonafide_requests_total{code="ok",endpoint="detect",status="200"}'
LIMITS = {
    "open files": ("NOFILE", 200, "RLIMIT_NOFILE is 200; the service needs 320 open files"),
    "address space": (
        "AS",
        1 << 30,
        r"RLIMIT_AS is 1073741824; the service needs 4000000000 bytes",
    ),
    "too little to load numpy": ("AS", 150_000_000, "RLIMIT_AS is 150000000; the service needs"),
    "data": ("DATA", 100_000_000, "RLIMIT_DATA is 100000000; the service needs 500000000 bytes"),
    "processes": ("NPROC", 10, r"RLIMIT_NPROC is 10; the service needs \d+ processes"),
    "file size": ("FSIZE", 1000, "RLIMIT_FSIZE is 1000; the service needs 50000000 bytes"),
}
NOTHING: Mapping[str, str] = MappingProxyType({})


@pytest.fixture
def temp() -> Iterator[Path]:
    """A folder for temporary files, whose path is short."""
    with tempfile.TemporaryDirectory(prefix="bf") as name:
        yield Path(name)
        assert list(Path(name).iterdir()) == []  # a start that fails leaves nothing


def failed_start(
    home: Path, temp: Path, environment: Mapping[str, str] = NOTHING, **more: object
) -> str:
    """Start the service, which must fail; return its one line."""
    given = {**os.environ, "BONAFIDE_HOME": str(home), "TMPDIR": str(temp), **environment}
    port = str(more.pop("port", free_port()))
    done = subprocess.run(
        [*SERVE, "--port", port], env=given, capture_output=True, text=True, timeout=60, **more
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("bonafide: "), done.stderr
    return line.removeprefix("bonafide: ")


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_too_low_is_named(tmp_path: Path, temp: Path, name: str) -> None:
    word, value, said = LIMITS[name]
    limit = getattr(resource, f"RLIMIT_{word}")
    lower = partial(resource.setrlimit, limit, (value, value))
    line = failed_start(tmp_path, temp, preexec_fn=lower)
    assert re.match(f"bad_limit: {said}", line), line


def test_a_soft_limit_is_raised(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = ("prlimit", "--nofile=200:", *SERVE)
    with server(tmp_path, workers=1, command=command) as running:
        (worker,) = running.workers()
        assert worker.rlimit(resource.RLIMIT_NOFILE) == (320, hard)
        assert running.detect(SOUND).status_code == 200


def test_a_scorer_that_cannot_start_says_why(tmp_path: Path, temp: Path) -> None:
    line = failed_start(tmp_path, temp, {"BONAFIDE_SCORER_MB": "100"})
    assert line.startswith("confined_failed: serving.workers.scorer does not start: "), line
    assert line.endswith("its address space is BONAFIDE_SCORER_MB=100")


def test_a_promoted_bundle_that_is_no_graph_is_named(tmp_path: Path, temp: Path) -> None:
    kept = keep(tmp_path, read_bundle(SHIPPED), {}, "a variant\n")
    (kept.folder / "detector.onnx").write_bytes(b"not a graph")
    promote(tmp_path, kept, override="a test")
    assert failed_start(tmp_path, temp).startswith(f"altered: {kept.folder}/detector.onnx")
    write_bundle(kept.folder, kept.manifest)  # which hashes what is there
    assert failed_start(tmp_path, temp).startswith(f"altered: {kept.folder}: its content hash")
    promote(tmp_path, read_bundle(kept.folder), override="a test")
    assert failed_start(tmp_path, temp).startswith("confined_failed: serving.workers.scorer")


def test_no_other_folder_takes_the_place_of_a_missing_tmpdir(tmp_path: Path, temp: Path) -> None:
    line = failed_start(tmp_path, temp / "missing")
    assert line == f"bad_tmpdir: TMPDIR={temp}/missing: must be a folder that is there"
    line = failed_start(tmp_path, Path("/proc"))
    assert line.startswith("bad_tmpdir: TMPDIR=/proc: "), line
    (temp / ("long" * 30)).mkdir()
    line = failed_start(tmp_path, temp / ("long" * 30))
    assert "leave no room for a socket's name" in line
    (temp / ("long" * 30)).rmdir()


def test_a_busy_port_is_named_and_its_server_not_touched(tmp_path: Path, temp: Path) -> None:
    with server(tmp_path, workers=1) as running:
        assert running.detect(SOUND).status_code == 200
        before = sorted(running.temp.rglob("*"))
        for folder in (temp, running.temp):
            line = failed_start(tmp_path, folder, port=running.port)
            taken = f"port_taken: --host 127.0.0.1 --port {running.port}: cannot be listened on"
            assert line.startswith(taken), line
        assert running.metric(OK) == 1
        assert sorted(running.temp.rglob("*")) == before


@pytest.mark.parametrize("home", ["/proc"])  # nothing can be written there, not even by root
def test_a_home_that_cannot_be_written_is_served_from(home: str) -> None:
    with server(Path(home), workers=1) as running:
        assert running.detect(SOUND).status_code == 200
        assert running.get("/metrics").status_code == 200


def test_a_start_that_is_stopped_leaves_nothing(tmp_path: Path, temp: Path) -> None:
    environment = {**os.environ, "BONAFIDE_HOME": str(tmp_path), "TMPDIR": str(temp)}
    command = [*SERVE, "--port", str(free_port()), "--workers", "1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"bonafide: bundle")
        while not list(temp.iterdir()):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
