"""The exported models one after another: what the fused detector is compared with."""

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import META_MODELS, Bundle
from bonafide.features.spec import STATISTICS
from bonafide.runtime import Graph
from bonafide.training.stacking import Calibration
from bonafide.types import WindowScores


class Chain:
    """Scores windows with the single graphs of a bundle.

    Serving runs `detector.onnx`, and a candidate is judged by it; it must equal this chain.

    Parameters
    ----------
    bundle : Bundle
        Whose graphs are loaded.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._graph = {name: Graph(bundle.graph_path(name)) for name in bundle.parts}
        self._models = bundle.models
        self._view = bundle.manifest["views"]
        self._calibration = Calibration(**bundle.manifest["calibration"])
        self._choice = META_MODELS.index(bundle.manifest["choice"])

    def score_windows(self, waveforms: NDArray[np.float32]) -> WindowScores:
        """Score windows, (n, window_samples), as `Detector.score_windows` does."""
        scaled = self._graph["scaler"](self._graph["frontend"]({"waveform": waveforms}))
        columns = []
        for name in self._models:
            inputs = {STATISTICS: scaled[f"scaled_{STATISTICS}"]}
            if name in self._view:
                inputs["frames"] = scaled[f"scaled_{self._view[name]}"]
            columns.append(self._graph[name](inputs)["p_spoof"])
        models = np.stack(columns, axis=1)
        stack = np.stack(
            [self._graph[f"meta_{name}"]({"models": models})["p_spoof"] for name in META_MODELS],
            axis=1,
        )
        llr = self._calibration.llr(stack[:, self._choice])
        return WindowScores(llr.astype(np.float32), models, stack)
