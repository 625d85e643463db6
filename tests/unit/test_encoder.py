"""Frozen encoders: what may be one, where it is kept, and what is made of its frames."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from bonafide.cli.root import cli
from bonafide.errors import ConfigError
from bonafide.features.encoder import encoder_path, find_encoder, keep_encoder, read_encoder
from bonafide.features.encoder_trial import try_encoder
from bonafide.features.graph import GraphBuilder
from bonafide.features.pooling import LEVEL, build_encoder
from bonafide.runtime import Graph

Floats = NDArray[np.float32]
WINDOW, HOP, FEATURES, FLOOR = 1_600, 80, 3, 1e-4
N_FRAMES = WINDOW // HOP
TAPS: Floats = np.random.default_rng(5).normal(size=(FEATURES, 1, HOP)).astype(np.float32)


def tiny(
    *,
    name: str = "waveform",
    n_samples: int | str = "n",
    hop: int = HOP,
    flat: bool = False,
    neighbours: bool = False,
    infinite: bool = False,
) -> onnx.ModelProto:
    """An encoder of one convolution and, as second output, its absolute values."""
    graph = GraphBuilder("tiny")
    value = graph.add("Unsqueeze", graph.input(name, ["batch", n_samples]), graph.integers([1]))
    if neighbours:
        largest = graph.add("ReduceMax", graph.add("Abs", value), keepdims=1)
        value = graph.add("Div", value, graph.add("Add", largest, graph.constant(1)))
    frames = graph.add("Conv", value, graph.constant(TAPS), strides=[hop])
    frames = graph.add("Transpose", frames, perm=[0, 2, 1])
    if infinite:
        frames = graph.add("Log", graph.add("Sub", frames, frames))
    if flat:
        graph.output("flat", graph.add("Flatten", frames), ["batch", "m"])
    else:
        graph.output("frames", frames, ["batch", "t", FEATURES])
        graph.output("absolute", graph.add("Abs", frames), ["batch", "t", FEATURES])
    return graph.model()


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "tiny.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return saved(tmp_path, tiny())


def windows(n: int) -> Floats:
    random = np.random.default_rng(1)
    levels = np.array([[0.5], [0.001], [0.02]])[:n]
    return (levels * random.normal(size=(n, WINDOW)) + 0.1).astype(np.float32)


def pooled(waveforms: Floats) -> Floats:
    """What the vector is, said in numpy."""
    x = waveforms.astype(np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    x = LEVEL * x / np.maximum(np.sqrt((x**2).mean(axis=1, keepdims=True)), FLOOR)
    frames = x.reshape(len(x), N_FRAMES, HOP) @ TAPS[:, 0].T
    parts = [
        part
        for h in (frames, np.abs(frames))
        for part in (h.mean(axis=1), h.std(axis=1), np.abs(np.diff(h, axis=1)).mean(axis=1))
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def vectors(path: Path, waveforms: Floats) -> Floats:
    built = build_encoder(onnx.load(path), read_encoder(path), WINDOW, FLOOR)
    found: Floats = Graph(built.SerializeToString())({"waveform": waveforms})["encoder"]
    return found


class TestVector:
    def test_is_mean_deviation_and_change_of_every_output(self, encoder: Path) -> None:
        found, spec = vectors(encoder, windows(3)), read_encoder(encoder)
        assert spec.outputs == {"frames": FEATURES, "absolute": FEATURES}
        assert found.shape == (3, spec.n_features)
        np.testing.assert_allclose(found, pooled(windows(3)), rtol=1e-3, atol=1e-5)

    def test_of_no_rows_is_empty(self, encoder: Path) -> None:
        assert vectors(encoder, windows(0)).shape == (0, 6 * FEATURES)

    def test_is_that_of_the_row_alone(self, encoder: Path) -> None:
        together = vectors(encoder, windows(3))
        alone = np.concatenate([vectors(encoder, windows(3)[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)

    def test_silence_has_one(self, encoder: Path) -> None:
        assert np.isfinite(vectors(encoder, np.zeros((1, WINDOW), np.float32))).all()

    def test_of_another_length(self, tmp_path: Path) -> None:
        path = saved(tmp_path, tiny(n_samples=2 * WINDOW))
        with pytest.raises(ConfigError, match=r"hears 3200 samples: must hear 1600") as raised:
            vectors(path, windows(1))
        assert raised.value.code == "bad_encoder"


class TestKeeping:
    def test_one_is_found_by_its_hash(self, tmp_path: Path, encoder: Path) -> None:
        spec = keep_encoder(tmp_path / "home", encoder)
        assert find_encoder(tmp_path / "home", spec.sha256) == spec
        assert encoder_path(spec, tmp_path / "home").read_bytes() == encoder.read_bytes()

    def test_one_that_was_changed_is_not_taken(self, tmp_path: Path, encoder: Path) -> None:
        spec = keep_encoder(tmp_path, encoder)
        with encoder_path(spec, tmp_path).open("ab") as file:
            file.write(b"x")
        with pytest.raises(ConfigError) as raised:
            encoder_path(spec, tmp_path)
        assert raised.value.code == "no_encoder"

    def test_what_is_nowhere(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as raised:
            find_encoder(tmp_path, "0" * 64)
        assert raised.value.code == "no_encoder"


class TestTrial:
    def test_tells_size_and_time(self, encoder: Path) -> None:
        tried = try_encoder(encoder, WINDOW)
        assert tried.spec == read_encoder(encoder)
        assert tried.n_bytes == encoder.stat().st_size and tried.milliseconds > 0

    @pytest.mark.parametrize(
        ("model", "said"),
        [
            (tiny(name="sound"), "must be waveform"),
            (tiny(flat=True), r"must be float32 \[batch, n_frames, n_features\]"),
            (tiny(hop=WINDOW), "at least 2 frames"),
            (tiny(infinite=True), "must be finite"),
            (tiny(neighbours=True), "beside a loud window: must not move"),
        ],
        ids=["input", "output", "one frame", "infinite", "neighbours"],
    )
    def test_refuses(self, tmp_path: Path, model: onnx.ModelProto, said: str) -> None:
        with pytest.raises(ConfigError, match=said) as raised:
            try_encoder(saved(tmp_path, model), WINDOW)
        assert raised.value.code == "bad_encoder"

    @pytest.mark.parametrize(
        ("domain", "version", "said"),
        [("", 18, "opset 18: must be at most 17"), ("com.microsoft", 1, "must be standard")],
    )
    def test_operators(self, tmp_path: Path, domain: str, version: int, said: str) -> None:
        model = tiny()
        used = [o for o in model.opset_import if o.domain == domain] or [model.opset_import.add()]
        used[0].domain, used[0].version = domain, version
        with pytest.raises(ConfigError, match=said):
            try_encoder(saved(tmp_path, model), WINDOW)

    def test_what_is_no_onnx(self, tmp_path: Path) -> None:
        path = tmp_path / "x.onnx"
        path.write_bytes(b"no network")
        with pytest.raises(ConfigError, match="no ONNX file that runs") as raised:
            try_encoder(path, WINDOW)
        assert raised.value.code == "bad_encoder"

    def test_the_command_keeps_it(
        self, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
        done = CliRunner().invoke(cli, ["models", "encoder", str(encoder)])
        spec = read_encoder(encoder)
        assert done.exit_code == 0 and f"n_features: {spec.n_features}" in done.stdout
        assert find_encoder(tmp_path / "home", spec.sha256) == spec
