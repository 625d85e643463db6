"""The whole detector as one graph: a waveform in, scores out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from bonafide.bundle import META_MODELS
from bonafide.channel import CLEAN
from bonafide.export.meta import add_log_odds
from bonafide.export.scaler import add_limits, add_standard
from bonafide.features.frontend import add_features
from bonafide.features.graph import GraphBuilder
from bonafide.features.pooling import add_encoder
from bonafide.features.spec import ENCODER, STATISTICS, FeatureSpec
from bonafide.models.examples import Standard
from bonafide.training.stacking import Calibration

Graphs = Mapping[str, onnx.ModelProto]


def detector_graph(
    spec: FeatureSpec,
    standards: Mapping[str, Standard],
    graphs: Graphs,
    manifest: Mapping[str, Any],
) -> onnx.ModelProto:
    """Fuse front end, scaler, router, base models, meta-models and calibrations.

    With two stages, the second one's part of the graph runs on the rows alone that the first one
    leaves doubtful, or whose channel is not clean: often none.

    Parameters
    ----------
    spec : FeatureSpec
        The front end.
    standards : mapping of str to Standard
        The scaler, by view and vector.
    graphs : mapping of str to onnx.ModelProto
        The parts of the bundle by name: the router (from ``statistics`` to ``channel`` and
        ``distance``), the encoder if there is one, the base models (from ``statistics``, and for
        some ``frames``, to ``p_spoof``), and each stage's ``<prefix>meta_<name>`` (from ``models``
        and ``channel`` to ``p_spoof``). Views and vectors that none takes are not computed.
    manifest : mapping
        The bundle's: models, views, hears, channels, stages, route and prior.

    Returns
    -------
    onnx.ModelProto
        Input ``waveform``, float32 [batch, window_samples], 16 kHz, at any level. Outputs, float32:
        ``llr`` [batch]; ``p_spoof`` [batch]; ``models`` [batch, n_models], p_spoof of each, NaN if
        it was not asked; ``stack`` [batch, 2], in the order of `META_MODELS`; ``channel``
        [batch, n_channels], posteriors; ``distance`` [batch].
    """
    graph = GraphBuilder("detector")
    waveform = graph.input("waveform", ["batch", spec.window_samples])
    parts = _Parts(graph, standards, graphs, manifest)
    heard = parts.features(spec, waveform)
    routed = graph.inline(graphs["router"], {STATISTICS: heard.vectors[STATISTICS]})
    first, *others = manifest["stages"]
    scores = parts.scores(first, heard)
    base = _side_by_side(graph, [scores[name] for name in first["models"]])
    stack, llr = parts.decided(first, base, routed["channel"])
    if others:
        base, stack, llr = parts.cascade(spec, heard, routed["channel"], base, stack, llr)
    prior = graph.constant(math.log(manifest["prior_spoof"] / (1 - manifest["prior_spoof"])))
    graph.output("llr", llr, ["batch"])
    graph.output("p_spoof", graph.add("Sigmoid", graph.add("Sub", prior, llr)), ["batch"])  # Bayes
    graph.output("models", base, ["batch", len(manifest["models"])])
    graph.output("stack", stack, ["batch", len(META_MODELS)])
    graph.output("channel", routed["channel"], ["batch", len(manifest["channels"])])
    graph.output("distance", routed["distance"], ["batch"])
    return graph.model()


class _Heard:
    """Windows as base models hear them: values in a graph.

    Parameters
    ----------
    waveform : str
        At unit level, [batch, window_samples].
    views : dict of str to str
        Standardised frames, [batch, n_frames, n_features].
    vectors : dict of str to str
        Standardised vectors, [batch, n].
    """

    def __init__(self, waveform: str, views: dict[str, str], vectors: dict[str, str]) -> None:
        self.waveform, self.views, self.vectors = waveform, views, vectors


class _Parts:
    """Adds the parts of a detector to a graph."""

    def __init__(
        self,
        graph: GraphBuilder,
        standards: Mapping[str, Standard],
        graphs: Graphs,
        manifest: Mapping[str, Any],
    ) -> None:
        self.graph, self.standards, self.graphs, self.manifest = graph, standards, graphs, manifest

    def features(self, spec: FeatureSpec, waveform: str) -> _Heard:
        """Add the views and the vectors, all but the encoder's, that any base model takes."""
        views = dict.fromkeys(self.manifest["views"].values())
        wanted = {STATISTICS, *(v for names in self.manifest["hears"].values() for v in names)}
        found = add_features(self.graph, spec, waveform, views, vectors=wanted)
        frames = {
            name: _scaled_frames(self.graph, value, self.standards[name])
            for name, value in found.views.items()
        }
        vectors = {
            name: add_standard(self.graph, value, self.standards[name])
            for name, value in found.vectors.items()
        }
        return _Heard(found.waveform, frames, vectors)

    def scores(self, stage: Mapping[str, Any], heard: _Heard, known: Sequence[str] = ()) -> Any:
        """Add a stage's base models but those that are known; return p_spoof of each by name."""
        found = {}
        for name in stage["models"]:
            if name in known:
                continue
            vectors = [heard.vectors[vector] for vector in self.manifest["hears"][name]]
            joined = vectors[0]
            if len(vectors) > 1:
                joined = self.graph.add("Concat", *vectors, axis=1)
            inputs = {STATISTICS: joined}
            if name in self.manifest["views"]:
                inputs["frames"] = heard.views[self.manifest["views"][name]]
            found[name] = self.graph.inline(self.graphs[name], inputs)["p_spoof"]
        return found

    def decided(self, stage: Mapping[str, Any], base: str, channel: str) -> tuple[str, str]:
        """Add a stage's meta-models and calibration; return stack [batch, 2] and llr [batch]."""
        inputs = {"models": base, "channel": channel}
        stacked = [
            self.graph.inline(self.graphs[f"{stage['prefix']}meta_{name}"], inputs)["p_spoof"]
            for name in META_MODELS
        ]
        chosen = stacked[META_MODELS.index(stage["choice"])]
        llr = _calibrated(self.graph, chosen, Calibration(**stage["calibration"]))
        return _side_by_side(self.graph, stacked), llr

    def cascade(
        self, spec: FeatureSpec, heard: _Heard, channel: str, base: str, stack: str, llr: str
    ) -> tuple[str, str, str]:
        """Add the second stage for the rows that are asked; return models, stack and llr of all."""
        graph, (first, second) = self.graph, self.manifest["stages"]
        asked = self._asked(llr, channel)

        def taken(value: str) -> str:
            return graph.add("Gather", value, asked, axis=0)

        known = list(first["models"])
        new = [name for name in second["models"] if name not in known]
        views = {self.manifest["views"][name] for name in new if name in self.manifest["views"]}
        vectors = {v for name in new for v in self.manifest["hears"][name]}
        some = _Heard(
            taken(heard.waveform),
            {name: taken(heard.views[name]) for name in views},
            {name: taken(heard.vectors[name]) for name in vectors if name != ENCODER},
        )
        if spec.encoder and ENCODER in vectors:
            pooled = add_encoder(graph, self.graphs[ENCODER], spec.encoder, some.waveform)
            some.vectors[ENCODER] = add_standard(graph, pooled, self.standards[ENCODER])
        found = self.scores(second, some, known)
        added = _side_by_side(graph, [found[name] for name in new])
        of_asked = graph.add("Concat", taken(base), added, axis=1)
        own_stack, own_llr = self.decided(second, of_asked, taken(channel))

        rows = graph.add("Unsqueeze", asked, graph.integers([1]))
        n_rows = graph.add("Shape", llr)
        shape = graph.add("Concat", n_rows, graph.integers([len(new)]), axis=0)
        nothing = graph.add("Expand", graph.constant(np.nan), shape)
        models = graph.add("Concat", base, graph.add("ScatterND", nothing, rows, added), axis=1)
        stack = graph.add("ScatterND", stack, rows, own_stack)
        return models, stack, graph.add("ScatterND", llr, rows, own_llr)

    def _asked(self, llr: str, channel: str) -> str:
        """Add `bonafide.training.rules.Route.asks`: the numbers of the rows that go on, [k]."""
        graph, route = self.graph, self.manifest["route"]
        spared = [
            number
            for number, each in enumerate(self.manifest["channels"])
            if each["name"] in route.get("spared", [CLEAN])
        ]
        doubtful = graph.add("Less", graph.add("Abs", llr), graph.constant(route["doubt_llr"]))
        clean = graph.add("Gather", channel, graph.integers(spared), axis=1)
        p_clean = graph.add("ReduceSum", clean, graph.integers([1]), keepdims=0)
        changed = graph.add("Less", p_clean, graph.constant(route["clean_from"]))
        rows = graph.add("NonZero", graph.add("Or", doubtful, changed))
        return graph.add("Reshape", rows, graph.integers([-1]))


def _scaled_frames(graph: GraphBuilder, features: str, standard: Standard) -> str:
    """Standardise a view in one pass and put time first: [batch, d, t] -> [batch, t, d]."""
    # The networks put time last again; onnxruntime drops both transpositions.
    one, nothing = np.ones_like(standard.mean), np.zeros_like(standard.mean)
    parts = (one, nothing, standard.mean, np.square(standard.scale))
    scaled = graph.add("BatchNormalization", features, *map(graph.constant, parts), epsilon=0.0)
    return graph.add("Transpose", add_limits(graph, scaled, standard), perm=[0, 2, 1])


def _side_by_side(graph: GraphBuilder, scores: list[str]) -> str:
    """Add the joining of scores as columns: n times [batch] -> [batch, n]."""
    columns = [graph.add("Unsqueeze", score, graph.integers([1])) for score in scores]
    return graph.add("Concat", *columns, axis=1)


def _calibrated(graph: GraphBuilder, p_spoof: str, calibration: Calibration) -> str:
    """Add `Calibration.llr`: [batch] -> [batch]."""
    log_odds = add_log_odds(graph, p_spoof)
    line = graph.add("Mul", log_odds, graph.constant(-calibration.slope))
    return graph.add("Sub", line, graph.constant(calibration.intercept))
