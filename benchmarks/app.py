"""The usual app: librosa features, then ``predict`` of each model in Python.

It does what published apps of this kind do for one clip, with the same features and statistics, the
same network architectures and as many trees as the bundle that it is compared with. Dense networks,
the router and the encoder are left out, for no such app has them: it would take even longer. The
weights are random: time does not depend on them. Needs the extra ``train``.
"""

import io
from typing import Any

import keras
import librosa
import numpy as np
import onnx
import soundfile
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from bonafide.bundle import Bundle
from bonafide.errors import ConfigError
from bonafide.features.frontend import filters
from bonafide.features.spec import (
    FeatureSpec,
    ViewSpec,
)
from bonafide.features.statistics import FLOOR, PRIOR, STEEPNESS
from bonafide.models import BUILT_IN, family
from bonafide.models.networks import build_network

Array = NDArray[np.floating[Any]]
Moves = tuple[Array, Array, Array]  # see `_moves`


class App:
    """Scores one clip at a time, in the way of apps that grew out of notebooks.

    Parameters
    ----------
    bundle : Bundle
        Sets the views, the statistics, and the sizes of networks and trees.

    Raises
    ------
    ConfigError
        ``unknown_model`` if it holds base models of another package.
    """

    def __init__(self, bundle: Bundle) -> None:
        sections = bundle.manifest["config"]["models"]
        families = {name: sections.get(name, {}).get("family") or name for name in bundle.models}
        if foreign := [name for name, found in families.items() if found not in BUILT_IN]:
            raise ConfigError(
                "unknown_model",
                f"base models {', '.join(foreign)}: what the usual app would do is not known; must "
                f"be of {', '.join(BUILT_IN)}",
            )
        self._spec, self._view_of = bundle.spec, bundle.manifest["views"]
        n_statistics = self._spec.n_statistics
        self._networks: dict[str, keras.Model] = {}
        for name, heard in self._view_of.items():
            view, chosen = self._spec.views[heard], family(families[name])
            config = chosen.Config.model_validate(sections[name])
            sizes = (view.n_features, n_statistics, self._spec.n_frames(view))
            self._networks[name] = build_network(name, chosen.recurrence, config, *sizes)
        rng = np.random.default_rng(0)
        self._trees: xgboost.Booster | None = None
        if "xgboost" in bundle.models:
            trees = count_trees(onnx.load(bundle.graph_path("xgboost")))
            self._trees = _random_booster(rng, n_statistics, trees, sections["xgboost"]["depth"])
        n_models = len(self._networks) + (self._trees is not None)
        meta_trees = count_trees(onnx.load(bundle.graph_path("meta_xgboost")))
        self._meta_trees = _random_booster(rng, n_models, meta_trees, 2)
        self._meta = LogisticRegression().fit(
            rng.standard_normal((40, n_models)), np.arange(40) % 2
        )

    def score(self, content: bytes) -> float:
        """Decode, extract, predict with each base model, stack; return a p_spoof."""
        waveform, _ = soundfile.read(io.BytesIO(content), dtype="float32")
        waveform = np.resize(waveform, self._spec.window_samples)
        views, vector = extract(self._spec, waveform, set(self._view_of.values()))
        known = _standardised(vector)[None]
        frames = {name: _standardised(view.T)[None] for name, view in views.items()}
        models = [
            float(network.predict([frames[self._view_of[name]], known], verbose=0)[0, 0])
            for name, network in self._networks.items()
        ]
        if self._trees:
            models.append(float(self._trees.predict(xgboost.DMatrix(known))[0]))
        row = np.array(models)[None]
        self._meta_trees.predict(xgboost.DMatrix(row))
        return float(self._meta.predict_proba(row)[0, 1])


def extract(spec: FeatureSpec, waveform: Array, names: set[str]) -> tuple[dict[str, Array], Array]:
    """Extract views and statistics with librosa and numpy, with one `librosa.stft` a resolution.

    Parameters
    ----------
    spec : FeatureSpec
        The front end.
    waveform : ndarray of float32, shape (window_samples,)
        At 16 kHz.
    names : set of str
        The views to return.

    Returns
    -------
    dict of str to ndarray
        Each view, (n_features, n_frames).
    ndarray, shape (n_statistics,)
        The statistics.
    """
    level = max(float(np.sqrt(np.mean(waveform**2))), spec.rms_floor)
    sequences = {name: spec.views[name] for name in names}
    powers: dict[tuple[int, int], Array] = {}
    values: dict[ViewSpec, Array] = {}
    for view in (*sequences.values(), *spec.statistics.values()):
        resolution = (view.n_fft, view.hop_samples)
        if resolution not in powers:
            n_fft, hop = resolution
            spectrum = librosa.stft(
                waveform / level, n_fft=n_fft, hop_length=hop, pad_mode="constant"
            )
            powers[resolution] = np.abs(spectrum) ** 2
        if view not in values:
            values[view] = _view(spec, view, powers[resolution])
    parts, classes = [], dict[int, Array]()
    for view in spec.statistics.values():
        features = values[view]
        moves = _moves(features)
        parts.append(statistics(spec, features, moves))
        if view.by_class:
            n_frames = features.shape[1]
            if n_frames not in classes:  # set by the first such view with as many frames
                classes[n_frames] = memberships(moves)
            parts.append(by_class(moves, classes[n_frames]))
    return {name: values[view] for name, view in sequences.items()}, np.concatenate(parts)


def _view(spec: FeatureSpec, view: ViewSpec, power: Array) -> Array:
    """Extract one view: (bins, frames) -> (features, frames)."""
    features = librosa.power_to_db(filters(view) @ power, amin=spec.power_floor, top_db=None)
    transform = view.view_kind.transform
    if transform is not None:
        features = transform(view.n_filters, view.n_coefficients) @ features
    if view.deltas:
        width = spec.delta_frames
        derivatives = [
            librosa.feature.delta(features, width=width, order=order) for order in (1, 2)
        ]
        features = np.concatenate([features, *derivatives])
    return features


def statistics(spec: FeatureSpec, features: Array, moves: Moves) -> Array:
    """Return the time statistics of one view: (features, frames) -> (n,)."""
    mean = features.mean(axis=1)
    deviation, step, turn = (np.sqrt(np.mean(x**2, axis=1)) + FLOOR for x in moves)
    _, change, change_of_step = (np.abs(x).mean(axis=1) + FLOOR for x in moves)
    ratios = [
        deviation,
        change,
        step / deviation,
        change_of_step / step,
        step / change,
        turn / change_of_step,
    ]
    unit = (moves[0] / deviation[:, None])[: spec.correlated]
    correlations = unit @ unit.T / unit.shape[1]
    upper = correlations[np.triu_indices(len(unit), 1)]
    return np.concatenate([np.stack([mean, *np.log(ratios)], axis=1).ravel(), upper])


def _moves(features: Array) -> Moves:
    """Return centred values, first and second differences, (features, frames - 2) each."""
    centred = features - features.mean(axis=1, keepdims=True)
    step = np.diff(centred, axis=1)
    return centred[:, 1:-1], step[:, :-1], np.diff(step, axis=1)


def memberships(moves: Moves) -> Array:
    """Return how much each frame but the ends belongs to each class; (4, frames - 2)."""
    values = moves[0][:2]
    deviation = np.sqrt(np.mean(values**2, axis=1, keepdims=True)) + FLOOR
    loud, dull = 1 / (1 + np.exp(-STEEPNESS * values / deviation))
    return np.stack([loud * dull, loud * (1 - dull), (1 - loud) * dull, (1 - loud) * (1 - dull)])


def by_class(moves: Moves, belongs: Array) -> Array:
    """Return mean absolute deviation and change by class, (8 features,)."""
    absolute = np.abs(np.stack(moves[:2], axis=1))  # (features, 2, frames - 2)
    overall = absolute.mean(axis=2, keepdims=True)
    share = belongs.mean(axis=1)
    own = absolute @ belongs.T / belongs.shape[1]
    mean = (own + PRIOR * overall) / (share + PRIOR)
    return np.asarray(np.log((mean + FLOOR) / (overall + FLOOR))).ravel()


def _standardised(values: Array) -> Array:
    return (values - values.mean()) / values.std()


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
