"""The registry of base models: what it knows, and what asking it costs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonafide.bundle import Bundle
from bonafide.errors import BonafideError, ConfigError
from bonafide.evaluation.evaluate import DECISION
from bonafide.export.models import _scores_of
from bonafide.features.graph import GraphBuilder
from bonafide.models import BUILT_IN, MODELS, TAKEN, family, family_of
from bonafide.models.base import BaseModel
from bonafide.models.config import heard_by, view_of
from bonafide.training.config import Config, default_models, parse_config
from bonafide.training.fitting import _checked

FIVE = ("cnn", "rnn", "bilstm", "gru", "xgboost")


def test_the_five_and_the_robust_one_are_the_default_and_in_this_order() -> None:
    assert MODELS.names() == tuple(BUILT_IN) == (*FIVE, "dense")
    assert tuple(Config().models) == (*FIVE, "robust")
    assert tuple(default_models(encoder=True)) == (*FIVE, "robust", "speech")
    by_family = {name: family_of(name, model).name for name, model in Config().models.items()}
    assert by_family == {**dict(zip(FIVE, FIVE, strict=True)), "robust": "dense"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_family_says_what_it_is(name: str) -> None:
    chosen = family(name)
    assert issubclass(chosen, BaseModel)
    assert chosen.name == name and chosen.label.lower().removesuffix(" network") == name
    assert chosen.suffix.startswith(".")
    assert MODELS.module_of(name) == f"bonafide.models.{name}"
    assert type(Config().models["robust" if name == "dense" else name]) is chosen.Config


def test_what_no_package_has_is_refused_with_what_there_is() -> None:
    with pytest.raises(
        ConfigError, match=r"'tcn': must be one of cnn, rnn, .*xgboost, dense$"
    ) as error:
        family("tcn")
    assert error.value.code == "unknown_model"


def test_a_configuration_names_what_is_trained_in_its_order() -> None:
    config = parse_config({"models": {"xgboost": {"trees": 5}, "cnn": None}}, "x")
    assert list(config.models) == ["xgboost", "cnn"]
    assert config.models["cnn"] == family("cnn").Config()
    assert [view_of(model) for model in config.models.values()] == ["", "lfcc_high"]
    assert parse_config(config.model_dump(mode="json"), "x") == config


@pytest.mark.parametrize("section", [False, 0, "", []])
def test_a_section_that_says_nothing_is_no_default(section: Any) -> None:
    """`cnn: false` must not train a CNN."""
    with pytest.raises(ConfigError, match=r"models\.cnn: ") as error:
        parse_config({"models": {"cnn": section, "xgboost": None}}, "x")
    assert error.value.code == "bad_config"


def test_looking_up_and_configuring_imports_no_training_library() -> None:
    script = (
        "import sys; from bonafide.training.config import Config; Config()\n"
        "heavy = {'tensorflow', 'keras', 'xgboost', 'sklearn', 'onnx', 'onnxmltools', 'librosa'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def plugged(name: str, kind: type) -> type:
    """Register a class under a name, as another package does by an entry point."""
    kind.name = name  # type: ignore[attr-defined]
    return MODELS.register(kind)


@pytest.fixture
def forget() -> Iterator[list[str]]:
    """Collect names to be unregistered."""
    names: list[str] = []
    yield names
    for name in names:
        MODELS.unregister(name)


@pytest.mark.parametrize("name", [*TAKEN, "../x", "with space", "", "1st", "a" * 42, "é"])
def test_names_that_files_cannot_be_called_after(name: str, forget: list[str]) -> None:
    forget.append(name)
    plugged(name, type("Plug", (BaseModel,), {}))
    with pytest.raises(ConfigError, match="its name must be letters, digits") as error:
        family(name)
    assert error.value.code == "bad_plugin"


@pytest.mark.parametrize("name", ["logistic", "models", "statistics", "a-dash", "Capital_2"])
def test_names_that_stand_in_nobodys_way(name: str, forget: list[str]) -> None:
    forget.append(name)
    assert family(plugged(name, type("Plug", (BaseModel,), {})).name).name == name


def test_every_other_graph_of_a_bundle_is_taken() -> None:
    stages = [{"prefix": prefix} for prefix in ("fast_", "")]
    entries = {"models": [], "channels": [{"name": "clean"}], "stages": stages, "adaptation": {}}
    entries |= {"choice": "", "calibration": {}}
    parts = Bundle(Path(), {**entries, "feature_spec": {"encoder": {}}}).parts
    assert {*parts, "detector", DECISION} == set(TAKEN)


@pytest.mark.parametrize("name", [*TAKEN, "../x", "with space", "", "1st", "a" * 42, "é"])
def test_base_models_cannot_be_called_so_either(name: str) -> None:
    with pytest.raises(ConfigError, match=r"a name must be letters, digits.*detector, ") as error:
        parse_config({"models": {name: {"family": "dense"}, "cnn": None}}, "x")
    assert error.value.code == "bad_config"


def test_several_base_models_of_a_family_have_names_and_labels_of_their_own() -> None:
    sections = {
        "one": {"family": "dense", "label": "One"},
        "other": {"family": "dense", "hears": ["narrow", "statistics"], "statistics_width": 8},
        "gru": None,
    }
    config = parse_config({"models": sections}, "x")
    assert list(config.models) == ["one", "other", "gru"]
    assert config.models["one"].label == "One"
    assert [heard_by(model) for model in config.models.values()] == [
        ("statistics",),
        ("narrow", "statistics"),
        ("statistics",),
    ]
    assert config.stages == (("one", "other", "gru"),)
    assert parse_config(config.model_dump(mode="json"), "x") == config


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"mine": {"statistics_width": 8}}, "base model 'mine': must be one of cnn, "),
        ({"mine": {"family": "tcn"}}, "base model 'tcn': must be one of cnn, "),
        (
            {"mine": {"family": "dense", "hears": ["narrow", "narrow"]}},
            r"models\.mine\.hears: must be some of statistics, narrow, encoder, each once",
        ),
        ({"mine": {"family": "dense", "hears": ["words"]}}, "must be some of statistics, narrow"),
        ({"mine": {"family": "dense", "hears": []}}, r"models\.mine\.hears: "),
        (
            {"cnn": None, "mine": {"family": "dense", "hears": ["encoder"]}},
            r"models\.mine\.hears names encoder: .*an encoder is named by features\.encoder",
        ),
    ],
)
def test_base_models_that_cannot_be(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        parse_config({"models": sections}, "x")
    assert error.value.code == "bad_config"


def test_a_family_is_a_base_model(forget: list[str]) -> None:
    forget.append("other")
    plugged("other", type("Other", (), {}))
    with pytest.raises(ConfigError, match="must be a BaseModel") as error:
        family("other")
    assert error.value.code == "bad_plugin"


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([[0.1], [0.2]], r"shape \(2, 1\); must be \(2,\)"),
        ([0.1], r"shape \(1,\); must be \(2,\)"),
        ([0.1, np.nan], "values of nan to nan; .* between 0 and 1"),
        ([0.1, np.inf], "values of 0.1 to inf"),
        ([-0.5, 1.0], "values of -0.5 to 1"),
        ([0.5, 1.5], "values of 0.5 to 1.5"),
    ],
)
def test_scores_that_a_base_model_may_not_give(scores: list[Any], said: str) -> None:
    with pytest.raises(BonafideError, match=f"base model odd: {said}") as error:
        _checked("odd", np.array(scores), 2)
    assert error.value.code == "bad_scores"


def test_scores_that_it_may_give() -> None:
    for scores in (np.zeros(0, np.float32), np.array([0.0, 0.5, 1.0])):
        assert _checked("odd", scores, len(scores)) is scores


@pytest.mark.parametrize(
    ("output", "shape", "batch", "said"),
    [
        ("other", [-1], "batch", r"returns {'other': \(3,\)}; must be p_spoof alone, \(3,\)"),
        ("p_spoof", [-1, 1], "batch", r"returns {'p_spoof': \(3, 1\)}"),
        ("p_spoof", [-1], 1, "cannot be run: .*statistics"),
    ],
)
def test_graphs_that_a_base_model_may_not_give(
    output: str, shape: list[int], batch: Any, said: str
) -> None:
    graph = GraphBuilder("odd")
    statistics = graph.input("statistics", [batch, 1])
    reshaped = graph.add("Reshape", statistics, graph.integers(shape))
    graph.output(output, reshaped, [None] * len(shape))
    inputs = {"statistics": np.zeros((3, 1), np.float32)}
    with pytest.raises(BonafideError, match=rf"(?s)odd\.onnx {said}") as error:
        _scores_of("odd", graph.model().SerializeToString(), inputs)
    assert error.value.code == "bad_export"
