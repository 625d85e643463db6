"""The table of `bonafide bench`, and its targets."""

import json

import pytest

from benchmarks.app import App
from benchmarks.bench import TARGETS, is_met
from benchmarks.sounds import encode, speech
from benchmarks.table import lines
from bonafide.bundle import Bundle, read_bundle
from bonafide.errors import ConfigError
from bonafide.home import SHIPPED
from research.protocol import SCORES
from tests.helpers.moments import ALL


def test_the_kept_numbers_are_those_that_have_targets_and_make_a_table() -> None:
    numbers = json.loads((SCORES / "bench.json").read_text())
    assert list(numbers["targets"]) == [name for name, _, _ in TARGETS]
    printed = lines(numbers)
    for name, direction, limit in TARGETS:
        row = numbers["targets"][name]
        assert row["target"] == f"{direction} {limit:g}"
        assert row["met"] is is_met(row["value"], direction, limit)
        status = "met" if row["met"] else "MISSED"
        assert f"{name:<46}{row['value']:.3g}, {row['target']}: {status}" in printed


@pytest.mark.parametrize(
    ("value", "direction", "met"),
    [(1.0, "at least", True), (0.9, "at least", False), (1.0, "at most", True)],
)
def test_a_limit_is_met_when_it_is_reached(value: float, direction: str, met: bool) -> None:
    assert is_met(value, direction, 1.0) is met
    assert not is_met(1.1, "at most", 1.0)


def shipped_with(models: list[str]) -> Bundle:
    """Return the shipped bundle as one that names these base models alone."""
    manifest = read_bundle(SHIPPED).manifest
    views = {name: view for name, view in manifest["views"].items() if name in models}
    return Bundle(SHIPPED, {**manifest, "models": models, "views": views})


MODELS = (["gru", "xgboost"], ["xgboost"], ["gru"])


@pytest.mark.parametrize("models", MODELS if ALL else MODELS[:1])
def test_the_usual_app_has_the_bundle_s_base_models(models: list[str]) -> None:
    assert 0.0 <= App(shipped_with(models)).score(encode(speech(4.0), "wav")) <= 1.0


def test_the_usual_app_of_another_package_s_model_is_not_known() -> None:
    with pytest.raises(ConfigError, match=r"base models linear: .*must be of cnn, rnn") as error:
        App(shipped_with(["linear", "gru"]))
    assert error.value.code == "unknown_model"
