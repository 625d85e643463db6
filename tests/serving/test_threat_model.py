"""The threat model names a test for each line, and those tests are there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs/threat-model.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| attack"))
]
WITHOUT = {"a file that takes over a codec", "a library that reports home"}


def test_every_line_has_its_test() -> None:
    assert len(ROWS) > 25 and all(len(row) == 3 for row in ROWS)
    for attack, defence, tests in ROWS:
        assert defence and ("`test_" in tests or attack in WITHOUT), attack


def test_the_tests_are_there() -> None:
    named = set(re.findall(r"`(test_\w+)::(test_\w+)`", TEXT))
    assert len(named) > 40 and len(named) == len(set(re.findall(r"`(test_[^`]*)`", TEXT)))
    for file, test in sorted(named):
        texts = [path.read_text() for path in (REPOSITORY / "tests").rglob(f"{file}.py")]
        assert any(f"def {test}(" in text for text in texts), f"{file}::{test}"


def test_the_settings_are_there() -> None:
    from serving.settings import PREFIX, Settings

    known = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    assert set(re.findall(r"BONAFIDE_\w+", TEXT)) <= known
