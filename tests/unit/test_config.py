"""The configuration: what earlier versions wrote is read, and stages follow from what is heard."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bonafide.bundle import require_names
from bonafide.errors import ConfigError
from bonafide.features.encoder import read_encoder
from bonafide.models.config import FitConfig
from bonafide.training.config import (
    COUNTED,
    AugmentationConfig,
    Config,
    default_channels,
    default_models,
    parse_config,
    read_config,
)
from tests.helpers.encoders import tiny_encoder

FIRST = ("cnn", "rnn", "bilstm", "gru", "xgboost", "robust")


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of an encoder, and make a home for it."""
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    tiny_encoder(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


class TestAugmentation:
    def test_stretches_are_the_recordings_and_their_copies_by_channel(self) -> None:
        config = AugmentationConfig(channels={"opus": 2, "noise": 0, "clean": 1})
        assert config.stretches == ("clean", "opus", "opus", "clean")
        assert config.count == 3
        assert AugmentationConfig().count == sum(default_channels().values())

    @pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
    def test_a_number_alone_is_spread_over_the_channels(self, count: int) -> None:
        config = parse_config({"augmentation": {"count": count}}, "x").augmentation
        assert config.count == count
        names = [COUNTED[number % len(COUNTED)] for number in range(count)]
        assert {name: n for name, n in config.channels.items() if n} == {
            name: names.count(name) for name in names
        }
        assert set(COUNTED) == set(default_channels())

    def test_it_was_once_called_copies(self) -> None:
        for values in ({"count": 2}, {"channels": {"opus": 2}}):
            old = parse_config({"copies": values}, "x")
            assert old == parse_config({"augmentation": values}, "x")
        both = {"copies": {"count": 1}, "augmentation": {"count": 1}}
        with pytest.raises(ConfigError, match="copies: is no setting"):
            parse_config(both, "x")

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"channels": {"radio": 1}}, "names radio: must be clean, telephone, noise"),
            ({"channels": {"opus": -1}}, r"channels\.opus: .*greater than or equal to 0"),
            ({"channels": {"opus": 17}}, r"channels\.opus: .*less than or equal to 16"),
            ({"count": "many"}, "count='many': must be 0 or more, and stand alone"),
            ({"count": -3}, "count=-3: must be 0 or more"),
            ({"count": True}, "count=True: must be 0 or more"),
            ({"count": 3, "channels": {"clean": 1}}, "count=3: must be 0 or more, and stand alone"),
            ({"shares": {"noise": 1}}, r"augmentation\.shares: is no setting"),
        ],
    )
    def test_what_cannot_be(self, values: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError, match=said) as error:
            parse_config({"augmentation": values}, "x")
        assert error.value.code == "bad_config"

    def test_it_is_what_it_was_when_it_is_read(self) -> None:
        config = AugmentationConfig(channels={"opus": 2, "clean": 1})
        assert AugmentationConfig.model_validate_json(config.model_dump_json()) == config

    def test_old_names_of_a_fit_are_read(self) -> None:
        old = {"copy_weight": 0.3, "emphasis": {"mfcc": {"mean": 2.0}}}
        new = {"augmentation_weight": 0.3, "feature_weights": {"mfcc": {"mean": 2.0}}}
        assert parse_config({"fit": old}, "x") == parse_config({"fit": new}, "x")


class TestStages:
    def test_without_an_encoder_there_is_one(self) -> None:
        assert Config().stages == (FIRST,)

    def test_the_second_has_what_hears_the_encoder(self, encoder: Path) -> None:
        config = parse_config({"features": {"encoder": str(encoder)}}, "x")
        assert config.stages == (FIRST, (*FIRST, "speech"))
        assert config.models == default_models(encoder=True)
        assert config.spec.encoder == read_encoder(encoder)
        assert parse_config(config.model_dump(mode="json"), "x") == config

    def test_a_file_is_kept_and_found_by_its_hash(self, encoder: Path) -> None:
        one = parse_config({"features": {"encoder": str(encoder)}}, "x")
        encoder.unlink()
        assert one.spec.encoder is not None
        again = parse_config({"features": {"encoder": one.spec.encoder.sha256}}, "x")
        assert again == one

    def test_order_of_the_sections_does_not_mix_stages(self, encoder: Path) -> None:
        models = {
            "words": {"family": "dense", "hears": ["encoder"]},
            "gru": None,
            "both": {"family": "dense", "hears": ["statistics", "encoder"]},
        }
        values = {"features": {"encoder": str(encoder)}, "models": models}
        assert parse_config(values, "x").stages == (("gru",), ("gru", "words", "both"))

    def test_the_first_may_not_be_empty(self, encoder: Path) -> None:
        models = {"words": {"family": "dense", "hears": ["encoder"]}}
        values = {"features": {"encoder": str(encoder)}, "models": models}
        with pytest.raises(ConfigError, match="at least one must not hear the encoder"):
            parse_config(values, "x")

    def test_an_encoder_that_is_not_there(self, encoder: Path) -> None:
        missing = str(encoder.with_name("missing.onnx"))
        with pytest.raises(ConfigError, match=r"features: .*missing\.onnx: cannot be read"):
            parse_config({"features": {"encoder": missing}}, "x")


def test_default_experts_differ_in_what_they_learn_from() -> None:
    config = Config()
    weights = {
        name: (fit.crop_weight, fit.augmentation_weight)
        for name, model in config.models.items()
        for fit in [config.fit.of(model)]
    }
    common = (FitConfig().crop_weight, 0.0)  # experts for clean sound hear no other
    wanted = dict.fromkeys(("cnn", "rnn", "bilstm", "gru"), common)
    assert weights == {**wanted, "xgboost": (0.0, 0.0), "robust": (common[0], 0.5)}


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]


class TestFolds:
    def test_a_file_lies_beside_the_configuration(self, tmp_path: Path) -> None:
        text = "source,fold,note\na,0,x\nb,1,\nc,2,\nd,-1,\n"
        (tmp_path / "folds.csv").write_text(text, encoding="utf-8-sig")  # as Excel writes it
        path = tmp_path / "config.yaml"
        path.write_text("folds: {count: 3, of: folds.csv}")
        config = read_config(path)
        assert config.folds.of == {"a": 0, "b": 1, "c": 2, "d": -1}
        assert parse_config(config.model_dump(mode="json"), "x") == config

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("source,fold\na,0\nb,1\n", r"of names folds \[0, 1\]: must be 0 to 2"),
            ("source,fold\na,0\nb,1\nc,3\n", r"must be 0 to 2, as count says"),
            ("source,fold\na,one\n", "folds.of.a: Input should be a valid integer"),
            ("source,fold\na,0\nb,1\na,2\n", "folds.csv names a more than once"),
            ("", "folds.csv names no source"),
            ("source,fold\n", "folds.csv names no source"),
            ("speaker,fold\na,0\n", "folds.of: no CSV file with the columns source and fold"),
            (None, "folds.of: no CSV file with the columns source and fold"),
        ],
    )
    def test_wrong_files_are_named(self, tmp_path: Path, content: str | None, problem: str) -> None:
        if content is not None:
            (tmp_path / "folds.csv").write_text(content)
        path = tmp_path / "config.yaml"
        path.write_text("folds: {count: 3, of: folds.csv}")
        with pytest.raises(ConfigError, match=problem):
            read_config(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"cascade": {"spared": ["nope"]}},
            r"cascade\.spared: names nope: must be clean, telephone",
        ),
        ({"models": {"robust": {"family": ["dense"]}}}, r"models\.robust\.family=\['dense'\]"),
        ({"models": {"Gru": None, "gru": None}}, "gru: names must differ by more than case"),
        ({"fit": {"crop_weight": float("inf")}}, r"fit\.crop_weight: .*finite"),
        ({"features": {"encoder": 5}}, "encoder=5: must be shipped, a sha256 or a file"),
        ({"features": {"encoder": {"sha256": 3, "outputs": {"a": "b"}}}}, "must be shipped"),
        ({"features": {"encoder": {"sha256": "x", "outputs": {"a": -3}}}}, "must be shipped"),
        ({"features": {"encoder": 300 * "a"}}, "cannot be read: File name too long"),
    ],
)
def test_wrong_values_are_one_clear_error(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        parse_config(values, "x")
    assert error.value.code == "bad_config"


def test_an_encoder_in_a_file_is_tried_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    path, tried = tmp_path / "tiny.onnx", []
    tiny_encoder(path)

    def refuse(*given: Any) -> None:
        tried.append(given)
        raise ConfigError("bad_encoder", "it moves beside a loud window")

    monkeypatch.setattr("bonafide.features.encoder_trial.try_encoder", refuse)
    with pytest.raises(ConfigError, match="it moves beside a loud window"):
        parse_config({"features": {"encoder": str(path)}}, "x")
    assert tried and not list((tmp_path / "home").rglob("*.onnx"))


@pytest.mark.parametrize("name", ["site", "2nd", "a-b_c", "a" * 41])
def test_a_name_is_one_that_a_bundle_may_have(name: str) -> None:
    assert parse_config({"name": name}, "c").name == name
    require_names(name, "1")


@pytest.mark.parametrize("name", ["Site", "-a", "a b", "", "a" * 42, "../a", "a\n"])
def test_a_name_that_no_bundle_may_have_is_refused_before_anything_is_trained(name: str) -> None:
    with pytest.raises(ConfigError, match="name: "):
        parse_config({"name": name}, "c")
    with pytest.raises(ValueError, match="must match"):
        require_names(name, "1")
