"""What the service is given: bad values end the start, and paths are those of the user's folder."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.sounds import Samples, encode
from bonafide.bundle import read_bundle, write_bundle
from bonafide.home import SHIPPED
from bonafide.process.service import free_port
from tests.conftest import REPOSITORY
from tests.helpers.servers import wait_for

BONAFIDE = (sys.executable, "-m", "bonafide.cli")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if "BONAFIDE_" not in name}
    return {**inherited, "PYTHONPATH": str(REPOSITORY), "BONAFIDE_HOME": str(tmp_path / "home")}


WRONG = {
    "no such bundle": ("--bundle gone", {}, "no_bundle: gone: no bundle's folder"),
    "no bundle in a folder": ("--bundle ./empty", {}, "no_bundle: /.*/empty: no bundle is here"),
    "a file for a bundle": ("--bundle ./file", {}, "no_bundle: /.*/file: no bundle is here"),
    "an altered bundle": ("--bundle ./altered", {}, r"altered: /.*/detector\.onnx: its sha256"),
    "no such bundle in the environment": ("", {"BUNDLE": "gone"}, "no_bundle: gone: no bundle"),
    "no such keys": ("--keys gone.json", {}, "bad_keys: gone.json: no such file"),
    "keys that are none": ("--keys file", {}, "bad_keys: file: mode 0644 lets others read it"),
    "a folder of keys": ("--keys empty", {}, "bad_keys: empty: cannot be read: Is a directory"),
    "no keys": ("--host 0.0.0.0", {}, "keys_required: --host 0.0.0.0 is reached by other"),
    "an unknown endpoint": ("", {"ENDPOINTS": "gone"}, "bad_endpoint: "),
    "a bad number": ("", {"WORKERS": "many"}, "bad_setting: BONAFIDE_WORKERS='many'"),
    "a host that is none": ("--host gone --anonymous", {}, "bad_host: --host gone: must be an IP"),
    "another's address": ("--host 192.0.2.1 --anonymous", {}, "port_taken: --host 192.0.2.1"),
    "no temporary folder": (
        "",
        {"TMPDIR": "gone"},
        "bad_tmpdir: TMPDIR=/.*/gone: must be a folder",
    ),
    "a file to put files in": ("", {"TMPDIR": "file"}, "bad_tmpdir: TMPDIR=/.*/file: must be a "),
}


@pytest.mark.parametrize("case", WRONG)
def test_ends_with_one_line(case: str, tmp_path: Path, environment: dict[str, str]) -> None:
    words, settings, said = WRONG[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{}")
    shutil.copytree(SHIPPED, tmp_path / "altered")
    (tmp_path / "altered" / "detector.onnx").write_bytes(b"no graph")
    given = {name if name == "TMPDIR" else f"BONAFIDE_{name}": v for name, v in settings.items()}
    done = subprocess.run(
        [*BONAFIDE, "serve", "--port", str(free_port()), *words.split()],
        cwd=tmp_path,
        env=environment | given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.match(f"bonafide: {said}", line), line


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Put `bonafide` on a PATH."""
    path = tmp_path / "bin" / "bonafide"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bonafide.cli "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def here() -> Iterator[Path]:
    """A folder to work in, whose path is short: sockets will lie in it."""
    with tempfile.TemporaryDirectory(prefix="bf") as name:
        yield Path(name)


def test_the_readme_s_line_word_for_word_with_relative_paths(
    here: Path, tmp_path: Path, environment: dict[str, str], command: Path, voice: Samples
) -> None:
    """Keys, bundle, home and temporary folder are all named from the folder of whoever types."""
    (line,) = [
        text for text in (REPOSITORY / "README.md").read_text().splitlines() if "keys add" in text
    ]
    port = free_port()
    shutil.copytree(SHIPPED, here / "mine")
    (here / "t").mkdir()
    named = write_bundle(here / "mine", {**read_bundle(SHIPPED).manifest, "name": "relative"})
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"{{ {line} --workers 1 --port {port}; }} > said"],
            cwd=here,
            env={
                **environment,
                "PATH": f"{command.parent}:{os.environ['PATH']}",
                "BONAFIDE_HOME": "home",
                "BONAFIDE_BUNDLE": "mine",
                "TMPDIR": "t",
            },
            stderr=log,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                return httpx.get(f"{address}/readyz", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        wait_for(ready, "ready", limit_s=90)
        key, said = (here / "said").read_text().splitlines()[:2]
        version = named.identity["version"]
        assert (
            said == f"bonafide: bundle relative version {version}, 1 worker, http://0.0.0.0:{port}"
        )
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            files = {"audio": encode(voice, "wav")}
            assert client.post("/v1/detect", files=files).status_code == 401
            client.headers["Authorization"] = f"Bearer {key}"
            answer = client.post("/v1/detect", files=files)
        assert answer.json()["bundle"] == named.identity
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # the shell's group, which is its own
        process.wait(30)
    wait_for(lambda: list((here / "t").iterdir()) == [], "the run folder is gone")
    assert sorted(path.name for path in here.iterdir()) == [
        "keys.json",
        "mine",
        "said",
        "t",
    ]
