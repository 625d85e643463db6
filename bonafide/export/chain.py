"""The exported models one after another: what the fused detector is held against."""

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import PARTS, Bundle
from bonafide.detector import Scores
from bonafide.runtime import Graph
from bonafide.spec import BASE_MODELS, META_MODELS
from bonafide.training.stacking import Calibration


class Chain:
    """Scores with the single graphs of a bundle, from a waveform or from views already extracted.

    Judging a candidate starts at stored views; serving runs `detector.onnx` instead, which equals
    this chain.

    Parameters
    ----------
    bundle : Bundle
    """

    def __init__(self, bundle: Bundle) -> None:
        self._graph = {name: Graph(bundle.graph_path(name)) for name in PARTS}
        self._view = bundle.manifest["views"]
        self._calibration = Calibration(**bundle.manifest["calibration"])
        self._choice = META_MODELS.index(bundle.manifest["choice"])

    def score_windows(self, waveforms: NDArray[np.float32]) -> tuple[Scores, Scores, Scores]:
        """Score windows, (n, window_samples); returns as `Detector.score_windows`."""
        return self.score_views(self._graph["frontend"]({"waveform": waveforms}))

    def score_views(self, views: dict[str, NDArray[np.float32]]) -> tuple[Scores, Scores, Scores]:
        """Score windows from their views, each (n, n_frames, n_features)."""
        scaled = self._graph["scaler"](views)
        models = np.stack(
            [
                self._graph[name]({"frames": scaled[f"scaled_{self._view[name]}"]})["p_spoof"]
                for name in BASE_MODELS
            ],
            axis=1,
        )
        stack = np.stack(
            [self._graph[f"meta_{name}"]({"models": models})["p_spoof"] for name in META_MODELS],
            axis=1,
        )
        llr = self._calibration.llr(stack[:, self._choice])
        return llr.astype(np.float32), models, stack
