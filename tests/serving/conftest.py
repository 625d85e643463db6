"""One service for all tests that only ask; those that disturb one start their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.sounds import Samples, speech
from bonafide.detector import Detector
from bonafide.registry import find_bundle
from tests.helpers.servers import Server, private_home, server

LIMITS = {"max_body_mb": 4, "max_duration_s": 20, "max_rate_hz": 48_000, "max_channels": 2}


@pytest.fixture(scope="session")
def service(bundle_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = private_home(bundle_home, tmp_path_factory.mktemp("home"))
    with server(home, workers=1, **LIMITS) as running:
        yield running


@pytest.fixture(scope="session")
def detector(bundle_home: Path) -> Detector:
    return Detector(find_bundle(bundle_home))


@pytest.fixture(scope="session")
def voice() -> Samples:
    return speech(5.0)
