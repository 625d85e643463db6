"""Judging, reporting, configuration, the audit, and the writers of scores."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import escape
from numpy.typing import NDArray

from bonafide.bundle import META_MODELS
from bonafide.corpora.schema import Corpus, Row
from bonafide.detection import BundleIdentity, Caution, Detection, Segment
from bonafide.errors import AudioError, ConfigError, CorpusError
from bonafide.evaluation import figures, report
from bonafide.evaluation.evaluate import (
    DECISION,
    MIN_GROUP_ROWS,
    Evaluation,
    cluster_column,
    evaluate,
    percent,
)
from bonafide.evaluation.metrics import Interval, eer
from bonafide.features.spec import FeatureSpec
from bonafide.models.config import view_of
from bonafide.scoring import CSV_COLUMNS, WRITERS, evaluate_corpus, score_files, unusable
from bonafide.training.audit import Audit, audit_shortcuts
from bonafide.training.config import Config, GateConfig, parse_config, read_config
from bonafide.training.folds import make_folds
from bonafide.training.gate.deciding import absolute, shortcut
from bonafide.training.judgement import Outcome
from bonafide.training.recordings import MEASURES, Recordings
from tests.helpers.bundles import BASE_MODELS

Floats = NDArray[np.float64]


def corpus_of(**columns: Sequence[str]) -> Corpus:
    n_rows = len(next(iter(columns.values())))
    rows = [
        Row(path=f"{k}.wav", **{name: values[k] for name, values in columns.items()})
        for k in range(n_rows)
    ]
    return Corpus(Path("nowhere"), rows)


def many(n: int = 120, **columns: Sequence[str]) -> Corpus:
    """Make rows of alternating labels and ten sources, with what else is given."""
    labels = [("bonafide", "spoof")[k % 2] for k in range(n)]
    given = {"label": labels, "source": [f"s{k // 2 % 10}" for k in range(n)], **columns}
    return corpus_of(**given)


def scores_of(corpus: Corpus, seed: int = 0, shift: float = 1.5) -> Floats:
    rng = np.random.default_rng(seed)
    return np.where(corpus.is_spoof, -shift, shift) + rng.normal(size=len(corpus))


def judged(corpus: Corpus, llr: Floats, **options: Any) -> Evaluation:
    values = {"title": "rows", "prior_spoof": 0.5, "resamples": 60, **options}
    return evaluate({DECISION: llr}, corpus, **values)


class TestEvaluate:
    def test_counts_systems_and_clusters(self) -> None:
        corpus = many(speaker=[f"v{k % 30}" for k in range(120)])
        llr = scores_of(corpus)
        scores = {"cnn": llr + 1.0, DECISION: llr}
        found = evaluate(scores, corpus, title="t", prior_spoof=0.5, resamples=60, notes=("n",))
        assert found.counts == {
            "rows": 120,
            "bonafide": 60,
            "spoof": 60,
            "sources": 10,
            "speakers": 30,
            "generators": 0,
        }
        assert list(found.systems) == ["cnn", DECISION]
        for name, values in scores.items():
            metric = found.systems[name]["eer"]
            assert metric.value == eer(values, corpus.is_spoof)
            assert metric.low <= metric.value <= metric.high
            assert metric.low < metric.high
        assert (found.clusters, found.title, found.notes) == ("source", "t", ("n",))

    @pytest.mark.parametrize("prior", [0.5, 0.9])
    def test_threshold_is_that_of_the_prior(self, prior: float) -> None:
        corpus = many()
        llr = scores_of(corpus)
        found = judged(corpus, llr, prior_spoof=prior).systems[DECISION]
        spoof, accepted = corpus.is_spoof, llr >= np.log(prior / (1 - prior))
        assert found["miss"].value == pytest.approx(np.mean(~accepted[~spoof]))
        assert found["false_alarm"].value == pytest.approx(np.mean(accepted[spoof]))

    def test_groups_too_small_are_left_out(self) -> None:
        """Three rows of a label are too few; four will do."""
        languages = ["de"] * (2 * MIN_GROUP_ROWS) + ["fr"] * (2 * MIN_GROUP_ROWS - 1)
        languages += ["xx"] * 40 + ["-"] * (120 - 40 - len(languages))
        corpus = many(language=languages)
        one_sided = replace_column(corpus, "label", lambda row: row.language == "xx", "spoof")
        found = judged(one_sided, scores_of(one_sided)).groups["language"]
        assert list(found) == ["de"]
        assert (found["de"]["bonafide"], found["de"]["spoof"]) == (4, 4)

    def test_groups_of_both_sides_are_judged_on_their_own_rows(self) -> None:
        corpus = many(language=[("de", "fr")[k // 2 % 2] for k in range(120)])
        llr = scores_of(corpus)
        french = corpus.column("language") == "fr"
        llr[french] = -llr[french]  # all wrong there
        found = judged(corpus, llr).groups
        assert set(found) == {"source", "language", "codec", "generator", "attack_type"}
        assert found["language"]["fr"]["eer"].value == eer(llr[french], corpus.is_spoof[french])
        assert found["language"]["de"]["eer"].value < 0.3 < found["language"]["fr"]["eer"].value
        assert found["codec"] == found["generator"] == {}

    def test_spoof_groups_are_judged_against_all_bona_fide(self) -> None:
        systems = [("-", ("A1", "A2")[k // 2 % 2])[k % 2] for k in range(120)]
        corpus = many(system=systems)
        llr = scores_of(corpus)
        found = judged(corpus, llr).groups["generator"]
        assert list(found) == ["A1", "A2"]
        for name, entry in found.items():
            rows = ~corpus.is_spoof | (corpus.column("system") == name)
            assert (entry["bonafide"], entry["spoof"]) == (60, 30)
            assert entry["eer"].value == eer(llr[rows], corpus.is_spoof[rows])

    def test_seen_and_unseen_generators(self) -> None:
        systems = [("-", ("A1", "A2", "A3")[k // 2 % 3])[k % 2] for k in range(120)]
        corpus = many(system=systems)
        llr = scores_of(corpus)
        assert "generator seen or unseen" not in judged(corpus, llr).groups
        found = judged(corpus, llr, seen_generators={"A1", "A3", "-"}).groups
        split = found["generator seen or unseen"]
        assert {name: entry["spoof"] for name, entry in split.items()} == {
            "seen in training": 40,
            "unseen": 20,
        }
        assert split["unseen"]["eer"] == found["generator"]["A2"]["eer"]
        all_unseen = judged(corpus, llr, seen_generators=set()).groups
        assert list(all_unseen["generator seen or unseen"]) == ["unseen"]

    def test_json_round_trip(self) -> None:
        systems = [("-", ("A1", "A2")[k // 2 % 2])[k % 2] for k in range(120)]
        corpus = many(system=systems)
        found = judged(corpus, scores_of(corpus), seen_generators={"A1"}, notes=("a", "b"))
        text = json.dumps(found.to_json())
        assert Evaluation.from_json(json.loads(text)) == found
        assert json.loads(text)["groups"]["generator"]["A1"]["eer"].keys() == {
            "value",
            "low",
            "high",
        }

    def test_seed_decides_the_intervals(self) -> None:
        corpus = many()
        llr = scores_of(corpus)
        one, again, other = (judged(corpus, llr, seed=seed) for seed in (1, 1, 2))
        assert one == again
        assert one.systems[DECISION]["auc"] != other.systems[DECISION]["auc"]
        assert one.systems[DECISION]["auc"].value == other.systems[DECISION]["auc"].value


def replace_column(corpus: Corpus, name: str, where: Any, value: str) -> Corpus:
    rows = [replace(row, **{name: value}) if where(row) else row for row in corpus]
    return Corpus(corpus.root, rows)


class TestClusters:
    @pytest.mark.parametrize(
        ("sources", "speakers", "name", "count"),
        [
            (5, 9, "source", 5),
            (4, 9, "speaker", 9),
            (1, 5, "speaker", 5),
            (4, 4, "recording", 60),
        ],
    )
    def test_choice(self, sources: int, speakers: int, name: str, count: int) -> None:
        corpus = many(
            60,
            source=[f"s{k % sources}" for k in range(60)],
            speaker=[f"v{k % speakers}" for k in range(60)],
        )
        chosen, clusters = cluster_column(corpus)
        assert (chosen, len(set(clusters.tolist())), len(clusters)) == (name, count, 60)

    def test_rows_of_nobody_are_clusters_of_their_own(self) -> None:
        corpus = many(40, source=["a"] * 20 + ["-"] * 20)
        chosen, clusters = cluster_column(corpus)
        assert chosen == "recording"  # one source is known, and 20 rows are no sources
        assert len(set(clusters.tolist())) == 40
        known = many(40, source=[f"s{k % 5}" for k in range(20)] + ["-"] * 20)
        chosen, clusters = cluster_column(known)
        assert chosen == "source"
        assert len(set(clusters.tolist())) == 25
        assert len(set(clusters[:20].tolist())) == 5

    def test_all_unknown(self) -> None:
        chosen, clusters = cluster_column(many(12, source=["-"] * 12))
        assert chosen == "recording"
        assert len(set(clusters.tolist())) == 12

    @pytest.mark.parametrize(
        ("sources", "speakers", "said"),
        [
            (3, 4, "only 3 sources and 4 speakers known"),
            (1, 1, "only 1 source and 1 speaker known"),
            (0, 0, "only 0 sources and 0 speakers known"),
        ],
    )
    def test_intervals_over_rows_say_so_wherever_they_are_shown(
        self, sources: int, speakers: int, said: str
    ) -> None:
        columns = {
            name: [f"{name}{k // 2 % count}" if count else "-" for k in range(120)]
            for name, count in (("source", sources), ("speaker", speakers))
        }
        corpus = many(**columns)
        llr = scores_of(corpus)
        found = judged(corpus, llr, notes=("n",))
        assert found.clusters == "recording"
        assert f"95 % intervals by bootstrap over single rows: {said}" in report.title_line(found)
        assert found.notes[0] == "n"
        assert f"Intervals resample single rows, not groups ({said})" in found.notes[1]
        page = report.evaluation_page(found, {DECISION: llr}, corpus.is_spoof)
        assert page.count(said) == 2

    def test_intervals_of_a_group_say_what_they_resample(self) -> None:
        corpus = many(language=[("de", "fr")[k // 2 % 2] for k in range(120)])
        llr = scores_of(corpus)
        found = judged(corpus, llr)
        assert {g["clusters"] for g in found.groups["language"].values()} == {"source"}
        assert {g["clusters"] for g in found.groups["source"].values()} == {"recording"}
        page = report.evaluation_page(found, {DECISION: llr}, corpus.is_spoof)
        assert page.count("<td>rows</td>") == len(found.groups["source"]) == 10
        assert page.count("<td>sources</td>") == 2
        for row in report.group_rows(found.groups["source"]):
            assert row[1].endswith("] over rows")


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.123, 0.1, 0.1449), "12.3 % [10.0, 14.5]"),
        (Interval(0.0, 0.0, 0.0), "0.0 % [0.0, 0.0]"),
        (Interval(1.0, 0.99951, 1.0), "100.0 % [100.0, 100.0]"),
    ],
)
def test_percent(interval: Interval, text: str) -> None:
    assert percent(interval) == text


EVIL = "<script>alert('&')</script>"


class TestTables:
    def test_markdown(self) -> None:
        table = report.markdown_table(("system", "EER"), [("cnn", "1 %")])
        assert table.splitlines() == ["| system | EER |", "| --- | ---: |", "| cnn | 1 % |"]

    def test_html_escapes_everything(self) -> None:
        table = report.html_table((EVIL, "EER"), [(EVIL, EVIL)])
        assert "<script" not in table
        assert table.count(escape(EVIL)) == 3
        assert table.count("<tr>") == table.count("</tr>") == 2
        assert (table.count("<th>"), table.count("<td>")) == (2, 2)

    def test_page_escapes_names_from_corpora(self) -> None:
        corpus = many(
            system=[("-", EVIL)[k % 2] for k in range(120)],
            language=[EVIL] * 120,
            original_codec=[EVIL] * 120,
        )
        llr = scores_of(corpus)
        found = judged(corpus, llr, title=EVIL, notes=(EVIL,))
        scores = {DECISION: llr}
        page = report.evaluation_page(found, scores, corpus.is_spoof)
        assert "<script" not in page
        assert page.count(escape(EVIL)) >= 6
        assert page.startswith("<!doctype html>")
        assert page.count("<svg") == page.count("</svg>") == 2
        for link in ("src=", 'href="http', "url(http", "@import"):
            assert link not in page

    def test_groups_are_drawn_the_worst_first(self) -> None:
        corpus = many(language=[("de", "fr")[k // 2 % 2] for k in range(120)])
        llr = scores_of(corpus)
        french = corpus.column("language") == "fr"
        llr[french] = -llr[french]
        page = report.evaluation_page(judged(corpus, llr), {DECISION: llr}, corpus.is_spoof)
        assert page.index("<td>fr</td>") < page.index("<td>de</td>")
        ends = [float(end) for end in re.findall(r"(?:left|width):([\d.]+)%", page)]
        assert ends and 0.0 <= min(ends) <= max(ends) <= 100.0
        assert page.count('<tr class="decision"><td>decision</td>') == 1
        assert "prefers-color-scheme: dark" in page

    def test_many_groups_are_folded(self) -> None:
        for n, opened in ((12, True), (13, False)):
            corpus = many(260, source=[f"s{k // 2 % n}" for k in range(260)])
            llr = scores_of(corpus)
            page = report.evaluation_page(judged(corpus, llr), {DECISION: llr}, corpus.is_spoof)
            assert ("<details open>\n<summary>By source" in page) == opened

    def test_a_value_that_a_template_lacks_is_an_error(self) -> None:
        with pytest.raises(UndefinedError, match="'tables' is undefined"):
            report.render("tables.html.j2", title="t")

    def test_rows_follow_the_headings(self) -> None:
        corpus = many(system=[("-", "A1")[k % 2] for k in range(120)])
        found = judged(corpus, scores_of(corpus))
        (row,) = report.system_rows(found)
        assert len(row) == len(report.HEADINGS)
        cells = dict(zip(report.HEADINGS, row, strict=True))
        metrics = found.systems[DECISION]
        assert cells["system"] == DECISION
        assert cells["EER"] == percent(metrics["eer"])
        assert cells["false alarm"] == percent(metrics["false_alarm"])
        assert cells["AUC"].startswith(f"{metrics['auc'].value:.3f}")
        groups = found.groups["generator"]
        assert report.group_rows(groups) == [["A1", percent(groups["A1"]["eer"]), "60", "60"]]
        assert "120 recordings (60 bona fide, 60 spoof), 10 sources" in report.title_line(found)
        assert "1 generator;" in report.title_line(found)


class TestFigures:
    @pytest.mark.parametrize("name", ["det", "histogram", "curves"])
    def test_the_same_data_the_same_bytes(self, name: str) -> None:
        corpus = many(60)

        def draw(seed: int) -> str:
            llr = scores_of(corpus, seed)
            if name == "det":
                return figures.det_figure({"cnn": llr + 1, DECISION: llr}, corpus.is_spoof)
            if name == "histogram":
                return figures.histogram_figure(llr, corpus.is_spoof)
            return figures.curves_figure({"fold 0": {"loss": (llr**2).tolist()}})

        one, again, other = draw(1), draw(1), draw(2)
        assert one == again
        assert one != other
        assert one.startswith("<svg")
        assert one.rstrip().endswith("</svg>")

    def test_two_rows_of_a_class_are_drawn(self) -> None:
        """Without a warning, which tests take for an error: none lies outside of the bins."""
        llr, spoof = np.array([-7.0, 9.0, -2.0, 3.0]), np.array([True, True, False, False])
        assert figures.histogram_figure(llr, spoof).startswith("<svg")

    def test_scores_that_are_all_alike(self) -> None:
        spoof = np.array([False, True] * 10)
        assert figures.histogram_figure(np.zeros(20), spoof).startswith("<svg")
        assert figures.det_figure({DECISION: np.zeros(20)}, spoof).startswith("<svg")


class TestConfig:
    def test_defaults(self) -> None:
        assert parse_config({}, "x") == Config()
        assert Config().spec == FeatureSpec()
        assert parse_config(json.loads(Config().model_dump_json()), "x") == Config()

    @pytest.mark.parametrize("name", ["demo", "full", "shipped"])
    def test_those_that_ship(self, name: str) -> None:
        path = Path(__file__).parents[2] / "configs" / f"{name}.yaml"
        config = read_config(path)
        assert isinstance(config, Config)
        assert replace(config.spec, encoder=None) == FeatureSpec()
        assert len(config.stages) == (2 if config.spec.encoder else 1)
        assert all(view_of(model) in (*config.spec.views, "") for model in config.models.values())

    def test_an_empty_file_is_all_defaults(self, tmp_path: Path) -> None:
        path = tmp_path / "c.yaml"
        path.write_text("# nothing\n")
        assert read_config(path) == Config()

    def test_a_view_of_ones_own(self) -> None:
        view = {"kind": "lfcc", "n_filters": 20, "n_coefficients": 8, "deltas": True}
        features = {"views": {"mine": view}, "correlated": 4}
        models = {name: {"view": "mine"} for name in BASE_MODELS if name != "xgboost"}
        config = parse_config({"features": features, "models": models}, "x")
        assert config.spec.views["mine"].n_features == 24
        assert config.spec.correlated == 4
        assert config.spec.statistics == FeatureSpec().statistics

    def test_statistics_of_ones_own(self) -> None:
        view = {"kind": "logband", "n_filters": 12, "n_coefficients": 0, "n_fft": 128}
        view["hop_samples"] = 64
        config = parse_config({"features": {"statistics": {"mine": view}, "correlated": 3}}, "x")
        assert config.spec.n_statistics == 12 * 7 + 3
        assert config.spec.views == FeatureSpec().views

    @settings(max_examples=60, deadline=None)
    @given(missed=st.floats(0.1, 10), alarm=st.floats(0.1, 10), none=st.floats(0, 3))
    def test_the_verdict_is_the_cheapest(self, missed: float, alarm: float, none: float) -> None:
        costs = {"spoof_called_bonafide": missed, "bonafide_called_spoof": alarm, "undecided": none}
        low, high = parse_config({"decision": {"costs": costs}}, "x").decision.undecided
        assert 0 <= low <= high <= 1
        p = np.linspace(0, 1, 1001)
        each = np.stack([p * missed, np.full_like(p, none), (1 - p) * alarm])
        chosen = np.where(p <= low, 0, np.where(p < high, 1, 2))
        np.testing.assert_allclose(each[chosen, np.arange(len(p))], each.min(axis=0), atol=1e-9)

    def test_keys_of_earlier_versions(self) -> None:
        """A configuration goes on to be read; a key under both of its names is an error."""
        before = {"copies": {"count": 1}, "fit": {"emphasis": {}, "copy_weight": 0.5}}
        today = {
            "augmentation": {"count": 1},
            "fit": {"feature_weights": {}, "augmentation_weight": 0.5},
        }
        assert parse_config({**before, "folds": {"count": 2}}, "x") == parse_config(
            {**today, "folds": {"count": 3}}, "x"
        )
        with pytest.raises(ConfigError, match=r"copies: is no setting"):
            parse_config({**before, **today}, "x")

    def test_default_costs(self) -> None:
        assert Config().decision.undecided == (0.2, 0.8)

    def test_nothing_may_be_held_out(self) -> None:
        assert parse_config({"folds": {"test_share": 0}}, "x").folds.test_share == 0.0

    @pytest.mark.parametrize(
        ("values", "match"),
        [
            ({"sed": 1}, r"c: sed: is no setting \(seen: 1\)"),
            ({"folds": {"counts": 3}}, r"folds\.counts: is no setting .*seen: 3"),
            ({"seed": "one"}, r"seed: .*valid integer.* \(seen: 'one'\)"),
            ({"seed": -1}, r"seed: .*greater than or equal to 0 \(seen: -1\)"),
            ({"folds": {"count": 1}}, r"folds\.count: .*greater than or equal to 3 \(seen: 1\)"),
            ({"folds": {"test_share": 1.0}}, r"folds\.test_share: .*less than 1 \(seen: 1\.0\)"),
            ({"folds": {"test_share": -0.1}}, r"folds\.test_share: .*equal to 0 \(seen: -0\.1\)"),
            ({"folds": {"validation_share": 0.2}}, r"folds\.validation_share: is no setting"),
            ({"fit": {"average_momentum": 1.0}}, r"fit\.average_momentum: .*less than 1 \(seen: 1"),
            ({"fit": {"statistics_noise": -1}}, r"fit\.statistics_noise: .*equal to 0 \(seen: -1"),
            ({"fit": {"learning_rate": 0}}, r"fit\.learning_rate: .*greater than 0 \(seen: 0\)"),
            ({"name": "My Model"}, r"name: .*pattern.* \(seen: 'My Model'\)"),
            ({"folds": 3}, r"folds: .*\(seen: 3\)"),
            ([1, 2], r"config: .*\(seen: \[1, 2\]\)"),
            ("text", r"config: .*\(seen: 'text'\)"),
            (
                {"models": {"gru": {"view": "nonsense"}}},
                r"models\.gru\.view='nonsense': must be one of mfcc, lfcc, lfcc_high, lfcc_top",
            ),
            (
                {"models": {"cnn": {"view": "lfcc", "width": 2}}},
                r"models\.cnn\.width: .*greater than or equal to 4 \(seen: 2\)",
            ),
            (
                {"models": {"tcn": {}}},
                r"models: base model 'tcn': must be one of cnn, rnn, .*xgboost",
            ),
            (
                {"models": {"cnn": {"view": "lfcc", "strides": []}}},
                r"models\.cnn\.strides: .*at least 1 item.* \(seen: \[\]\)",
            ),
            (
                {"models": {"rnn": {"view": "lfcc", "strides": [2, 17]}}},
                r"models\.rnn\.strides\.1: .*less than or equal to 16 \(seen: 17\)",
            ),
            (
                {"models": {"gru": {"view": "lfcc", "statistics_width": 3}}},
                r"models\.gru\.statistics_width: .*greater than or equal to 4 \(seen: 3\)",
            ),
            ({"models": {"xgboost": {"view": "lfcc"}}}, r"models\.xgboost\.view: is no setting"),
            (
                {"features": {"views": {"v": {"kind": "lfcc"}}}},
                r"models\.cnn\.view='lfcc_high': .*v ",
            ),
            (
                {"decision": {"undecided": [0.4, 0.6]}},
                r"decision\.undecided: is no setting.*0\.4, 0\.6",
            ),
            (
                {"decision": {"costs": {"undecided": -0.1}}},
                r"decision\.costs\.undecided: .*greater than or equal to 0 \(seen: -0\.1\)",
            ),
            (
                {"decision": {"costs": {"spoof_called_bonafide": 0}}},
                r"decision\.costs\.spoof_called_bonafide: .*greater than 0 \(seen: 0\)",
            ),
            ({"decision": {"prior_spoof": 0}}, r"decision\.prior_spoof: .*\(seen: 0\)"),
            ({"gate": {"max_eer": 1.5}}, r"gate\.max_eer: .*\(seen: 1\.5\)"),
            ({"resamples": 10}, r"resamples: .*greater than or equal to 50 \(seen: 10\)"),
            ({"seed": "a", "sed": 2}, r"seed: .*seen: 'a'\); sed: .*seen: 2"),
        ],
    )
    def test_refused(self, values: Any, match: str) -> None:
        with pytest.raises(ConfigError, match=match) as caught:
            parse_config(values, "c")
        assert caught.value.code == "bad_config"
        assert caught.value.message.startswith("c: ")

    @pytest.mark.parametrize(
        ("features", "match"),
        [
            ({"n_fft": 512}, r"feature spec: .*n_fft"),
            ({"window": 3}, r"feature spec: .*window"),
            ({"window_s": 99.0}, r"window_s=99\.0: must be 0\.5 to 30"),
            ({"correlated": 1}, r"correlated=1: must be 2 to 64"),
            *(
                (
                    {part: {"v": {"kind": "cqt"}}},
                    r"kind='cqt': must be one of mfcc, lfcc, logmel, logband",
                )
                for part in ("views", "statistics")
            ),
        ],
    )
    def test_features_refused(self, features: dict[str, Any], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            parse_config({"features": features}, "c")

    @pytest.mark.parametrize(
        "features",
        [
            {"correlated": "ten"},
            {"views": 3},
            {"correlated": None},
            {"views": {"v": 1}},
            {"statistics": [1]},
            {"views": {"v": {"kind": "lfcc", "hop_samples": "ten"}}},
        ],
    )
    def test_features_of_a_wrong_type(self, features: dict[str, Any]) -> None:
        """Whatever YAML can hold there ends in the project's own error."""
        with pytest.raises(ConfigError, match=r"feature spec|hop_samples|correlated"):
            parse_config({"features": features}, "c")

    @pytest.mark.parametrize(
        ("content", "code", "match"),
        [
            (None, "no_config", r"c\.yaml: cannot be read: No such file or directory"),
            (b"a: [1, 2", "bad_yaml", r"c\.yaml: not YAML: .*line 1"),
            (b"a: b: c", "bad_yaml", r"c\.yaml: not YAML"),
            (b"\xff\xfe\x00bad", "bad_yaml", r"c\.yaml: not YAML"),
            (b"sed: 3", "bad_config", r"c\.yaml: sed: .*seen: 3"),
            (b"- 1\n- 2\n", "bad_config", r"c\.yaml: config: .*seen: \[1, 2\]"),
            (b"just words", "bad_config", r"c\.yaml: config: .*seen: 'just words'"),
            (b"!!python/object:os.system {}", "bad_yaml", r"c\.yaml: not YAML"),
        ],
    )
    def test_files_refused(
        self, tmp_path: Path, content: bytes | None, code: str, match: str
    ) -> None:
        path = tmp_path / "c.yaml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"(?s){match}") as caught:
            read_config(path)
        assert caught.value.code == code

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="Is a directory"):
            read_config(tmp_path)


def recordings_with(planted: str | None, seed: int = 0) -> tuple[Recordings, Any]:
    """Make 30 sources of 8 rows with random measures; one may tell the classes apart."""
    n = 240
    corpus = many(n, source=[f"s{k // 8}" for k in range(n)])
    measures = np.random.default_rng(seed).normal(size=(n, len(MEASURES)))
    if planted:
        measures[:, MEASURES.index(planted)] += np.where(corpus.is_spoof, 2.5, 0.0)
    sounds = np.array([str(k) for k in range(n)])
    folds = make_folds(corpus, count=3, test_share=0.25, seed=1)
    return Recordings(corpus, sounds, measures), folds


class TestAudit:
    def test_finds_a_planted_shortcut(self) -> None:
        found = audit_shortcuts(*recordings_with("duration_s"), resamples=60)
        assert found.test_eer.value < 0.25
        assert found.fold_eer.value < 0.25
        assert next(iter(found.importance)) == "duration_s"
        assert found.importance["duration_s"] > 0.5
        assert sum(found.importance.values()) == pytest.approx(1.0, abs=0.01)
        assert list(found.importance.values()) == sorted(found.importance.values(), reverse=True)

    def test_finds_none_in_random_measures(self) -> None:
        for seed in range(2):
            found = audit_shortcuts(*recordings_with(None, seed), resamples=60)
            assert 0.35 < found.test_eer.value < 0.65
            assert 0.4 < found.fold_eer.value < 0.6
            assert found.test_eer.high > 0.45
            assert max(found.importance.values()) < 0.3

    def test_json_round_trip_and_seed(self) -> None:
        recordings, folds = recordings_with("level_db")
        found = audit_shortcuts(recordings, folds, resamples=60, seed=3)
        assert Audit.from_json(json.loads(json.dumps(found.to_json()))) == found
        assert audit_shortcuts(recordings, folds, resamples=60, seed=3) == found


def outcome_with(interval: Interval) -> Outcome:
    corpus = many()
    found = judged(corpus, scores_of(corpus))
    systems = {DECISION: {**found.systems[DECISION], "eer": interval}}
    chance = Interval(0.5, 0.4, 0.6)
    return Outcome(replace(found, systems=systems), found, Audit(chance, chance, {}), {"cnn": 1e-7})


class TestGate:
    @pytest.mark.parametrize(
        ("interval", "max_eer", "match"),
        [
            (Interval(0.6, 0.5, 0.7), 0.5, r"60\.0 % \[50\.0, 70\.0\]"),
            (Interval(0.3, 0.1, 0.55), 0.5, r"30\.0 % \[10\.0, 55\.0\]"),
            (Interval(0.2, 0.15, 0.24), 0.1, r"20\.0 % .*gate allows 10\.0 %"),
        ],
    )
    def test_refuses(self, interval: Interval, max_eer: float, match: str) -> None:
        config = parse_config({"gate": {"max_eer": max_eer}}, "c")
        chance, _ = absolute(outcome_with(interval), config.gate)
        assert not chance.passed and re.search(match, chance.words)

    @pytest.mark.parametrize(
        ("interval", "max_eer"),
        [(Interval(0.2, 0.1, 0.3), 0.5), (Interval(0.05, 0.02, 0.09), 0.1)],
    )
    def test_lets_through(self, interval: Interval, max_eer: float) -> None:
        config = parse_config({"gate": {"max_eer": max_eer}}, "c")
        assert all(ruling.passed for ruling in absolute(outcome_with(interval), config.gate))

    @pytest.mark.parametrize(("parity", "passed"), [(1e-7, True), (1e-3, False)])
    def test_parity(self, parity: float, passed: bool) -> None:
        outcome = replace(outcome_with(Interval(0.2, 0.1, 0.3)), parity={"cnn": parity})
        _, found = absolute(outcome, GateConfig())
        assert found.passed == passed and f"{parity:.1e}" in found.words

    @pytest.mark.parametrize(("margin", "passed"), [(0.0, True), (0.29, True), (0.31, False)])
    def test_a_shortcut(self, margin: float, passed: bool) -> None:
        """Trivial measures alone are at chance here, 30 points behind."""
        outcome = outcome_with(Interval(0.2, 0.1, 0.3))
        found = shortcut(outcome, GateConfig(shortcut_margin=margin))
        assert found.passed == passed
        assert "50.0 % [40.0, 60.0] of trivial measures alone" in found.words

    def test_outcome_round_trip(self) -> None:
        outcome = outcome_with(Interval(0.2, 0.1, 0.3))
        assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


CAUTIONS = (Caution("too_short", "under a second"), Caution("damaged", "low, level"))


class FakeBundle:
    identity = {"name": "fake", "version": "3", "sha256": "abc"}  # noqa: RUF012
    manifest = {"prior_spoof": 0.5, "files": {}}  # noqa: RUF012
    folder, is_adapted = Path("fake"), False


class FakeDetector:
    """Scores by the start of a file's name."""

    bundle = FakeBundle()

    def score(self, source: Path, **_: Any) -> Detection:
        name = source.name
        if name.startswith("bad"):
            raise AudioError("not_audio", f"{source}: not an audio file")
        llr = -3.2123456 if name.startswith("spoof") else 2.5
        short = name.startswith("short")
        return Detection(
            verdict="inconclusive" if short else "spoof" if llr < 0 else "bonafide",
            llr=llr,
            p_spoof=1 / (1 + np.exp(llr).item()),
            duration_s=7.4,
            segments=(Segment(0.0, 4.0, llr, 0.5),),
            models=dict.fromkeys(BASE_MODELS, 0.5),
            stack=dict.fromkeys(META_MODELS, 0.5),
            channel=None,
            parts=(),
            warnings=CAUTIONS if short else (),
            tracks=(),
            bundle=BundleIdentity(**self.bundle.identity),
        )


PATHS = ["spoof.wav", "bad.txt", 'real, "a".wav', "short.wav"]


@pytest.fixture
def results() -> list[dict[str, Any]]:
    detector: Any = FakeDetector()
    return list(score_files(detector.score, PATHS))


class Recorder(io.StringIO):
    """Counts how much had been written at each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[str] = []

    def flush(self) -> None:
        self.flushed.append(self.getvalue())


class TestScoreFiles:
    def test_one_result_each_in_order(self, results: list[dict[str, Any]]) -> None:
        assert [result["path"] for result in results] == PATHS
        assert results[1] == {
            "path": "bad.txt",
            "error": {"code": "not_audio", "message": "bad.txt: not an audio file"},
        }
        assert list(results[0])[:5] == ["path", "verdict", "llr", "p_spoof", "duration_s"]
        assert (results[0]["verdict"], results[0]["llr"]) == ("spoof", -3.21235)
        assert results[0]["bundle"] == FakeBundle.identity

    def test_each_is_given_before_the_next_is_read(self) -> None:
        asked: list[str] = []

        def paths() -> Any:
            for path in PATHS:
                asked.append(path)
                yield path

        detector: Any = FakeDetector()
        scored = score_files(detector.score, paths())
        for number, _ in enumerate(scored, start=1):
            assert len(asked) == number
        assert len(asked) == 4

    def test_unusable(self, results: list[dict[str, Any]]) -> None:
        assert [unusable(result) for result in results] == [False, True, False, True]
        assert unusable({"warnings": [{"code": "no_speech", "message": "none"}]})
        assert not unusable({"warnings": [{"code": "damaged", "message": "no_speech: no code"}]})

    def test_errors_that_are_no_audio_errors_are_not_swallowed(self) -> None:
        class Broken(FakeDetector):
            def score(self, source: Path, **_: Any) -> Detection:
                raise RuntimeError("a fault of our own")

        detector: Any = Broken()
        with pytest.raises(RuntimeError, match="fault of our own"):
            list(score_files(detector.score, ["a.wav"]))


class TestWriters:
    def written(self, name: str, results: list[dict[str, Any]]) -> Recorder:
        file = Recorder()
        write = WRITERS[name](file)
        for result in results:
            write(result)
        return file

    def test_formats(self) -> None:
        assert set(WRITERS) == {"table", "jsonl", "json", "csv"}

    def test_jsonl_one_flushed_object_a_line(self, results: list[dict[str, Any]]) -> None:
        file = self.written("jsonl", results)
        lines = file.getvalue().splitlines()
        assert [json.loads(line) for line in lines] == results
        assert [text.count("\n") for text in file.flushed] == [1, 2, 3, 4]
        assert all(text.endswith("}\n") for text in file.flushed)

    def test_csv(self, results: list[dict[str, Any]]) -> None:
        file = self.written("csv", results)
        rows = list(csv.DictReader(io.StringIO(file.getvalue())))
        assert tuple(rows[0]) == CSV_COLUMNS
        assert [row["path"] for row in rows] == PATHS
        assert rows[0] | {} == {
            "path": "spoof.wav",
            "verdict": "spoof",
            "llr": "-3.21235",
            "p_spoof": str(results[0]["p_spoof"]),
            "duration_s": "7.4",
            "channel": "",
            "channel_p": "",
            "parts": "",
            "tracks": "",
            "warnings": "",
            "error": "",
            "bundle": FakeBundle.identity["sha256"],
        }
        assert rows[1]["error"] == "not_audio: bad.txt: not an audio file"
        assert rows[1]["verdict"] == rows[1]["llr"] == ""
        assert rows[3]["warnings"] == "too_short: under a second; damaged: low, level"
        assert len(file.flushed) >= 4

    def test_table(self, results: list[dict[str, Any]]) -> None:
        file = self.written("table", results)
        lines = file.getvalue().splitlines()
        assert lines[0].split() == ["verdict", "p_spoof", "llr", "seconds", "channel", "file"]
        assert lines[1].split() == ["spoof", "0.961", "-3.21", "7.4", "-", "spoof.wav"]
        assert lines[2].split(maxsplit=1) == ["error", "bad.txt: not an audio file [not_audio]"]
        assert lines[3].endswith('real, "a".wav')
        said = ["too_short: under a second", "damaged: low, level"]
        assert [line.strip() for line in lines[5:]] == said
        assert (
            len(
                {
                    line.index(name)
                    for line, name in zip(lines[:2], ("file", "spoof.wav"), strict=True)
                }
            )
            == 1
        )
        assert len(file.flushed) == 4


class TestEvaluateCorpus:
    def test_scores_and_failures(self) -> None:
        paths = [f"{kind}{k}.wav" for k in range(8) for kind in ("spoof", "real")]
        labels = ["spoof", "bonafide"] * 8
        rows = [Row(path, label) for path, label in zip(paths, labels, strict=True)]
        corpus = Corpus(Path("corpus"), [*rows, Row("bad.wav", "spoof"), Row("short.wav", "spoof")])
        steps: list[tuple[int, int]] = []
        detector: Any = FakeDetector()
        found = evaluate_corpus(detector, corpus, progress=lambda *step: steps.append(step))
        assert steps == [(k, 18) for k in range(1, 19)]
        bad, short = (str(Path("corpus") / name) for name in ("bad.wav", "short.wav"))
        assert found.failed == [
            {"path": bad, "error": {"code": "not_audio", "message": f"{bad}: not an audio file"}},
            {"path": short, "error": {"code": "too_short", "message": f"{short}: under a second"}},
        ]
        assert found.is_spoof.tolist() == [True, False] * 8  # no verdict is no score of 0
        assert found.scores[DECISION].shape == (16,)
        assert found.evaluation.counts["rows"] == 16
        assert found.left_out == {"bonafide": 0, "spoof": 2}
        assert "Inconclusive verdicts: 0 of 16." in found.evaluation.notes
        left_out = "Left out: 2 of 18 recordings (0 bona fide, 2 spoof) could not be scored"
        assert any(note.startswith(left_out) for note in found.evaluation.notes)
        assert found.evaluation.title == "Bundle fake on corpus"
        (unknown,) = [note for note in found.evaluation.notes if note.startswith("Whether it was")]
        assert unknown.endswith("is not known: fake: rows.parquet is missing.")

    def test_parts_that_sound_generated_are_a_verdict(self) -> None:
        class Partly(FakeDetector):
            def score(self, source: Path, **_: Any) -> Detection:
                return replace(super().score(source), verdict="partly_spoof")  # type: ignore[arg-type]

        detector: Any = Partly()
        rows = [Row("spoof.wav", "spoof"), Row("real.wav", "bonafide")]
        found = evaluate_corpus(detector, Corpus(Path("c"), rows), progress=lambda *_: None)
        assert (len(found.failed), found.evaluation.counts["rows"]) == (0, 2)

    def test_nothing_usable(self) -> None:
        corpus = Corpus(Path("corpus"), [Row("bad.wav", "spoof"), Row("real.wav", "bonafide")])
        detector: Any = FakeDetector()
        with pytest.raises(
            CorpusError, match=r"corpus: 1 rows could be scored; both.*bad.wav: not an"
        ) as caught:
            evaluate_corpus(detector, corpus, progress=lambda *_: None)
        assert caught.value.code == "nothing_usable"
        first = str(Path("corpus") / "bad.wav")
        assert f"of 2, failed: not_audio 1; the first: {first}" in caught.value.message
