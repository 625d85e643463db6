"""detector.onnx: one graph from waveform to verdict, equal to the chain it was fused from."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import soundfile

from bonafide.bundle import META_MODELS, Bundle
from bonafide.detector import Detector
from bonafide.errors import BonafideError
from bonafide.export.candidate import fused_parity, require_parity
from bonafide.export.chain import Chain
from bonafide.features.graph import ML_OPSET, OPSET
from bonafide.features.spec import SAMPLE_RATE_HZ, FeatureSpec, ViewSpec
from bonafide.judging import p_spoof_of, verdict_of
from bonafide.models.config import FitConfig
from bonafide.runtime import Graph
from bonafide.training.scaling import STATISTICS_LIMIT, feature_weights_of
from tests.helpers.networks import CHANNELS, CLEAN_MODELS, VIEWS, sounds, untrained_bundle

Scores = dict[str, np.ndarray]
WINDOW = 4 * SAMPLE_RATE_HZ
OUTPUTS = {
    "llr": (),
    "p_spoof": (),
    "models": (len(CLEAN_MODELS),),
    "stack": (2,),
    "channel": (len(CHANNELS),),
    "distance": (),
}
LEVELS = {
    "nothing": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return untrained_bundle(tmp_path_factory.mktemp("fused") / "bundle")


@pytest.fixture(scope="module")
def waveforms() -> np.ndarray:
    return sounds(6, WINDOW)


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> onnx.ModelProto:
    return onnx.load(bundle.graph_path("detector"))


@pytest.fixture(scope="module")
def fused(bundle: Bundle) -> Graph:
    return Graph(bundle.graph_path("detector"))


@pytest.fixture(scope="module")
def scores(fused: Graph, waveforms: np.ndarray) -> Scores:
    return fused({"waveform": waveforms})


def assert_same(seen: Scores, wanted: Scores, tolerance: float) -> None:
    for name in OUTPUTS:
        np.testing.assert_allclose(seen[name], wanted[name], rtol=0, atol=tolerance, err_msg=name)


# --- what it is made of ---------------------------------------------------------------------------


def test_surface(model: onnx.ModelProto) -> None:
    def shapes(values: Any) -> dict[str, list[Any]]:
        assert all(v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for v in values)
        return {
            v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in values
        }

    assert shapes(model.graph.input) == {"waveform": ["batch", WINDOW]}
    assert shapes(model.graph.output) == {name: ["batch", *rest] for name, rest in OUTPUTS.items()}


def test_standard_operators_and_native_recurrences(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    found = Counter(node.op_type for node in model.graph.node)
    assert not {"Loop", "Scan", "If"} & set(found)
    assert [found[name] for name in ("RNN", "LSTM", "GRU")] == [1, 1, 1]
    assert found["TreeEnsembleClassifier"] == 2  # the base model and the meta-model
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}
    versions = {entry.domain: entry.version for entry in model.opset_import}
    assert versions == {"": OPSET, "ai.onnx.ml": ML_OPSET} == {"": 17, "ai.onnx.ml": 3}
    assert not model.functions


def banks(detector: onnx.ModelProto) -> Counter[tuple[int, int]]:
    """Count what logarithms over time are taken of, by (rows, frames)."""
    inferred = onnx.shape_inference.infer_shapes(detector).graph
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.value_info
    }
    logs = [shapes[node.output[0]] for node in inferred.node if node.op_type == "Log"]
    return Counter((s[1], s[2]) for s in logs if len(s) == 3 and s[2] > 6)  # 6: of statistics


def test_views_that_no_model_uses_are_not_computed(model: onnx.ModelProto, tmp_path: Path) -> None:
    """And no view twice, though a network and the statistics hear it."""
    mfcc, lfcc, top, long = (40, 201), (40, 667), (64, 201), (24, 126)
    narrow = [(24, 667), (40, 201)]
    parts = Counter([mfcc, lfcc, lfcc, top, *narrow])
    assert banks(model) == parts
    slow = ViewSpec("logmel", 24, 0, n_fft=1024, hop_samples=512)
    spec = FeatureSpec(views={**FeatureSpec().views, "slow": slow})
    for heard, wanted in (("lfcc", parts), ("slow", parts + Counter([long]))):
        one = untrained_bundle(tmp_path / heard, spec=spec, views=dict.fromkeys(VIEWS, heard))
        assert banks(onnx.load(one.graph_path("detector"))) == wanted
        some = sounds(2, WINDOW)
        np.testing.assert_allclose(
            Graph(one.graph_path("detector"))({"waveform": some})["models"],
            Chain(one).score_windows(some)[1],
            atol=1e-4,
        )


def test_statistics_far_off_say_no_more_than_the_limit(
    bundle: Bundle,
) -> None:
    """A pure tone's statistics lie outside everything that the scaler was fitted to."""
    tone = np.sin(np.arange(WINDOW) / 5).astype(np.float32)[None]
    features = Graph(bundle.graph_path("frontend"))({"waveform": tone})
    scaled = Graph(bundle.graph_path("scaler"))(features)
    gain = feature_weights_of(bundle.spec, FitConfig().feature_weights)
    assert np.abs(scaled["scaled_statistics"]).max() == STATISTICS_LIMIT * gain.max()
    assert max(np.abs(scaled[f"scaled_{view}"]).max() for view in VIEWS.values()) > STATISTICS_LIMIT
    fused = Graph(bundle.graph_path("detector"))({"waveform": tone})
    np.testing.assert_allclose(fused["models"], Chain(bundle).score_windows(tone)[1], atol=1e-5)


# --- what it gives --------------------------------------------------------------------------------


def test_it_equals_the_chain(bundle: Bundle, scores: Scores, waveforms: np.ndarray) -> None:
    llr, models, stack, channel, distance = Chain(bundle).score_windows(waveforms)
    p_spoof = p_spoof_of(llr, bundle.manifest["prior_spoof"])
    assert all(models.std(axis=0) > 1e-3) and p_spoof.std() > 1e-2
    assert channel is not None and distance is not None
    assert len(set(channel.argmax(axis=1).tolist())) > 1 and distance.std() > 1e-2
    wanted = {"llr": llr, "p_spoof": p_spoof, "models": models, "stack": stack}
    wanted |= {"channel": channel, "distance": distance}
    assert_same(scores, wanted, 1e-5)
    thresholds = bundle.manifest["thresholds"]
    verdicts = [[verdict_of(p, thresholds) for p in x] for x in (scores["p_spoof"], p_spoof)]
    assert verdicts[0] == verdicts[1] and len(set(verdicts[0])) > 1


def test_trees_see_the_same_bits(bundle: Bundle, scores: Scores, waveforms: np.ndarray) -> None:
    """A tree jumps at a threshold, however small the difference that crosses it."""
    _, models, *_ = Chain(bundle).score_windows(waveforms)
    column = bundle.models.index("xgboost")
    np.testing.assert_array_equal(scores["models"][:, column], models[:, column])


@pytest.mark.parametrize("choice", META_MODELS)
def test_the_chosen_meta_model_decides(choice: str, bundle: Bundle, tmp_path: Path) -> None:
    other = untrained_bundle(tmp_path / choice, choice=choice)
    seen = Graph(other.graph_path("detector"))({"waveform": sounds(3, WINDOW)})
    chosen = seen["stack"][:, META_MODELS.index(choice)].astype(np.float64)
    calibration = bundle.manifest["calibration"]
    wanted = -(calibration["slope"] * np.log(chosen / (1 - chosen)) + calibration["intercept"])
    np.testing.assert_allclose(seen["llr"], wanted, atol=1e-5)


def test_p_spoof_is_at_the_bundles_prior(bundle: Bundle, scores: Scores) -> None:
    wanted = p_spoof_of(scores["llr"], bundle.manifest["prior_spoof"])
    np.testing.assert_allclose(scores["p_spoof"], wanted, atol=1e-6)


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_every_optimisation_level_gives_the_same(
    level: Any, bundle: Bundle, scores: Scores, waveforms: np.ndarray
) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        bundle.graph_path("detector"), options, providers=["CPUExecutionProvider"]
    )
    seen = dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"waveform": waveforms}), strict=True))
    assert_same(seen, scores, 1e-4)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_batch_equals_its_windows(
    size: int, fused: Graph, scores: Scores, waveforms: np.ndarray
) -> None:
    parts = [fused({"waveform": waveforms[i : i + size]}) for i in range(0, 6, size)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in OUTPUTS}
    assert_same(joined, scores, 1e-5)


@pytest.mark.parametrize("gain", [0.2, 3.0, 100.0])
def test_level_does_not_matter(
    gain: float, fused: Graph, scores: Scores, waveforms: np.ndarray
) -> None:
    seen = fused({"waveform": np.float32(gain) * waveforms})
    np.testing.assert_allclose(seen["models"][:, :4], scores["models"][:, :4], atol=1e-4)
    np.testing.assert_allclose(seen["channel"], scores["channel"], atol=1e-4)


STRANGE = {
    "silence": np.zeros(WINDOW),
    "offset": np.ones(WINDOW),
    "one click": np.eye(1, WINDOW, 777)[0],
    "next to nothing": np.full(WINDOW, 1e-30),
    "absurdly loud": np.where(np.arange(WINDOW) % 9, 1e3, -1e3),
}


@pytest.mark.parametrize("waveform", STRANGE.values(), ids=STRANGE)
def test_strange_windows_give_finite_scores(waveform: np.ndarray, fused: Graph) -> None:
    seen = fused({"waveform": waveform[None].astype(np.float32)})
    assert all(np.isfinite(value).all() for value in seen.values())
    for name in ("p_spoof", "models", "stack"):
        assert ((seen[name] >= 0) & (seen[name] <= 1)).all()


# --- two stages -----------------------------------------------------------------------------------

NOBODY = {"doubt_llr": 0.0, "clean_from": 0.0}
EVERYBODY = {"doubt_llr": 1e9, "clean_from": 0.0}


@pytest.fixture(scope="module")
def cascades(tmp_path_factory: pytest.TempPathFactory, waveforms: np.ndarray) -> dict[str, Bundle]:
    """Bundles of two stages that differ in who is asked."""
    folder = tmp_path_factory.mktemp("cascades")
    nobody = untrained_bundle(folder / "nobody", second_stage=True, route=NOBODY)
    first = Chain(nobody).score_windows(waveforms)
    assert first.channel is not None
    doubt, p_clean = np.abs(first.llr), first.channel[:, 0]
    halfway = {
        "doubt": {"doubt_llr": float(np.sort(doubt)[2:4].mean()), "clean_from": 0.0},
        "channel": {"doubt_llr": 0.0, "clean_from": float(np.sort(p_clean)[2:4].mean())},
        "spared": {"doubt_llr": 0.0, "clean_from": 0.5, "spared": ["clean", "codec"]},
    }
    routes = {"everybody": EVERYBODY, **halfway}
    others = {
        name: untrained_bundle(folder / name, second_stage=True, route=route)
        for name, route in routes.items()
    }
    return {"nobody": nobody, **others}


CASES = ("nobody", "doubt", "channel", "spared", "everybody")


def is_asked(bundle: Bundle, first: Scores, channel: np.ndarray) -> np.ndarray:
    """Return which windows the second stage must be asked about."""
    route = bundle.manifest["route"]
    spared = [bundle.channels.index(name) for name in route.get("spared", ["clean"])]
    p_spared = channel[:, spared].sum(axis=1)
    return (np.abs(first["llr"]) < route["doubt_llr"]) | (p_spared < route["clean_from"])


@pytest.mark.parametrize("case", CASES)
def test_the_second_stage_equals_the_chain_where_it_is_asked(
    case: str, cascades: dict[str, Bundle], waveforms: np.ndarray
) -> None:
    bundle = cascades[case]
    seen = Graph(bundle.graph_path("detector"))({"waveform": waveforms})
    first = Graph(cascades["nobody"].graph_path("detector"))({"waveform": waveforms})
    wanted = Chain(bundle).score_windows(waveforms)
    named = {name: value for name, value in wanted._asdict().items() if value is not None}
    assert set(named) == set(seen) - {"p_spoof"}
    for name, values in named.items():  # NaN equals NaN
        np.testing.assert_allclose(seen[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    p_spoof = p_spoof_of(seen["llr"], bundle.manifest["prior_spoof"])
    np.testing.assert_allclose(seen["p_spoof"], p_spoof, atol=1e-6)
    asked = is_asked(bundle, first, seen["channel"])
    n_asked = {"nobody": [0], "everybody": [6], "spared": range(1, 6)}.get(case, [3])
    assert asked.sum() in n_asked
    np.testing.assert_array_equal(np.isnan(seen["models"][:, -1]), ~asked)
    assert np.isfinite(seen["models"][:, :-1]).all()
    for name in ("llr", "stack"):  # who is not asked keeps the first stage's answer
        np.testing.assert_array_equal(seen[name][~asked], first[name][~asked])
        assert (np.abs(seen[name] - first[name])[asked] > 1e-4).all()


@pytest.mark.parametrize("case", CASES)
def test_who_is_asked_beside_a_window_does_not_matter(
    case: str, cascades: dict[str, Bundle], waveforms: np.ndarray
) -> None:
    graph = Graph(cascades[case].graph_path("detector"))
    whole = graph({"waveform": waveforms})
    for rows in ([0], [3], [5, 4], [1, 3, 5], [2, 2, 0]):
        some = graph({"waveform": waveforms[rows]})
        for name, values in some.items():
            wanted = whole[name][rows]
            np.testing.assert_allclose(values, wanted, rtol=2e-5, atol=1e-5, err_msg=name)


def test_two_stages_are_standard_operators_without_branches(cascades: dict[str, Bundle]) -> None:
    model = onnx.load(cascades["doubt"].graph_path("detector"))
    onnx.checker.check_model(model, full_check=True)
    found = Counter(node.op_type for node in model.graph.node)
    assert not {"Loop", "Scan", "If"} & set(found)
    assert found["TreeEnsembleClassifier"] == 3  # the base model and both meta-models
    outputs = {v.name: v.type.tensor_type.shape.dim[1:] for v in model.graph.output}
    shapes = {name: tuple(d.dim_value for d in dims) for name, dims in outputs.items()}
    assert shapes == {**OUTPUTS, "models": (len(CLEAN_MODELS) + 1,)}


def test_a_recording_keeps_what_the_second_stage_said_of_some_windows(
    cascades: dict[str, Bundle], waveforms: np.ndarray
) -> None:
    bundle = cascades["doubt"]
    models = Chain(bundle).score_windows(waveforms).models[:, -1]
    detection = Detector(bundle).score(waveforms.ravel())
    assert detection.models["speech"] == pytest.approx(np.nanmean(models), abs=1e-4)
    never = Detector(cascades["nobody"]).score(waveforms.ravel())
    assert never.models["speech"] is None


@pytest.mark.parametrize("case", ["nobody", "everybody"])
@pytest.mark.parametrize("waveform", STRANGE.values(), ids=STRANGE)
def test_strange_windows_give_finite_scores_in_two_stages(
    case: str, waveform: np.ndarray, cascades: dict[str, Bundle]
) -> None:
    graph = Graph(cascades[case].graph_path("detector"))
    seen = graph({"waveform": waveform[None].astype(np.float32)})
    assert np.isnan(seen.pop("models")).any() == (case == "nobody")
    assert all(np.isfinite(value).all() for value in seen.values())


# --- parity refuses -------------------------------------------------------------------------------


class OneClip:
    """As much of `Recordings` as parity asks for."""

    def __init__(self, path: Path) -> None:
        self.corpus, self.rows, self.path = self, [None], path

    def audio_path(self, row: None) -> Path:
        return self.path


def test_a_detector_that_differs_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sounds(1, 3 * WINDOW)[0], SAMPLE_RATE_HZ)
    clip: Any = OneClip(tmp_path / "a.wav")
    rows = np.array([0])
    require_parity(fused_parity(bundle, clip, rows))
    other = untrained_bundle(tmp_path / "other", calibration={"slope": 0.8, "intercept": 0.2})
    bundle.graph_path("detector").rename(tmp_path / "kept.onnx")
    try:
        other.graph_path("detector").rename(bundle.graph_path("detector"))
        with pytest.raises(BonafideError, match="'detector'") as error:
            require_parity(fused_parity(bundle, clip, rows))
    finally:
        (tmp_path / "kept.onnx").rename(bundle.graph_path("detector"))
    assert error.value.code == "parity_failed"


def test_a_window_on_the_bar_may_go_either_way(
    cascades: dict[str, Bundle], waveforms: np.ndarray, tmp_path: Path
) -> None:
    """Rounding decides there; farther off, a window that goes another way is a difference."""
    bundle = cascades["doubt"]
    llr = Chain(cascades["nobody"]).score_windows(waveforms).llr
    nearest = float(np.sort(np.abs(llr))[2])
    for bar, equal in ((nearest * (1 + 1e-6), True), (nearest * 1.01, False)):
        route = {**bundle.manifest["route"], "doubt_llr": bar}
        moved = Bundle(bundle.folder, {**bundle.manifest, "route": route})
        chain = Chain(moved)
        asked = chain.score_windows(waveforms).models[:, -1]
        turned = np.isfinite(asked) ^ (np.abs(llr) == nearest)
        found = chain.score_windows(waveforms, asked=turned).models[:, -1]
        np.testing.assert_array_equal(np.isfinite(found), turned if equal else np.isfinite(asked))


# --- whole recordings -----------------------------------------------------------------------------


def test_the_detector_needs_no_other_graph(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "detector.onnx").write_bytes(bundle.graph_path("detector").read_bytes())
    alone = Detector(Bundle(tmp_path, bundle.manifest))
    sound = sounds(1, WINDOW)[0]
    assert alone.score(sound) == Detector(bundle).score(sound)


def test_segments_are_the_pieces(bundle: Bundle, tmp_path: Path) -> None:
    sound = sounds(1, 20 * WINDOW + SAMPLE_RATE_HZ)[0]
    soundfile.write(tmp_path / "long.wav", sound, SAMPLE_RATE_HZ, subtype="FLOAT")
    detector = Detector(bundle)
    whole = detector.score(tmp_path / "long.wav")
    assert len(whole.segments) == 21
    for segment in whole.segments:
        start = round(segment.start_s * SAMPLE_RATE_HZ)
        piece = detector.score(sound[start : start + WINDOW])
        assert segment.llr == pytest.approx(piece.llr, abs=1e-5)
        assert segment.p_spoof == pytest.approx(piece.p_spoof, abs=1e-5)
    assert whole.llr == pytest.approx(np.mean([s.llr for s in whole.segments]), abs=1e-6)


PEAK = """
import resource, sys
from pathlib import Path
from bonafide.bundle import read_bundle
from bonafide.detector import Detector
scored = Detector(read_bundle(Path(sys.argv[1]))).score(Path(sys.argv[2]))
print(len(scored.segments), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_recording(bundle: Bundle, tmp_path: Path) -> None:
    """Decoded, the longer file alone would take over 70 MB more."""
    minute = np.tile(sounds(1, WINDOW)[0], 15)
    peaks_kb = []
    for minutes in (2, 20):
        path = tmp_path / f"{minutes}.flac"
        soundfile.write(path, np.tile(minute, minutes), SAMPLE_RATE_HZ)
        words = [sys.executable, "-c", PEAK, str(bundle.folder), str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        n_segments, peak_kb = map(int, done.stdout.split())
        assert n_segments == 15 * minutes
        peaks_kb.append(peak_kb)
    assert peaks_kb[1] - peaks_kb[0] < 20_000
