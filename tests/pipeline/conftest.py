"""Homes to try things in, each a folder of its own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.homes import Home, demo_home


@pytest.fixture
def fresh_home(tmp_path: Path) -> Callable[[str], Home]:
    def make(name: str) -> Home:
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        return demo_home(tmp_path / name)

    return make
