"""`bonafide adapt`: a final layer that gains where there is something to gain, and else is none."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import soundfile
from click.testing import CliRunner, Result

from bonafide import adapt
from bonafide.bundle import ADAPTER, Bundle, read_bundle
from bonafide.cli.root import cli
from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus, Row
from bonafide.detector import Detector
from bonafide.errors import AudioError, BundleError, ConfigError, CorpusError, RegistryError
from bonafide.evaluation.metrics import auc, cllr, eer
from bonafide.export.adapted import adapted_graph, adapter_graph
from bonafide.export.chain import Chain
from bonafide.export.rebuild import rebuild
from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import SAMPLE_RATE_HZ, FeatureSpec
from bonafide.judging import PARTS_FROM, p_spoof_of
from bonafide.lineage.search import made_from_recording
from bonafide.lineage.tree import bundle_tree
from bonafide.monitoring.expected import EXPECTED
from bonafide.registry import bundle_folder, find_bundle, production_folder, promote
from bonafide.runtime import Graph
from bonafide.simulation.voices import Voice, speak
from bonafide.training import adaptation, clips
from bonafide.training.clips import WindowDetector
from bonafide.training.final_layer import (
    NOTHING_MOVES,
    STRENGTHS,
    ClipScores,
    FinalLayer,
    Strength,
    choose_strength,
    fit_layer,
    group_clips,
    measure_gain,
    nested_llr,
)
from bonafide.training.recordings import MEASURES, Quarantine, Recordings
from research import adaptation as research
from tests.helpers.moments import ALL

SHIPPED = bundle_folder(Path("/nowhere"), "default")
NAMED = f"{read_bundle(SHIPPED).identity['name']}-adapted"
N_CLIPS = 120
ALONE = np.arange(N_CLIPS)
SPOOF = ALONE % 2 == 0


def calibrated(separation: float = 2.0, seed: int = 0) -> np.ndarray:
    """Draw llr that are what they say: of two normal distributions, as far apart as wide."""
    noise = np.random.default_rng(seed).normal(size=N_CLIPS)
    return separation**2 / 2 * np.where(SPOOF, -1, 1) + separation * noise


def scored(llr: np.ndarray, models: np.ndarray | None = None) -> ClipScores:
    noise = np.random.default_rng(9).normal(size=(len(llr), 3))
    odds = noise if models is None else models
    return ClipScores(llr, odds, np.ones_like(odds))


# --- the fit --------------------------------------------------------------------------------------


def test_where_nothing_is_to_be_gained_next_to_nothing_moves() -> None:
    llr = calibrated()
    after = nested_llr(scored(llr), SPOOF, ALONE)
    assert np.abs(after - llr).mean() < 0.3
    assert not measure_gain(llr, after, SPOOF, ALONE).shown


@pytest.mark.parametrize("seed", range(4 if ALL else 2))
def test_noise_shows_no_gain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = scored(rng.normal(size=N_CLIPS), rng.normal(size=(N_CLIPS, 8)))
    gain = measure_gain(scores.llr, nested_llr(scores, SPOOF, ALONE), SPOOF, ALONE)
    assert not gain.shown and gain.after["cllr"].value > 0.95


CHANGES = [(2.5, -4.0), (0.4, 1.0), (1.0, 3.0), (3.0, 0.0)]


@pytest.mark.parametrize(("scale", "shift"), CHANGES if ALL else CHANGES[:2])
def test_a_score_that_is_shifted_or_scaled_is_recovered(scale: float, shift: float) -> None:
    llr = calibrated()
    scores = scored(scale * llr + shift)
    strength = choose_strength(scores, SPOOF, ALONE)
    found = fit_layer(scores, SPOOF, strength).llr(scores)
    assert np.polyfit(llr, found, 1) == pytest.approx([1.0, 0.0], abs=0.5)
    gain = measure_gain(scores.llr, nested_llr(scores, SPOOF, ALONE), SPOOF, ALONE)
    assert gain.shown and gain.after["cllr"].value < cllr(llr, SPOOF) + 0.05


def test_base_models_that_know_more_are_listened_to() -> None:
    known = -calibrated(separation=3.0, seed=1)
    models = np.column_stack([known, np.random.default_rng(2).normal(size=N_CLIPS)])
    scores = scored(calibrated(separation=0.5), models)
    strength = choose_strength(scores, SPOOF, ALONE)
    layer = fit_layer(scores, SPOOF, strength)
    assert strength.models is not None
    assert layer.weights[0] < -0.3 and abs(layer.weights[1]) < 0.3
    after = nested_llr(scores, SPOOF, ALONE)
    assert eer(after, SPOOF) < eer(scores.llr, SPOOF) / 2


def test_the_stronger_the_penalty_the_less_moves() -> None:
    scores = scored(3 * calibrated() + 2)
    layers = [fit_layer(scores, SPOOF, strength) for strength in STRENGTHS[:6]]
    moved = [np.hypot(layer.slope - 1, layer.offset) for layer in layers]
    assert STRENGTHS[0] == NOTHING_MOVES and moved[0] == 0.0
    assert moved == sorted(moved) and len(set(moved)) == 6


def test_no_score_is_turned_around() -> None:
    scores = scored(-calibrated())
    for strength in (Strength(0.01, None), Strength(0.01, 0.01)):
        assert fit_layer(scores, SPOOF, strength).slope == pytest.approx(0.0, abs=1e-6)
    after = nested_llr(scores, SPOOF, ALONE)
    gain = measure_gain(scores.llr, after, SPOOF, ALONE)
    assert gain.turned and auc(scores.llr, SPOOF) < 0.1


def test_clips_that_are_all_told_apart_make_no_one_sure() -> None:
    """Sixty of a label say that one in sixty-two may be wrong, and no more."""
    llr = np.where(SPOOF, -1.0, 1.0) * (1 + ALONE / N_CLIPS)
    for scale in (1, 30):
        layer = fit_layer(scored(scale * llr), SPOOF, Strength(0.01, 0.01))
        assert 2 < np.median(np.abs(layer.llr(scored(scale * llr)))) < np.log(61) + 1
    assert np.abs(nested_llr(scored(llr), SPOOF, ALONE)).max() < 8


def test_a_clip_is_the_mean_of_its_windows() -> None:
    """So that what was fitted on clips is what serving computes, window by window."""
    rng = np.random.default_rng(0)
    p_spoof = rng.uniform(size=(7, 2))
    p_spoof[[1, 4], 1] = np.nan
    windows = ClipScores.of_windows(rng.normal(size=7), p_spoof)
    layer = FinalLayer(0.8, 0.3, (0.5, -0.7), (0.2, 1.1))
    assert layer.llr(windows.mean()) == pytest.approx(layer.llr(windows).mean())
    nobody = replace(windows, log_odds=0 * windows.log_odds, asked=0 * windows.asked)
    np.testing.assert_allclose(layer.llr(nobody), 0.8 * windows.llr + 0.3)


def test_a_model_that_was_never_asked_gets_no_weight() -> None:
    scores = scored(3 * calibrated())
    scores.log_odds[:, 1] = scores.asked[:, 1] = 0.0
    layer = fit_layer(scores, SPOOF, Strength(0.01, 0.01))
    assert layer.weights[1] == layer.centre[1] == 0.0 != layer.weights[0]


# --- what stays whole -----------------------------------------------------------------------------


def corpus_of(sources: int, speakers: int) -> Corpus:
    """Return clips whose labels share sources and speakers, of which there are so many; 0: none."""
    rows = [
        Row(
            f"{number}.wav",
            "spoof" if SPOOF[number] else "bonafide",
            source=f"source {number // 2 % sources}" if sources else "-",
            speaker=f"speaker {number // 2 % speakers}" if speakers else "-",
        )
        for number in range(N_CLIPS)
    ]
    return Corpus(Path("/nowhere"), rows)


@pytest.mark.parametrize(
    ("sources", "speakers", "name", "count"),
    [
        (12, 12, "source and speaker", 12),
        (6, 0, "source and speaker", 6),
        (1, 10, "speaker", 10),
        (3, 4, "recording", N_CLIPS),
        (0, 0, "recording", N_CLIPS),
    ],
)
def test_the_coarsest_groups_that_can_be_split(
    sources: int, speakers: int, name: str, count: int
) -> None:
    grouping, group = group_clips(corpus_of(sources, speakers))
    assert (grouping, len(set(group))) == (name, count)


def test_groups_are_judged_by_who_never_heard_them() -> None:
    """What tells the clips of a group apart from others says nothing of a new group."""
    group = ALONE // 2 % 12
    own = 3 * np.eye(12)[group] * np.where(SPOOF, 1, -1)[:, None]
    scores = scored(calibrated(0.2), own)
    alone = nested_llr(scores, SPOOF, ALONE)
    whole = nested_llr(scores, SPOOF, group)
    assert cllr(alone, SPOOF) < 0.7 < 0.9 < cllr(whole, SPOOF)


def test_a_label_that_hangs_on_one_group_is_refused() -> None:
    with pytest.raises(CorpusError, match="no clip of one label is left") as error:
        nested_llr(scored(calibrated()), SPOOF, np.where(SPOOF, ALONE, -1))
    assert error.value.code == "too_few_groups"


# --- the graphs -----------------------------------------------------------------------------------

LAYER = FinalLayer(0.7, -0.4, (0.3, -0.2, 0.1), (0.5, -1.0, 0.0))


def some_scores(n: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    models = rng.uniform(size=(n, 3))
    models[0] = (0.0, 1.0, np.nan)
    models[rng.uniform(size=models.shape) < 0.2] = np.nan
    scores = {"llr": rng.normal(size=n), "models": models}
    return {name: values.astype(np.float32) for name, values in scores.items()}


def test_the_adapter_is_the_layer() -> None:
    scores = some_scores()
    seen = Graph(adapter_graph(LAYER).SerializeToString())(scores)["adapted"]
    wanted = LAYER.llr(ClipScores.of_windows(scores["llr"], scores["models"]))
    np.testing.assert_allclose(seen, wanted, atol=2e-6)


def little_detector() -> onnx.ModelProto:
    """Build a detector whose window is its scores: llr, three base models, a channel posterior."""
    graph = GraphBuilder("detector")
    window = graph.input("waveform", ["batch", 5])
    parts = graph.add_many("Split", 3, window, graph.integers([1, 3, 1]), axis=1)
    llr = graph.add("Squeeze", parts[0], graph.integers([1]))
    graph.output("llr", llr, ["batch"])
    graph.output("p_spoof", graph.add("Sigmoid", graph.add("Neg", llr)), ["batch"])
    graph.output("models", parts[1], ["batch", 3])
    graph.output("channel", parts[2], ["batch", 1])
    return graph.model()


def test_all_but_the_llr_passes_through() -> None:
    scores, channel = some_scores(), np.linspace(0, 1, 40, dtype=np.float32)[:, None]
    window = np.column_stack([scores["llr"], scores["models"], channel])
    model = adapted_graph(little_detector(), adapter_graph(LAYER), 0.3)
    adapted = Graph(model.SerializeToString())
    assert adapted.outputs == ("llr", "p_spoof", "models", "channel")
    assert adapted.shapes["models"] == ("batch", 3)
    seen = adapted({"waveform": window})
    wanted = LAYER.llr(ClipScores.of_windows(scores["llr"], scores["models"]))
    np.testing.assert_allclose(seen["llr"], wanted, atol=2e-6)
    np.testing.assert_allclose(seen["p_spoof"], p_spoof_of(wanted, 0.3), atol=1e-6)
    np.testing.assert_array_equal(seen["models"], scores["models"])
    np.testing.assert_array_equal(seen["channel"], channel)


# --- from clips to a bundle -----------------------------------------------------------------------


def clip(rng: np.random.Generator, noise: float) -> np.ndarray:
    voice = speak(rng, Voice.draw(rng), 2 * SAMPLE_RATE_HZ)
    sound = 0.3 * voice / np.abs(voice).max() + noise * rng.standard_normal(len(voice))
    return np.asarray(sound, dtype=np.float32)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty clips with and thirty without noise, and one that is no audio.

    Real are those that sound more like it to the shipped detector.
    """
    folder = tmp_path_factory.mktemp("mine")
    rng, detector = np.random.default_rng(0), Detector(SHIPPED)
    kinds = [[clip(rng, noise) for _ in range(30)] for noise in (0.0, 0.01)]
    kinds.sort(key=lambda sounds: np.mean([detector.score(sound).llr for sound in sounds]))
    for label, sounds in zip(("fake", "real"), kinds, strict=True):
        (folder / label).mkdir()
        for number, sound in enumerate(sounds):
            soundfile.write(folder / label / f"{number:02}.wav", sound, SAMPLE_RATE_HZ)
    (folder / "real" / "broken.wav").write_text("no audio")
    return folder


def run(root: Path, *words: object) -> Result:
    """Run the command in a home; what it returns is its exit code."""
    environment = {"BONAFIDE_HOME": str(root)}
    words = ("adapt", *words, "--quiet")
    return CliRunner().invoke(cli, list(map(str, words)), env=environment, standalone_mode=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `done` adapts the shipped bundle."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def done(mine: Path, root: Path) -> Result:
    result = run(root, "--corpus", mine, "--bundle", "default", "--json")
    assert result.exception is None, result.exception
    return result


@pytest.fixture(scope="module")
def bundle(done: Result, root: Path) -> Bundle:
    return find_bundle(root, f"{NAMED}:1")


def test_what_is_said(done: Result) -> None:
    assert done.return_value == 1  # one clip is broken
    said = json.loads(done.stdout)
    assert said["bundle"]["name"] == NAMED and said["bundle"]["version"] == "1"
    assert said["parent"] == read_bundle(SHIPPED).identity
    found = said["adaptation"]
    assert found["clips"] == {"bonafide": 30, "spoof": 30}
    assert found["set_aside"] == {"not_audio": 1}
    assert found["change"]["cllr"]["high"] < 0 and found["after"]["cllr"]["value"] < 1
    assert [each["code"] for each in said["set_aside"]] == ["not_audio"]
    assert "broken.wav" in done.stderr and "single clips" in " ".join(said["notes"])


def test_the_manifest_and_the_card(bundle: Bundle, root: Path) -> None:
    shipped, manifest = read_bundle(SHIPPED), bundle.manifest
    assert manifest["parent"] == shipped.identity and bundle.parts == (*shipped.parts, ADAPTER)
    for name in ("models", "calibration", "prior_spoof", "config", "corpus"):
        assert manifest[name] == shipped.manifest[name]
    assert PARTS_FROM not in manifest["thresholds"]
    assert manifest["metrics"]["rows"] == "The user's own clips, cross-validated"
    assert manifest["metrics"]["cllr"] == manifest["adaptation"]["after"]["cllr"]
    assert list(manifest["adaptation"]["weights"]) == manifest["models"]
    assert not {"audit", "zenml"} & manifest.keys()
    assert EXPECTED in shipped.manifest["files"] and EXPECTED not in manifest["files"]
    card = (bundle.folder / "card.md").read_text()
    assert card.startswith(f"# {NAMED}\n\n## Adapted to own clips\n")
    assert "60 clips" in card and card.count("\n# ") == 0 and "## Intended use" in card
    assert production_folder(root) is None


def test_its_graph_is_the_chain_of_its_parts(bundle: Bundle, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    waveforms = rng.standard_normal((3, bundle.spec.window_samples)).astype(np.float32)
    llr, models, stack = Detector(bundle).score_windows(waveforms)[:3]
    for seen, wanted in zip(
        (llr, models, stack), Chain(bundle).score_windows(waveforms)[:3], strict=True
    ):
        np.testing.assert_allclose(seen, wanted, atol=1e-4)
    before = Detector(SHIPPED).score_windows(waveforms)
    np.testing.assert_allclose(models, before[1], atol=1e-6)
    entries = bundle.manifest["adaptation"]
    numbers = (tuple(entries[name].values()) for name in ("weights", "centre"))
    layer = FinalLayer(entries["slope"], entries["offset"], *numbers)
    wanted = layer.llr(ClipScores.of_windows(before[0], before[1]))
    np.testing.assert_allclose(llr, wanted, atol=1e-4)
    rebuilt = rebuild(bundle, tmp_path / "rebuilt", waveforms, {})
    np.testing.assert_allclose(Detector(rebuilt).score_windows(waveforms)[0], llr, atol=1e-5)


def test_clips_are_scored_as_serving_does(bundle: Bundle) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 9 * SAMPLE_RATE_HZ).astype(np.float32)
    for each in (read_bundle(SHIPPED), bundle):
        scores = WindowDetector(each).score_clip(sound)
        assert len(scores.llr) == 1
        assert scores.llr[0] == pytest.approx(Detector(each).score(sound).llr, abs=1e-6)


def test_the_same_clips_give_the_same_bundle(bundle: Bundle, mine: Path, root: Path) -> None:
    """Under the name that it has; it goes into production past the gate alone."""
    again = run(root, "--corpus", mine, "--bundle", "default")
    assert again.exception is None and again.return_value == 1
    assert f"Bundle: {NAMED}:1, made from " in again.stdout
    said = f"no gate passes it: bonafide models promote {NAMED}:1 --override REASON"
    assert said in again.stdout and "EER" in again.stdout
    with pytest.raises(RegistryError, match="no report of the gate"):
        promote(root, bundle)
    promote(root, bundle, override="heard beside the old one")
    assert production_folder(root) == bundle.folder
    assert find_bundle(root).digest() == bundle.digest()


def test_where_it_came_from(bundle: Bundle, root: Path, mine: Path) -> None:
    clips, *_ = bundle_tree(bundle).children
    assert clips.name == "own clips"
    n_clips = sum(bundle.manifest["adaptation"]["clips"].values())
    assert clips.facts["training"] == n_clips and clips.facts["set_aside"] == 1
    parent = read_bundle(SHIPPED).identity
    names = [child.name for child in bundle_tree(bundle).children]
    assert f"adapted from bundle {parent['name']}:{parent['version']}" in names
    recording = read_corpus(mine).audio_path(read_corpus(mine).rows[0])
    (heard, *_) = made_from_recording(root, str(recording)).children
    assert heard.name == f"bundle {NAMED}:1" and heard.facts["heard"]


# --- errors ---------------------------------------------------------------------------------------


def test_an_adapted_bundle_is_not_adapted(bundle: Bundle, mine: Path, root: Path) -> None:
    origin = "{name}:{version}".format(**bundle.manifest["parent"])
    with pytest.raises(BundleError, match=f"adapt {origin}") as error:
        adapt(mine, bundle, root=root)
    assert error.value.code == "already_adapted"


def test_a_bundle_of_an_earlier_format_is_refused(tmp_path: Path) -> None:
    shipped = read_bundle(SHIPPED)
    old = {key: value for key, value in shipped.manifest.items() if key != "channels"}
    with pytest.raises(BundleError, match="knows no channels") as error:
        adapt(tmp_path, Bundle(SHIPPED, old), root=tmp_path)
    assert error.value.code == "old_format"


def some_clips(n_real: int, n_spoof: int) -> Corpus:
    labels = ["bonafide"] * n_real + ["spoof"] * n_spoof
    return Corpus(Path("/nowhere"), [Row(f"{i}.wav", label) for i, label in enumerate(labels)])


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file be a recording that scores what `said` was told to."""

    def ingest(corpus: Corpus, *, progress: object) -> tuple[Recordings, Quarantine]:
        measures = np.zeros((len(corpus), len(MEASURES)))
        sounds = np.array([row.path for row in corpus])
        return Recordings(corpus, sounds, measures), Quarantine([], len(corpus))

    monkeypatch.setattr(clips, "ingest", ingest)


def scores_of(llr: np.ndarray) -> list[ClipScores]:
    return [ClipScores(llr[[row]], np.zeros((1, 5)), np.ones((1, 5))) for row in range(len(llr))]


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("n_real", "n_spoof"), [(24, 25), (9, 60), (60, 9)])
def test_few_clips(
    n_real: int, n_spoof: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [*scores_of(np.zeros(n_real + n_spoof)), AudioError("no_speech", "nothing in it")]
    monkeypatch.setattr(clips, "score_clips", lambda *_, **__: found)
    corpus = some_clips(n_real, n_spoof + 1)
    with pytest.raises(CorpusError, match=r"at least 50.* 10 of each label.* no_speech 1") as error:
        adapt(corpus, SHIPPED, root=tmp_path)
    assert error.value.code == "too_few_clips"
    assert f"{n_real} bonafide and {n_spoof} spoof" in error.value.message


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("llr", "code", "match"),
    [
        (np.repeat([-2.0, 2.0], 30), "reversed_labels", "labels exchanged"),
        (np.tile([-2.0, 2.0], 30), "no_gain", "does not tell them apart"),
        (np.repeat([9.0, -9.0], 30), "no_gain", "that excludes no loss"),
    ],
    ids=["reversed", "no information", "nothing better"],
)
def test_no_gain(
    llr: np.ndarray, code: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "score_clips", lambda *_, **__: scores_of(llr))
    with pytest.raises(CorpusError, match=match) as error:
        adapt(some_clips(30, 30), SHIPPED, root=tmp_path)
    assert error.value.code == code
    assert not (tmp_path / "bundles").exists()


def test_a_name_that_is_none(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="adapted bundle: name"):
        adapt(mine, SHIPPED, name="My Own", root=tmp_path)


def test_many_clips_are_told_to_train(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = SimpleNamespace(grouping="speaker")
    assert adaptation._notes(some_clips(250, 250), fitted) == ()
    (note,) = adaptation._notes(some_clips(251, 250), fitted)
    assert "bonafide train" in note


# --- held-out sources as users --------------------------------------------------------------------


def held_out() -> Corpus:
    """Return three sources of 60, 40 and 40 clips; the last has too few human ones."""
    sizes = {"b": (30, 30), "a": (12, 28), "c": (5, 35)}
    rows = [
        Row(f"{source}{number}.wav", "spoof" if number >= real else "bonafide", source=source)
        for source, (real, spoof) in sizes.items()
        for number in range(real + spoof)
    ]
    return Corpus(Path("/nowhere"), rows[::-1])


def test_the_largest_sources_with_both_labels_are_users() -> None:
    corpus = held_out()
    users = research.largest_sources(corpus)
    assert [corpus.rows[rows[0]].source for rows in users] == ["b", "a"]
    assert [len(rows) for rows in users] == [60, 40]
    assert len(research.largest_sources(corpus, 1)) == 1


@pytest.mark.parametrize(("size", "counts"), [(24, (12, 12)), (30, (12, 18)), (99, (12, 28))])
def test_some_clips_are_as_even_as_they_can_be(size: int, counts: tuple[int, int]) -> None:
    is_spoof = np.arange(40) >= 12
    chosen = research.some_clips(is_spoof, size)
    assert len(set(chosen)) == len(chosen) == sum(counts)
    assert (int((~is_spoof[chosen]).sum()), int(is_spoof[chosen].sum())) == counts


def test_users_are_judged_and_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = held_out()
    signs, noise = np.where(corpus.is_spoof, -1, 1), np.random.default_rng(0)
    llr = 2 * signs + 2 * noise.normal(size=len(corpus)) + 4
    models = noise.uniform(size=(len(corpus), 2))
    paths = corpus.column("path")
    order = noise.permutation(len(corpus))
    np.savez(tmp_path / "s.npz", path=paths[order], llr=llr[order], models=models[order])
    scores = research.read_scores(tmp_path / "s.npz", corpus)
    np.testing.assert_allclose(scores.llr, llr)
    users = list(research.judge_users(corpus, scores, research.largest_sources(corpus), 50))
    assert [user.clips for user in users] == ["25 + 25", "12 + 28"]
    assert users[0].gain.shown and users[0].value("cllr", "kept") < users[0].value("cllr", "before")
    (tmp_path / "manifest.csv").write_text(corpus.to_csv())
    words = ("--corpus", tmp_path / "manifest.csv", "--scores", tmp_path / "s.npz")
    research.main(list(map(str, words)))
    printed = capsys.readouterr().out
    assert research.summary(users) in printed and printed.count("mean of 2 users") == 6
    with pytest.raises(SystemExit, match=r"1 clips, as of new\.wav"):
        research.read_scores(tmp_path / "s.npz", Corpus(tmp_path, [Row("new.wav", "spoof")]))


def test_each_fold_is_scored_by_its_own_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = np.array([1, 0, 1, 0])
    for number in (0, 1):
        (tmp_path / f"1-{number}" / "default").mkdir(parents=True)
        layer = FinalLayer(10.0**number, 0.0, (0.0,) * 3, (0.0,) * 3)
        model = adapted_graph(little_detector(), adapter_graph(layer), 0.5)
        onnx.save(model, tmp_path / f"1-{number}" / "default" / "detector.onnx")
    manifest = {"feature_spec": FeatureSpec().to_json()}
    monkeypatch.setattr(research, "read_bundle", lambda folder: Bundle(folder, manifest))
    monkeypatch.setattr(research, "read_protocol", lambda _: SimpleNamespace(fold=fold))

    def windows(paths: list[Path], _: object) -> np.ndarray:
        return np.array([[float(path.stem), 0.5, 0.5, 0.5, 0.0] for path in paths], np.float32)

    monkeypatch.setattr(research, "training_windows", windows)
    corpus = Corpus(tmp_path, [Row(f"{number}.wav", "spoof") for number in (1, 2, 3, 4)])
    scores = research.by_detectors(tmp_path, 1, corpus)
    np.testing.assert_allclose(scores.llr, [10.0, 2.0, 30.0, 4.0])
