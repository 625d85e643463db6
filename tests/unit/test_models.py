"""The registry of base models: what it knows, and what asking it costs."""

import subprocess
import sys

import pytest

from bonafide.errors import ConfigError
from bonafide.models import BUILT_IN, MODELS, family
from bonafide.models.base import BaseModel
from bonafide.models.config import view_of
from bonafide.training.config import Config, parse_config


def test_the_five_are_the_default_and_in_this_order() -> None:
    assert MODELS.names() == tuple(BUILT_IN) == ("cnn", "rnn", "bilstm", "gru", "xgboost")
    assert tuple(Config().models) == MODELS.names()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_family_says_what_it_is(name: str) -> None:
    chosen = family(name)
    assert issubclass(chosen, BaseModel)
    assert chosen.name == name and chosen.label.lower() == name
    assert chosen.suffix.startswith(".")
    assert MODELS.module_of(name) == f"bonafide.models.{name}"
    assert type(Config().models[name]) is chosen.Config


def test_what_no_package_has_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"'tcn': must be one of cnn, rnn, .*xgboost$") as error:
        family("tcn")
    assert error.value.code == "unknown_model"


def test_a_configuration_names_what_is_trained_in_its_order() -> None:
    config = parse_config({"models": {"xgboost": {"trees": 5}, "cnn": None}}, "x")
    assert list(config.models) == ["xgboost", "cnn"]
    assert config.models["cnn"] == family("cnn").Config()
    assert [view_of(model) for model in config.models.values()] == ["", "lfcc_high"]
    assert parse_config(config.model_dump(mode="json"), "x") == config


def test_looking_up_and_configuring_imports_no_training_library() -> None:
    script = (
        "import sys; from bonafide.training.config import Config; Config()\n"
        "heavy = {'tensorflow', 'keras', 'xgboost', 'sklearn', 'onnx', 'onnxmltools', 'librosa'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
