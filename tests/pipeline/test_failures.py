"""What a run says when a step fails: inside its code, before it, beside another, outside all."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.anew import extract_anew, extracted_anew
from tests.conftest import REPOSITORY
from tests.helpers.homes import Home

LOCKED = "OperationalError: database is locked"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("failing") / "home")


@pytest.fixture(scope="module")
def told(home: Home) -> dict[str, list[str]]:
    """All cases in one process, for ZenML takes seconds to start: code, message and cause."""
    said = home.folder.with_suffix(".json")
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.failing", str(said)],
        cwd=REPOSITORY,
        env={**home.environment, "ZENML_ANALYTICS_OPT_IN": "false"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(said.read_text()))


@pytest.mark.parametrize(
    ("case", "step", "cause"),
    [
        ("inside", "step train_gru", "KeyError: 'lost'"),
        ("inside, one by one", "step train_gru", "KeyError: 'lost'"),
        ("before", "step train_gru", LOCKED),
        ("before, one by one", "step train_gru", LOCKED),
        ("before, awaited", "step first", LOCKED),
        ("prepared", "step train_gru", LOCKED),
        ("outside", "the run, outside its steps,", "ArithmeticError: two lines,"),
    ],
)
def test_the_step_and_its_innermost_cause(
    case: str, step: str, cause: str, told: dict[str, list[str]], home: Home
) -> None:
    code, message, raised_from = told[case]
    said = re.fullmatch(r"(.*) failed: (.*); the traceback is in (\S+)", message)
    assert said, message
    assert (code, said[1], said[2]) == ("step_failed", step, cause)
    assert raised_from == cause.partition(":")[0]
    log = Path(said[3])
    assert log.parent == home.folder / "logs"
    text = log.read_text()
    assert "Traceback (most recent call last)" in text and cause in text


def test_what_a_step_says_itself_stays_as_it_is(told: dict[str, list[str]]) -> None:
    assert told["ours"] == ["own_code", "own words", "NoneType"]


@pytest.mark.parametrize(
    ("case", "code", "message"),
    [
        ("full", "disk_full", "features/lfcc.npy: No space left on device; make room, or choose"),
        ("store full", "disk_full", "home: ZenML's store: database or disk is full; make room"),
        ("closed", "unwritable", "home: denied; it must be a place to write to"),
    ],
)
def test_a_disk_that_takes_nothing(
    case: str, code: str, message: str, told: dict[str, list[str]]
) -> None:
    assert told[case][0] == code
    assert told[case][1].startswith(message)


def test_a_locked_database_is_waited_for(told: dict[str, list[int]]) -> None:
    assert told["patience"] == [300_000]  # ms; ZenML's own are 60 s, and then the step fails


def test_a_run_that_goes_well(told: dict[str, list[str]]) -> None:
    assert told["well"] == []


def test_damaged_features_are_extracted_anew_once(told: dict[str, list[str]], home: Home) -> None:
    """The step that extracts has another parameter then, so ZenML does not skip it."""
    assert told["damaged"] == []
    assert told["damaged for good"][0] == "damaged_features"
    before = extracted_anew(home.folder)
    extract_anew(home.folder)
    assert "" != before != extracted_anew(home.folder)
