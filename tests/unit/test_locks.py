"""The lock files: whole on each platform and each release of Python that they are made for."""

import re
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.conftest import REPOSITORY

LOCKS = ("requirements.lock", "requirements-serving.lock")
PLATFORMS = {
    "Linux on x86": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Linux on ARM": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "macOS on ARM": {"sys_platform": "darwin", "platform_machine": "arm64"},
}
RELEASES = ("3.11", "3.12", "3.13")
# Built for GPUs and without: one of them, never both, which would overwrite each other's files.
TWINS = (("tensorflow", "tensorflow-cpu"), ("xgboost", "xgboost-cpu"))


def requirements(lock: str) -> Iterator[Requirement]:
    for line in (REPOSITORY / lock).read_text().splitlines():
        if not line.startswith(" "):
            yield Requirement(line.removesuffix(" \\"))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_versions_and_hashes_and_no_address(lock: str) -> None:
    text = (REPOSITORY / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all(
        re.match(r"[\w.-]+(\[.+\])?==\S+ .*\n    --hash=sha256:", entry) for entry in entries
    )
    assert "/" not in text
    assert "\n--" not in text


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_gets_one_of_each_package(platform: str, release: str) -> None:
    here = {
        **PLATFORMS[platform],
        "python_version": release,
        "python_full_version": f"{release}.5",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    for lock in LOCKS:
        found = [
            each for each in requirements(lock) if not each.marker or each.marker.evaluate(here)
        ]
        names = [each.name for each in found]
        assert len(names) == len(set(names))
        if lock == LOCKS[0]:
            assert all(len({*names} & {*twins}) == 1 for twins in TWINS)


def test_the_serving_lock_is_a_part_of_the_whole() -> None:
    """The same versions; the whole may have more extras of a package."""
    whole, serving = (
        {(each.name, str(each.specifier), str(each.marker)) for each in requirements(lock)}
        for lock in LOCKS
    )
    assert serving <= whole


def test_the_package_takes_the_releases_that_are_locked() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    assert [minor for minor in range(9, 20) if f"3.{minor}.1" in allowed] == [11, 12, 13]
