"""The exported models one after another: what the fused detector is compared with."""

from typing import Any

import numpy as np
import onnx

from bonafide.base_models import BaseModels
from bonafide.bundle import ADAPTER, META_MODELS, Bundle
from bonafide.export.parity import MAX_DIFFERENCE, largest
from bonafide.features.pooling import build_encoder
from bonafide.features.spec import ENCODER
from bonafide.judging import p_spoof_of
from bonafide.runtime import Graph
from bonafide.training.rules import Route
from bonafide.training.stacking import Calibration
from bonafide.types import Mask, Scores, Waveform, WindowScores


class Chain:
    """Scores windows with the single graphs of a bundle of format 3.

    Serving runs `detector.onnx`, and a candidate is judged by it; it must equal this chain.

    Parameters
    ----------
    bundle : Bundle
        Whose graphs are loaded.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, spec, encoder = bundle, bundle.spec, None
        if spec.encoder:
            model = onnx.load(bundle.graph_path(ENCODER))
            pooled = build_encoder(model, spec.encoder, spec.window_samples, spec.rms_floor)
            encoder = Graph(pooled.SerializeToString())
        self._base = BaseModels(bundle, bundle.models, encoder)
        metas = [f"{each['prefix']}meta_{name}" for each in bundle.stages for name in META_MODELS]
        names = [*metas, *((ADAPTER,) if bundle.is_adapted else ())]
        self._graph = {name: Graph(bundle.graph_path(name)) for name in names}

    def score_windows(self, waveforms: Waveform, asked: Mask | None = None) -> WindowScores:
        """Score windows as `Detector.score_windows` does.

        Parameters
        ----------
        waveforms : ndarray of float32, shape (n, window_samples)
            At 16 kHz and any level.
        asked : ndarray of bool, shape (n,), or None
            Which windows the fused graph sent on to the second stage: so are those here that lie
            within `MAX_DIFFERENCE` of a bar, which rounding puts on either side of it.

        Returns
        -------
        WindowScores
            Base models that the route leaves out are NaN.
        """
        manifest, stages = self._bundle.manifest, self._bundle.stages
        models, routed = self._base(waveforms)
        channel = routed["channel"]
        found = []
        for stage in stages:
            columns = [self._bundle.models.index(name) for name in stage["models"]]
            found.append(self._decided(stage, models[:, columns], channel))
        llr, stack = found[-1]
        if len(stages) == 2:
            route = Route.from_json(manifest["route"])
            given = found[0][0], route.p_spared(channel, self._bundle.channels)
            goes_on = route.asks(*given)
            if asked is not None:
                goes_on = np.where(route.is_open(*given, within=MAX_DIFFERENCE), asked, goes_on)
            llr = np.where(goes_on, llr, found[0][0])
            stack = np.where(goes_on[:, None], stack, found[0][1])
            known = np.isin(self._bundle.models, stages[0]["models"])
            models = np.where(goes_on[:, None] | known, models, np.nan)
        if ADAPTER in self._graph:
            llr = self._graph[ADAPTER]({"llr": llr, "models": models})["adapted"]
        return WindowScores(llr, models, stack, channel, routed["distance"])

    def _decided(
        self, stage: dict[str, Any], models: Scores, channel: Scores
    ) -> tuple[Scores, Scores]:
        """Return a stage's llr and stack."""
        inputs = {"models": models, "channel": channel}
        stack = np.stack(
            [
                self._graph[f"{stage['prefix']}meta_{name}"](inputs)["p_spoof"]
                for name in META_MODELS
            ],
            axis=1,
        )
        llr = Calibration(**stage["calibration"]).llr(stack[:, META_MODELS.index(stage["choice"])])
        return llr.astype(np.float32), stack


def fused_difference(bundle: Bundle, waveforms: Waveform) -> float:
    """Return the largest difference of any number between a bundle's detector.onnx and its chain.

    Parameters
    ----------
    bundle : Bundle
        With all its graphs.
    waveforms : ndarray of float32, shape (n, window_samples)
        Scored by both.

    Returns
    -------
    float
        NaN if one of both did not ask a base model that the other asked.
    """
    fused = Graph(bundle.graph_path("detector"))({"waveform": waveforms})
    is_asked = ~np.isnan(fused["models"])
    chain = Chain(bundle).score_windows(waveforms, asked=np.asarray(is_asked.all(axis=1)))
    p_spoof = p_spoof_of(chain.llr, bundle.manifest["prior_spoof"])
    sources = {"p_spoof": p_spoof, "stack": chain.stack, "channel": chain.channel}
    found = [largest(fused[name], source) for name, source in sources.items() if source is not None]
    if chain.distance is not None:  # 0 or more, without an upper end: compared as d / (1 + d)
        found.append(largest(*(d / (1 + d) for d in (fused["distance"], chain.distance))))
    if not np.array_equal(is_asked, ~np.isnan(chain.models)):
        return float("nan")
    return max(*found, largest(fused["models"][is_asked], chain.models[is_asked]))
