"""What the demo says to type next works as it is printed, from the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bonafide.bundle import read_bundle, write_bundle
from bonafide.home import SHIPPED
from bonafide.process.service import free_port
from bonafide.registry import keep, promote
from bonafide.simulation.corpus import simulate
from tests.conftest import REPOSITORY
from tests.helpers.servers import wait_for


def printed(folder: Path) -> list[str]:
    make = ["make", "--no-print-directory", "--file", str(REPOSITORY / "Makefile"), "next"]
    done = subprocess.run(make, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]


LINES = printed(REPOSITORY)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a folder as the demo leaves it."""
    folder = tmp_path_factory.mktemp("a checkout")
    command = folder / ".venv" / "bin" / "bonafide"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bonafide.cli "$@"\n')
    command.chmod(0o755)
    simulate(folder / ".bonafide" / "simulated", clips=48, speakers=6)
    shutil.copytree(SHIPPED, folder / "candidate")
    candidate = write_bundle(
        folder / "candidate", {**read_bundle(SHIPPED).manifest, "name": "demo"}
    )
    promote(
        folder / ".bonafide", keep(folder / ".bonafide", candidate, {}, "a card"), override="a test"
    )
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if "BONAFIDE_" not in name}
    return {**inherited, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}


def test_the_demo_prints_them_last() -> None:
    make = ["make", "--no-print-directory", "--dry-run", "demo"]
    dry = subprocess.run(make, cwd=REPOSITORY, capture_output=True, text=True).stdout
    assert dry.splitlines()[-1] == 'echo "$NEXT"'


@pytest.mark.parametrize(
    "line", [line for line in LINES if "serve" not in line and "app" not in line]
)
def test_what_ends(line: str, checkout: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", line], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if "models list" in line:
        listed = [line.split()[:3] for line in done.stdout.splitlines()]
        assert ["demo", "1", "production"] in listed


@pytest.mark.parametrize("line", [line for line in LINES if "serve" in line or "app" in line])
def test_what_runs_until_it_is_stopped(
    line: str, checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    port, path = free_port(), "/readyz" if "serve" in line else "/_stcore/health"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"{line} --port {port}"],  # which the shell becomes
            cwd=checkout,
            env=environment,
            stdout=log,
            stderr=log,
        )

        def ready() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                url = f"http://127.0.0.1:{port}{path}"
                return httpx.get(url, trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_for(ready, "ready", limit_s=120)
        finally:
            process.terminate()
            process.wait(60)
    if "serve" in line:
        assert "bundle demo version 1" in (tmp_path / "log").read_text()
