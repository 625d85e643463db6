"""First runs on a fresh home, at one time: none fails because another came first."""

import subprocess
import sys
from collections.abc import Callable

from tests.conftest import REPOSITORY
from tests.helpers.homes import LIMIT_S, Home

# What a run does first; everything after it, ZenML does as often as it likes.
FIRST = """
from bonafide.cli.orchestrator import prepare_zenml
prepare_zenml()
from pipelines.store import prepare_store
prepare_store()
from zenml.client import Client
print(Client().active_stack.name)
"""


def test_stores_that_are_opened_at_once(fresh_home: Callable[[str], Home]) -> None:
    home = fresh_home("home")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST],
            cwd=REPOSITORY,
            env=home.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=LIMIT_S) for process in processes]
    assert [out for out, _ in said] == ["default\n"] * 3, [err[-2000:] for _, err in said]
