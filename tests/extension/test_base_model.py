"""A base model is added by one file of its own: trained, stacked, exported, served and shown."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml

from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle, read_bundle
from bonafide.models import BUILT_IN
from bonafide.models.base import BaseModel
from bonafide.simulation.corpus import simulate
from serving.app import charts
from serving.app.language import Words
from tests.helpers.homes import Home, demo_home
from tests.helpers.servers import Server, private_home, server

LINEAR = Path(__file__).with_name("linear.py")  # the one file that adds the model
MODELS = {
    "linear": {"strength": 0.05},
    "xgboost": {"trees": 20},
    "cnn": {"view": "mfcc", "width": 4, "statistics_width": 8},
}
CONFIG = {
    "name": "six",
    "resamples": 50,
    "folds": {"count": 3, "test_share": 0.2},
    "augmentation": {"count": 1},
    "fit": {"epochs": 2, "steps_per_epoch": 5, "batch_rows": 16},
    "models": MODELS,
    "gate": {"max_eer": 1.0},
}


@dataclass(frozen=True)
class Six:
    """A home in which a detector with the new model was trained, and what the run printed."""

    home: Home
    printed: str
    environment: dict[str, str]

    @property
    def bundle(self) -> Bundle:
        return read_bundle(self.home.folder / "bundles" / "six" / "1")


def install(folder: Path) -> dict[str, str]:
    """Write a package and what an installer writes beside it; return what lets it be found."""
    shutil.copy2(LINEAR, folder)
    info = folder / "linear-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: linear\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bonafide.models]\nlinear = linear:Linear\n")
    paths = [str(folder), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Six]:
    """Train with the package on the path of every process."""
    workshop = tmp_path_factory.mktemp("six")
    corpus = simulate(workshop / "corpus", clips=60, speakers=6)
    config = workshop / "six.yaml"
    config.write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    home, environment = demo_home(workshop / "home"), install(tmp_path_factory.mktemp("site"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment["PYTHONPATH"])
        done = home.run("train", "--config", config, "--corpus", corpus)
        assert done.returncode == 0, done.stderr
        yield Six(home, done.stdout, environment)


def test_it_is_none_of_ours() -> None:
    assert "linear" not in BUILT_IN
    assert [path.name for path in LINEAR.parent.glob("linear*")] == ["linear.py"]


def test_it_trains_stacks_and_is_judged(six: Six) -> None:
    lines = [line.split()[0] for line in six.printed.splitlines() if "%" in line]
    assert {"linear", "xgboost", "cnn"} <= set(lines)
    assert "gru" not in lines
    about = six.bundle.manifest
    assert about["models"] == list(MODELS)
    assert about["labels"] == {"linear": "Linear", "xgboost": "XGBoost", "cnn": "CNN"}
    assert about["config"]["models"]["linear"].items() >= MODELS["linear"].items()
    assert about["parity"]["linear"] <= 1e-4


def test_it_is_exported_and_fused_in_the_order_of_the_configuration(six: Six) -> None:
    bundle = six.bundle
    (single,) = onnx.load(bundle.graph_path("linear")).graph.output
    assert single.name == "p_spoof"
    outputs = {value.name: value for value in onnx.load(bundle.graph_path("detector")).graph.output}
    width = outputs["models"].type.tensor_type.shape.dim[1].dim_value
    assert width == len(MODELS)
    weights = onnx.load(bundle.graph_path("meta_logistic")).graph.node
    n_inputs = len(bundle.channels) * (1 + len(MODELS))  # an offset, and a weight of each model
    assert any(
        len(attribute.floats) == 2 * n_inputs
        for node in weights
        for attribute in node.attribute
        if attribute.name == "coefficients"
    )


def test_it_scores_on_the_command_line(six: Six, tmp_path: Path) -> None:
    clip = tmp_path / "a.wav"
    clip.write_bytes(encode(speech(5.0), "wav"))
    done = six.home.run("score", "--format", "jsonl", clip)
    assert done.returncode == 0, done.stderr
    models = json.loads(done.stdout)["models"]
    assert list(models) == list(MODELS)
    assert all(0.0 <= p <= 1.0 for p in models.values())


@pytest.fixture(scope="module")
def service(six: Six, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the bundle without the package: what serves needs no plug-in."""
    home = private_home(six.home.folder, tmp_path_factory.mktemp("served"))
    with server(home, workers=1) as running:
        yield running


def test_it_is_served_and_shown_on_the_page(service: Server) -> None:
    result = service.detect(encode(speech(5.0), "flac")).json()
    assert list(result["models"]) == list(MODELS)
    model = service.get("/v1/model").json()
    drawn = json.dumps(charts.opinions_chart(Words("en"), result, model).to_dict())
    assert '"Linear"' in drawn and '"CNN"' in drawn and '"GRU"' not in drawn


def test_the_contract_of_base_models_holds(six: Six, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.extension.linear import Linear

    assert issubclass(Linear, BaseModel)
    rng = np.random.default_rng(0)
    model = Linear(Linear.Config(), None, 0)  # type: ignore[arg-type]
    model.weights_, model.bias_ = rng.normal(size=4).astype(np.float32), np.zeros(1, np.float32)
    rows = rng.normal(size=(7, 4)).astype(np.float32)
    batch = model.score({"statistics": rows})
    single = [model.score({"statistics": rows[i : i + 1]})[0] for i in range(7)]
    np.testing.assert_allclose(batch, single, rtol=0, atol=1e-6)
