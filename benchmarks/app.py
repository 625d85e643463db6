"""Today's app path: librosa features, then ``predict`` of each model in Python.

What published apps of this kind do for one clip, with the same features, the same network
architectures and as many trees as the bundle that it is compared with. The weights are random:
time does not depend on them. Needs the extra ``train``.
"""

import io
from typing import Any

import keras
import librosa
import numpy as np
import onnx
import scipy.fft
import soundfile
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bonafide.bundle import Bundle
from bonafide.frontend import filters
from bonafide.spec import BASE_MODELS, SAMPLE_RATE_HZ, ViewSpec
from bonafide.statistics import N_STATISTICS, PERCENTILES
from bonafide.training.config import Config
from bonafide.training.networks import build_network

Array = NDArray[np.floating[Any]]


class App:
    """Scores one clip the way that notebooks turned into apps do.

    Parameters
    ----------
    bundle : Bundle
        Whose views, networks and trees are taken.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._spec, self._view_of = bundle.spec, bundle.manifest["views"]
        models = Config.model_validate(bundle.manifest["config"]).models
        self._networks: dict[str, keras.Model] = {}
        for name in BASE_MODELS[:4]:
            n_features = self._views[self._view_of[name]].n_features
            config = getattr(models, name)
            self._networks[name] = build_network(name, config, n_features, self._spec.n_frames)
        rng = np.random.default_rng(0)
        n_statistics = N_STATISTICS * self._views[self._view_of["xgboost"]].n_features
        trees = count_trees(onnx.load(bundle.graph_path("xgboost")))
        self._trees = _random_booster(rng, n_statistics, trees, models.xgboost.depth)
        meta_trees = count_trees(onnx.load(bundle.graph_path("meta_xgboost")))
        self._meta_trees = _random_booster(rng, len(BASE_MODELS), meta_trees, 2)
        self._meta = LogisticRegression().fit(
            rng.standard_normal((40, len(BASE_MODELS))), np.arange(40) % 2
        )

    @property
    def _views(self) -> dict[str, ViewSpec]:
        return self._spec.views

    def score(self, content: bytes) -> float:
        """Decode, extract, predict five times, stack; gives a p_spoof."""
        waveform, _ = soundfile.read(io.BytesIO(content), dtype="float32")
        waveform = np.resize(waveform, self._spec.window_samples)
        spectrum = librosa.stft(
            waveform, n_fft=self._spec.n_fft, hop_length=self._spec.hop_samples, pad_mode="constant"
        )
        power = np.abs(spectrum) ** 2
        views = {name: self._view(power, name) for name in set(self._view_of.values())}
        models = [
            float(network.predict(views[self._view_of[name]][None], verbose=0)[0, 0])
            for name, network in self._networks.items()
        ]
        frames = views[self._view_of["xgboost"]]
        models.append(float(self._trees.predict(xgboost.DMatrix(statistics(frames)[None]))[0]))
        row = np.array(models)[None]
        self._meta_trees.predict(xgboost.DMatrix(row))
        return float(self._meta.predict_proba(row)[0, 1])

    def _view(self, power: Array, name: str) -> Array:
        """Extract one view with librosa: (bins, frames) -> (frames, features)."""
        view = self._views[name]
        if view.kind == "lfcc":
            bands = filters(self._spec, view) @ power
        else:
            bands = librosa.feature.melspectrogram(
                S=power,
                sr=SAMPLE_RATE_HZ,
                n_mels=view.n_filters,
                fmin=view.low_hz,
                fmax=view.high_hz,
            )
        features = librosa.power_to_db(bands)
        if view.kind != "logmel":
            features = scipy.fft.dct(features, axis=0, norm="ortho")[: view.n_coefficients]
        if view.deltas:
            derivatives = [librosa.feature.delta(features, order=order) for order in (1, 2)]
            features = np.concatenate([features, *derivatives])
        return (features.T - features.mean()) / features.std()


def statistics(frames: Array) -> Array:
    """Give time statistics with numpy: (frames, d) -> (8 d,)."""
    parts = [
        frames.mean(axis=0),
        frames.std(axis=0),
        *np.percentile(frames, PERCENTILES, axis=0),
        np.abs(np.diff(frames, axis=0)).mean(axis=0),
    ]
    return np.concatenate(parts)


def count_trees(model: onnx.ModelProto) -> int:
    """Count the trees of a graph."""
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    return len({tree for a in attributes if a.name == "nodes_treeids" for tree in a.ints})


def _random_booster(
    rng: np.random.Generator, n_inputs: int, trees: int, depth: int
) -> xgboost.Booster:
    x, y = rng.standard_normal((400, n_inputs)), rng.integers(0, 2, 400)
    parameters = {"objective": "binary:logistic", "max_depth": depth, "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(x, y), trees)
