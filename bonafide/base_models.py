"""The single graphs of a bundle, from waveforms to what its base models say."""

from collections.abc import Sequence

import numpy as np

from bonafide.bundle import Bundle
from bonafide.features.spec import ENCODER, STATISTICS
from bonafide.runtime import Graph
from bonafide.types import Scores, Tensor, Waveform


class BaseModels:
    """Some base models of a bundle of format 3, each run by its own graph.

    Parameters
    ----------
    bundle : Bundle
        Whose graphs are loaded.
    names : sequence of str
        Which of its base models.
    encoder : Graph or None
        From waveforms to pooled frames; None where none of these models hears them.

    Raises
    ------
    BundleError
        ``bad_graph`` if a graph cannot be loaded.
    """

    def __init__(self, bundle: Bundle, names: Sequence[str], encoder: Graph | None = None) -> None:
        self._bundle, self._names, self._encoder = bundle, names, encoder
        parts = ("frontend", "scaler", "router", *names)
        self._graph = {name: Graph(bundle.graph_path(name)) for name in parts}

    def __call__(self, waveforms: Waveform) -> tuple[Scores, dict[str, Tensor]]:
        """Score windows.

        Parameters
        ----------
        waveforms : ndarray of float32, shape (n, window_samples)
            At 16 kHz and any level.

        Returns
        -------
        ndarray of float32, shape (n, len(names))
            The p_spoof of each base model.
        dict of str to ndarray of float32
            What the router says: ``channel`` (n, n_channels) and ``distance`` (n,).
        """
        scaled = self.scaled(waveforms)
        models = np.stack([self._p_spoof(name, scaled) for name in self._names], axis=1)
        return models, self._graph["router"]({STATISTICS: scaled[STATISTICS]})

    def scaled(self, waveforms: Waveform) -> dict[str, Tensor]:
        """Return standardised features.

        Parameters
        ----------
        waveforms : ndarray of float32, shape (n, window_samples)
            At 16 kHz and any level.

        Returns
        -------
        dict of str to ndarray of float32
            Views and vectors by name; zeros for what an encoder hears that is not run.
        """
        features = self._graph["frontend"]({"waveform": waveforms})
        if self._encoder is not None:
            features |= self._encoder({"waveform": waveforms})
        elif width := self._bundle.spec.vectors.get(ENCODER):
            features[ENCODER] = np.zeros((len(waveforms), width), np.float32)  # heard by none
        scaled = self._graph["scaler"](features)
        return {name.removeprefix("scaled_"): values for name, values in scaled.items()}

    def _p_spoof(self, name: str, scaled: dict[str, Tensor]) -> Scores:
        vectors = [scaled[vector] for vector in self._bundle.hears[name]]
        inputs = {STATISTICS: np.concatenate(vectors, axis=1)}
        if name in self._bundle.manifest["views"]:
            inputs["frames"] = scaled[self._bundle.manifest["views"][name]]
        return self._graph[name](inputs)["p_spoof"]
