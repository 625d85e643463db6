"""The protocol: its folds, its editions, its runs and fits, and the scores that are kept."""

import importlib
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from bonafide.corpora import read_corpus
from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import CorpusError
from bonafide.features.spec import ENCODER, NARROW, STATISTICS, FeatureSpec
from bonafide.models.config import FeatureWeights
from bonafide.process.pool import silent
from bonafide.training.config import (
    AugmentationConfig,
    Config,
    parse_config,
    read_config,
)
from bonafide.training.fitting import train_base
from bonafide.training.folds import Folds
from bonafide.training.recordings import MEASURES, Recordings
from bonafide.training.routing import Router
from bonafide.training.store import AUGMENTATION, SPEC, FeatureStore
from research import held_out
from research.ablations import (
    MODELS,
    SEEDS,
    Run,
    left_out_columns,
    left_out_copies,
    runs,
    seed_run,
)
from research.changes import CONDITIONS
from research.detectors import design_of, fitted_without, others, without_router
from research.folds import (
    PROTOCOL,
    extend_protocol,
    read_editions,
    read_protocol,
    source_id,
    speaker_folds,
)
from research.judging import BUNDLES, REFERENCE, SHIPPED
from research.protocol import CONFIG, SCORES
from research.workspace import Workspace, own_column


def corpus_of(*rows: tuple[str, str]) -> Corpus:
    return Corpus(
        Path("/nowhere"),
        [
            Row(path=f"{i}.wav", label=("bonafide", "spoof")[i % 2], source=a, speaker=b)
            for i, (a, b) in enumerate(rows)
        ],
    )


def protocol_of(path: Path, **folds: int) -> Path:
    lines = [f"{source_id(name)},{fold},2" for name, fold in folds.items()]
    path.write_text("\n".join(["source,fold,edition", *lines]) + "\n")
    return path


def test_the_protocol_keeps_sources_and_speakers_of_the_real_corpus_whole(
    corpus_folder: Path,
) -> None:
    corpus = read_corpus(corpus_folder / "manifest.csv")
    folds = read_protocol(corpus)
    for group in np.unique(folds.group):
        assert len(np.unique(folds.fold[folds.group == group])) == 1
    sizes = np.bincount(folds.fold)
    assert len(sizes) == 4 and sizes.min() > len(corpus) / 5
    for fold in range(4):
        assert 0.3 < corpus.is_spoof[folds.fold == fold].mean() < 0.7
    speakers = speaker_folds(corpus)
    shared = set(corpus.column("source")[speakers.fold == 0].tolist())
    assert shared & set(corpus.column("source")[speakers.fold != 0].tolist())


@pytest.mark.parametrize(("model", "again"), [("gru", True), ("xgboost", False)])
def test_a_fit_counts_only_with_the_settings_it_was_made_with(
    tmp_path: Path, model: str, again: bool
) -> None:
    config = read_config(CONFIG)
    recordings, store = cast(Recordings, None), FeatureStore(tmp_path / "features")
    workspace = Workspace(config, recordings, {}, tmp_path)
    vars(workspace)["store"] = store
    run = Run("seed 1")
    kept = workspace.path(run, model, (0,), ".json")
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(workspace.settings(run, model, (0,))))
    assert workspace.is_fitted(run, model, (0,))
    assert not workspace.is_fitted(run, model, (1,))
    assert not workspace.is_fitted(run, model, (0, 1))
    assert not workspace.is_fitted(replace(run, without=("lfcc",)), model, (0,))
    longer = config.fit.model_copy(update={"epochs": 2 * config.fit.epochs})
    other = replace(workspace, config=config.model_copy(update={"fit": longer}))
    vars(other)["store"] = store
    assert other.is_fitted(run, model, (0,)) is not again  # trees know nothing of epochs


N_ROWS = 96


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with trees of a few rows in four folds, and two augmented copies of each."""
    folder = tmp_path_factory.mktemp("workspace")
    corpus = corpus_of(*((f"s{i % 8}", f"p{i % 8}") for i in range(N_ROWS)))
    hashes = np.array([f"{i:064x}" for i in range(N_ROWS)])
    recordings = Recordings(corpus, hashes, np.zeros((N_ROWS, len(MEASURES))))
    store = FeatureStore(folder / "features")
    store.folder.mkdir()
    (store.folder / SPEC).write_text(json.dumps(FeatureSpec().to_json()))
    copies = {"channels": {"clean": 1, "telephone": 1}}
    text = AugmentationConfig.model_validate(copies).model_dump_json()
    (store.folder / AUGMENTATION).write_text(text)
    rng, spec = np.random.default_rng(0), FeatureSpec()
    for name in (STATISTICS, NARROW):
        values = rng.normal(size=(3 * N_ROWS, spec.vectors[name]))
        values[:, :40] += np.tile(corpus.is_spoof, 3)[:, None]
        values[2 * N_ROWS :, 40:80] += 3.0  # a telephone is heard
        np.save(store.folder / f"{name}.npy", values.astype(np.float32))
    trees = {"family": "xgboost", "trees": 8}
    models = {"xgboost": {"trees": 8}, "both": {**trees, "hears": [STATISTICS, NARROW]}}
    given = {"models": models, "resamples": 50, "augmentation": copies}
    config, source = parse_config(given, "test"), np.arange(N_ROWS) % 8
    made = Workspace(config, recordings, {"sources": Folds(source, source // 2)}, folder)
    vars(made)["store"] = store
    return made


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit here: trees need no process of their own, which takes seconds to start."""

    def run(target: str, arguments: dict[str, Any]) -> dict[str, Any]:
        module, _, name = target.partition(":")
        function = getattr(importlib.import_module(module), name)
        return dict(function(progress=silent, **json.loads(json.dumps(arguments))))

    monkeypatch.setattr("research.workspace.run_isolated", run)


NESTED = Run("small", models=("xgboost",), nested=True)


def test_a_fit_is_the_products_own(small: Workspace) -> None:
    small.fit(NESTED)
    scores, folds = small.scores(NESTED, "xgboost"), small.folds["sources"]
    product = train_base(
        "xgboost",
        small.config.model("xgboost"),
        small.config.fit,
        small.store,
        folds,
        small.recordings.corpus,
        seed=NESTED.seed,
    )
    np.testing.assert_array_equal(own_column(scores, folds.fold), product.oof)
    np.testing.assert_array_equal(scores, product.nested)


def test_a_nested_score_is_of_a_model_that_saw_neither_fold(small: Workspace) -> None:
    small.fit(NESTED)
    scores, fold_of = small.scores(NESTED, "xgboost"), small.folds["sources"].fold
    assert scores.shape == (N_ROWS, 4, 3) and np.isfinite(scores).all()
    for one, other in combinations(range(4), 2):
        kept = np.load(small.path(NESTED, "xgboost", (one, other), ".npy"))
        seen = fold_of[np.isin(fold_of, (one, other))]
        np.testing.assert_array_equal(scores[fold_of == one, other], kept[seen == one])
        np.testing.assert_array_equal(scores[fold_of == other, one], kept[seen == other])
    plain = replace(NESTED, nested=False)  # finds the same files
    np.testing.assert_array_equal(small.scores(plain, "xgboost"), own_column(scores, fold_of))
    only = small.scores(replace(plain, folds=(1,)), "xgboost")
    np.testing.assert_array_equal(np.isnan(only), np.tile(fold_of[:, None] != 1, 3))


def test_what_is_left_out_decides_nothing(small: Workspace) -> None:
    """Without the statistics that tell the classes apart, trees know less; and fewer copies."""
    telling = left_out_columns(small.config.spec, (STATISTICS,), ("mfcc",))
    assert np.isin(np.arange(40), telling).all()
    assert left_out_copies(small.stretches, ("mfcc", "telephone")).tolist() == [[False], [True]]
    without = replace(NESTED, name="no mfcc", nested=False, without=("mfcc", "telephone"))
    small.fit(without)
    spoof = small.recordings.corpus.is_spoof
    whole, less = (small.scores(run, "xgboost") for run in (replace(NESTED, nested=False), without))
    assert whole[spoof].mean() - whole[~spoof].mean() > 0.05
    assert abs(less[spoof].mean() - less[~spoof].mean()) < 0.03


def test_the_protocol_names_nobody() -> None:
    assert all(len(line.split(",")[0]) == 10 for line in PROTOCOL.read_text().splitlines()[1:])


def test_new_sources_get_folds_and_known_ones_keep_theirs(tmp_path: Path) -> None:
    path = protocol_of(tmp_path / "folds.csv", a=0, b=1, gone=1)
    new = [(name, name.upper()) for name in "cdef" for _ in range(4)]
    corpus = corpus_of(("a", "x"), ("b", "y"), ("joined", "x"), *new)
    with pytest.raises(CorpusError, match=r"no fold for .*--extend-protocol"):
        read_protocol(corpus, path)
    extend_protocol(corpus, path)
    once = path.read_text()
    folds = read_protocol(corpus, path)
    assert folds.fold[:3].tolist() == [0, 1, 0]  # who shares a speaker shares the fold
    assert np.bincount(folds.fold[3:]).tolist() == [8, 8]
    assert f"{source_id('gone')},1,2" in once
    assert read_editions(corpus, path).tolist() == [2, 2, *[3] * 17]
    extend_protocol(corpus, path)
    assert path.read_text() == once


def test_a_corpus_that_does_not_fit_the_protocol_raises(tmp_path: Path) -> None:
    path = protocol_of(tmp_path / "folds.csv", a=0, b=1)
    folds = read_protocol(corpus_of(("a", "x"), ("b", "y"), ("a", "z")), path)
    assert folds.fold.tolist() == [0, 1, 0]
    with pytest.raises(
        CorpusError, match="no fold for 1 of 2 sources, such as " + source_id("c")
    ) as error:
        read_protocol(corpus_of(("a", "x"), ("c", "y")), path)
    assert error.value.code == "no_fold"
    with pytest.raises(CorpusError, match="shares speakers with another fold") as error:
        read_protocol(corpus_of(("a", "x"), ("b", "x")), path)
    assert error.value.code == "split_speaker"


def test_runs_have_names_of_their_own_and_columns_that_exist() -> None:
    config = read_config(CONFIG)
    listed, spec = list(runs(config)), config.spec
    assert len({run.name for run in listed}) == len(listed)
    every = [left_out_columns(spec, (STATISTICS,), (name,)) for name in spec.statistics]
    assert np.array_equal(np.concatenate(every), np.arange(spec.n_statistics))
    kinds = [left_out_columns(spec, (STATISTICS,), (k,)) for k in FeatureWeights.model_fields]
    assert np.array_equal(np.sort(np.concatenate(kinds)), np.arange(spec.n_statistics))
    hears = (STATISTICS, NARROW, ENCODER)
    narrow = left_out_columns(spec, hears, (NARROW,))
    assert narrow[0] == spec.n_statistics and len(narrow) == spec.vectors[NARROW]
    assert left_out_columns(spec, hears, (ENCODER,))[-1] == sum(spec.vectors.values()) - 1
    assert not len(left_out_columns(spec, hears, ("telephone", "frames")))
    assert {model for run in listed for model in run.models} == set(MODELS)


def test_seeds_are_nested_and_keep_every_pair_of_folds_out() -> None:
    assert seed_run(2).held_out == [
        *[(0,), (1,), (2,), (3,)],
        *[(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)],
    ]
    assert Run("plain", folds=(2, 0)).held_out == [(2,), (0,)]


def test_kept_scores_have_the_names_of_runs() -> None:
    config = parse_config(json.loads((SCORES / "config.json").read_text()), "config.json")
    assert isinstance(config, Config)
    with np.load(SCORES / "scores.npz") as scores:
        names = {f"{run.name}|{model}" for run in runs(config) for model in run.models}
        assert set(scores.files) <= names | {"sound"}
        assert {f"seed {SEEDS[0]}|{model}" for model in MODELS} < set(scores.files)


def test_kept_answers_are_of_every_bundle() -> None:
    with np.load(SCORES / "answers.npz") as answers, np.load(SCORES / "scores.npz") as scores:
        seeds = [seed for seed in SEEDS if f"{SHIPPED}|{seed}" in answers.files]
        assert seeds[0] == SEEDS[0]
        bundles = [name for name in BUNDLES if f"{name}|{SEEDS[0]}" in answers.files]
        assert set(bundles) >= {*BUNDLES} - {REFERENCE}
        ours = {f"{bundle}|{seed}" for bundle in BUNDLES[1:] for seed in seeds}
        others = {name for name in answers.files if name.startswith(REFERENCE)}
        assert set(answers.files) == ours | others | {"sound"}
        assert others <= {f"{REFERENCE}|{seed}" for seed in seeds}
        np.testing.assert_array_equal(answers["sound"], scores["sound"])
    with np.load(SCORES / "parts.npz") as parts:
        assert {f"stack|{seed}" for seed in seeds} < set(parts.files)
    with np.load(SCORES / "conditions.npz") as conditions:
        kinds = (*CONDITIONS, "channels")
        assert set(conditions.files) == {*(f"{b}|{k}" for b in bundles for k in kinds), "rows"}


@pytest.fixture(scope="module")
def router() -> Router:
    """A router with posteriors of its own for every row and copy."""
    rng, empty = np.random.default_rng(3), np.zeros(0, np.float32)
    p = rng.dirichlet((4, 1), size=(N_ROWS, 3)).astype(np.float32)
    nested = np.repeat(p[:, None], 3, axis=1)
    distances = np.ones((N_ROWS, 3), np.float32)
    return Router(("clean", "telephone"), empty, empty, empty, empty, p, nested, distances)


def test_a_fold_is_held_out_of_the_others() -> None:
    folds = others(Folds(np.arange(8), np.arange(8) % 4), 1)
    assert folds.fold.tolist() == [0, -1, 1, 2] * 2
    assert folds.count == 3 and folds.is_test.sum() == 2


def test_a_fold_s_design_does_not_look_at_the_fold(small: Workspace, router: Router) -> None:
    run = replace(NESTED, models=("xgboost", "both"))
    small.fit(run)
    named = dict.fromkeys(run.models, run)
    own = small.folds["sources"].fold == 2
    fitted = fitted_without(small, named, 2)
    for base in fitted:
        np.testing.assert_array_equal(base.oof, small.scores(run, base.name)[:, 2])
    one = design_of(small, fitted, router, 2, seed=1)
    rng = np.random.default_rng(0)
    for base in fitted:
        base.oof[own] = rng.random((own.sum(), 3))
    other = design_of(small, fitted, router, 2, seed=1)
    assert one.rules.calibrations == other.rules.calibrations
    assert one.stages[0].stack == other.stages[0].stack
    assert one.rules.answers == other.rules.answers
    assert (one.rules.llr[own] != other.rules.llr[own]).mean() > 0.8
    np.testing.assert_array_equal(one.rules.llr[~own], other.rules.llr[~own])
    assert design_of(small, fitted, router, 1, seed=1).stages[0].stack != one.stages[0].stack


def test_answers_are_those_of_the_fold_alone(small: Workspace, router: Router) -> None:
    run = replace(NESTED, models=("xgboost", "both"))
    small.fit(run)
    design = design_of(
        small, fitted_without(small, dict.fromkeys(run.models, run), 0), router, 0, 1
    )
    own = small.folds["sources"].fold == 0
    answers = design.answers(-1, 0.5)
    np.testing.assert_allclose(answers["llr"], design.rules.llr[own, 0, -1], rtol=1e-6)
    assert answers["channel"].tolist() == router.posteriors[own, 0].argmax(axis=1).tolist()
    flat = without_router(router)
    assert set(flat.posteriors.ravel().tolist()) == {0.5}
    assert flat.nested.shape == router.nested.shape


def test_the_decision_is_kept_with_each_part_left_out(
    small: Workspace, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "router_without", lambda workspace, fold: router)
    small.fit(replace(seed_run(1), models=("xgboost", "both")))
    found = {name: (fit, stage) for name, fit, stage in held_out.left_out(small)}
    assert list(found) == [
        *("all", "without encoder", "encoder on every window", "without router", "without narrow"),
        *("without xgboost", "without both"),
    ]
    llr = held_out.decided(small, *found["all"])
    assert llr.shape == (N_ROWS, 2) and np.isfinite(llr).all()
    kept = held_out.answers_of_seed(small, 1)
    np.testing.assert_array_equal(kept["default|1"]["llr"], llr[:, 0])
    np.testing.assert_array_equal(kept["fast|1"], kept["default|1"])  # of one stage, as it is here
    assert kept["stack|1"].shape == (N_ROWS, 2) and np.isfinite(kept["stack|1"]).all()
    for name in ("without router", "without both"):
        assert (held_out.decided(small, *found[name]) != llr).mean() > 0.8
