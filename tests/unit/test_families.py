"""Families of generators: found where they differ, not named where they are new, and told."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonafide.bundle import FAMILIES, Bundle, read_bundle, write_bundle
from bonafide.corpora.families import FAMILIES as OF_NAMES
from bonafide.corpora.families import family_of
from bonafide.corpora.schema import Corpus, Row
from bonafide.detector import Detector
from bonafide.errors import BundleError
from bonafide.explanation import Explainer
from bonafide.explanation.families import FAMILY, KnownFamilies
from bonafide.export.candidate import export_families
from bonafide.export.families import families_graph
from bonafide.export.rebuild import WORKED_OUT
from bonafide.features.graph import GraphBuilder
from bonafide.features.spec import STATISTICS
from bonafide.manifest import complete
from bonafide.runtime import Graph
from bonafide.simulation.vocoders import GENERATOR_NAMES
from bonafide.training.families import Families, families_of
from bonafide.words import families_in_words
from research.families import table
from serving.app.language import LANGUAGES, words_in
from serving.app.wording import families as on_the_page
from tests.helpers.stages import two_stage_bundle

SYSTEMS = {"conversion": "AutoVC", "diffusion": "Grad-TTS", "language_model": "VALL-E"}
N_SOURCES, N_CLIPS, SIZE = 6, 5, 12


def corpus_of(systems: dict[str, str] = SYSTEMS) -> Corpus:
    rows = [
        Row(f"{name}-{source}-{n}.wav", "spoof", system=name, source=f"page {source}")
        for name in systems.values()
        for source in range(N_SOURCES)
        for n in range(N_CLIPS)
    ]
    return Corpus(Path("nowhere"), rows)


def fitted(corpus: Corpus, apart: float = 6.0) -> tuple[Families, Any]:
    """Return families whose vectors lie apart, and these vectors; folds keep sources whole."""
    rng, names = np.random.default_rng(0), sorted(SYSTEMS)
    x = rng.normal(size=(len(corpus), SIZE)).astype(np.float32)
    for row, each in enumerate(corpus):
        if family := family_of(each):
            x[row, names.index(family)] += apart
    fold = np.array([int(row.source.split()[-1]) % 3 for row in corpus])
    return families_of((STATISTICS,), x, fold, corpus), x


class TestNames:
    @pytest.mark.parametrize(
        ("system", "family"),
        [
            ("HiFi-GAN", "gan_vocoder"),
            ("Tacotron2+WaveGlow", "sample_vocoder"),
            ("VALL-E X", "language_model"),
            ("CosyVoice2", "language_model"),
            ("NaturalSpeech 3", "diffusion"),
            ("NaturalSpeech", "end_to_end"),
            ("FastSpeech 2s", "end_to_end"),
            ("FastSpeech2", "spectrogram"),
            ("DiffVC", "diffusion"),
            ("kNN-VC", "conversion"),
            ("ASR-guided-TTS", None),
            ("eSpeak-NG", "parametric"),
            ("gTTS", "service"),
            ("gTTS/ElevenLabs(unnamed)", None),
            ("unknown", None),
            ("-", None),
        ],
    )
    def test_a_system_is_of_the_family_that_its_name_tells(
        self, system: str, family: str | None
    ) -> None:
        assert family_of(Row("a.wav", "spoof", system=system)) == family

    def test_genuine_speech_is_of_none(self) -> None:
        assert family_of(Row("a.wav", "bonafide", system="VALL-E")) is None

    def test_every_simulated_generator_has_one(self) -> None:
        assert all(family_of(Row("a.wav", "spoof", system=name)) for name in GENERATOR_NAMES)


class TestFit:
    def test_families_that_differ_are_told_on_sources_never_heard(self) -> None:
        families, x = fitted(corpus := corpus_of())
        assert families.names == tuple(sorted(SYSTEMS))
        truth = [families.names.index(family_of(row) or "") for row in corpus]
        assert (families(x).argmax(axis=1) == truth).all()
        assert families.measured["top_1"].value == families.measured["right"].value == 1.0
        assert families.measured["named"].value > 0.9

    def test_what_does_not_differ_is_hardly_named(self) -> None:
        families, _ = fitted(corpus_of(), apart=0.0)
        assert families.measured["top_1"].value < 0.6
        assert families.measured["named"].value < 0.3 and families.measured["unseen"].value > 0.7

    def test_genuine_rows_and_nameless_systems_decide_nothing(self) -> None:
        corpus = corpus_of()
        rows = [
            *corpus,
            *(Row(f"{n}.wav", "spoof", system="unknown", source="page 1") for n in range(9)),
        ]
        rows += [Row(f"r{n}.wav", "bonafide", source="page 2") for n in range(9)]
        alone, more = fitted(corpus)[0], fitted(Corpus(corpus.root, rows))[0]
        assert alone.names == more.names and alone.measured.keys() == more.measured.keys()
        assert more.measured["top_1"].value == 1.0

    @pytest.mark.parametrize("left", [1, 2])
    def test_too_few_families_are_none(self, left: int) -> None:
        families, _ = fitted(corpus_of(dict(list(SYSTEMS.items())[:left])))
        assert families.names == () and families.measured == {}

    def test_a_family_of_two_sources_is_not_known(self) -> None:
        rows = [
            Row(f"s{n}.wav", "spoof", system="eSpeak", source=f"page {n % 2}") for n in range(20)
        ]
        corpus = corpus_of()
        whole = Corpus(corpus.root, [*corpus, *rows])
        x = np.random.default_rng(1).normal(size=(len(whole), SIZE)).astype(np.float32)
        fold = np.array([int(row.source.split()[-1]) % 3 for row in whole])
        assert "parametric" not in families_of((STATISTICS,), x, fold, whole).names

    def test_the_graph_is_the_model(self) -> None:
        families, x = fitted(corpus_of())
        graph = Graph(families_graph(families).SerializeToString())
        np.testing.assert_allclose(graph({STATISTICS: x})[FAMILY], families(x), atol=1e-6)

    def test_what_it_is_worth_is_printed(self) -> None:
        said = table(fitted(corpus_of())[0])
        assert "the most probable family is right" in said and "100.0 % [100.0, 100.0]" in said


@pytest.fixture(scope="module")
def sound() -> Any:
    return np.random.default_rng(0).normal(size=(2, 64_000)).astype(np.float32) / 10


def knowing(folder: Path, sound: Any, bias: tuple[float, float, float]) -> Bundle:
    """Return a bundle that knows three families, each as probable as a constant says."""
    bundle = two_stage_bundle(folder, sound)
    size = bundle.spec.vectors[STATISTICS]
    share = fitted(corpus_of())[0].measured
    families = Families(
        *(tuple(sorted(SYSTEMS)), (STATISTICS,), np.zeros((size, 3), np.float32)),
        *(np.array(bias, np.float32), 0.6, share),
    )
    entries, parity = export_families(families, np.zeros((2, size), np.float32), bundle.folder)
    assert parity[FAMILIES] < 1e-6
    kept = {key: value for key, value in bundle.manifest.items() if key not in WORKED_OUT}
    return write_bundle(bundle.folder, {**kept, **entries})


class TestTold:
    def test_a_probable_one_is_named(self, tmp_path: Path, sound: Any) -> None:
        bundle = read_bundle(knowing(tmp_path / "b", sound, (3.0, 0.0, 0.0)).folder)
        found = KnownFamilies(bundle).nearest(sound)
        assert found.named == "conversion" == found.nearest[0].name
        assert found.nearest[0].p == pytest.approx(np.exp(3) / (np.exp(3) + 2))
        assert [each.p for each in found.nearest] == sorted(
            (f.p for f in found.nearest), reverse=True
        )

    def test_none_is_named_where_all_are_alike(self, tmp_path: Path, sound: Any) -> None:
        found = KnownFamilies(knowing(tmp_path / "b", sound, (0.0, 0.0, 0.0))).nearest(sound)
        assert found.named is None and len(found.nearest) == 3

    @pytest.mark.parametrize(
        ("verdict", "channel", "told"),
        [
            *(("spoof", "clean", True), ("partly_spoof", None, True), ("spoof", "opus", False)),
            *(("inconclusive", "clean", False), ("bonafide", "clean", False)),
        ],
    )
    def test_only_deepfakes_on_clean_sound_are_told_one(
        self, tmp_path: Path, sound: Any, verdict: Any, channel: str | None, told: bool
    ) -> None:
        explainer = Explainer(Detector(knowing(tmp_path / "b", sound, (3.0, 0.0, 0.0))))
        said = explainer.detector.score(sound[0])
        assert said.llr < 0 and said.channel
        heard = replace(said.channel, name=channel) if channel else None
        detection = replace(said, verdict=verdict, channel=heard)
        explained = explainer._explained(detection, iter([(0, sound[0])]))
        assert (explained.families is not None) == told

    def test_a_bundle_without_them_tells_none(self, tmp_path: Path, sound: Any) -> None:
        bundle = two_stage_bundle(tmp_path / "b", sound)
        assert Explainer(Detector(bundle)).explain(sound[0]).explanation.families is None

    @pytest.mark.parametrize(
        "spoilt",
        [
            {"known": []},
            {"known": [{"name": "a"}]},
            {"known": [{"name": "a", "label": 3}]},
            {"hears": ["nothing"]},
            {"named_from": "half"},
            {"measured": {}},
            {"measured": {"unseen": {"value": 2, "low": 0, "high": 1}}},
            {
                "measured": {"unseen": {"value": 0.5, "low": 0.4, "high": 0.6}}
            },  # what is a name worth?
            {"measured": {"unseen": 0.5, "right": 0.5}},
            {"known": [{"name": "a", "label": " "}]},
            {"known": [{"name": "a", "label": "A"}] * 2},
            {"known": None},
            {"hears": ["encoder"]},
            {"hears": "statistics"},
            {"named_from": "0.5"},
            {"named_from": 10**400},
            {"named_from": -0.1},
            {"named_from": True},
            {"named_from": None},
            {"more": 1},
        ],
    )
    def test_a_manifest_that_says_something_else_is_refused(
        self, tmp_path: Path, sound: Any, spoilt: dict[str, Any]
    ) -> None:
        bundle = knowing(tmp_path / "b", sound, (0.0, 0.0, 0.0))
        kept = {key: value for key, value in bundle.manifest.items() if key not in WORKED_OUT}
        write_bundle(bundle.folder, {**kept, FAMILIES: {**kept[FAMILIES], **spoilt}})
        with pytest.raises(BundleError) as caught:
            read_bundle(bundle.folder)
        assert caught.value.code == "bad_manifest"

    def test_a_graph_of_another_number_is_refused(self, tmp_path: Path, sound: Any) -> None:
        bundle = knowing(tmp_path / "b", sound, (0.0, 0.0, 0.0))
        entry = bundle.manifest[FAMILIES]
        fewer = Bundle(
            bundle.folder, {**bundle.manifest, FAMILIES: {**entry, "known": entry["known"][:2]}}
        )
        with pytest.raises(BundleError, match="must be posteriors") as caught:
            KnownFamilies(fewer)
        assert caught.value.code == "bad_graph"

    @pytest.mark.parametrize("spoilt", ["no graph", "nan", "log odds", "narrow", "input", "output"])
    def test_a_graph_that_gives_no_posteriors_is_refused(
        self, tmp_path: Path, sound: Any, spoilt: str
    ) -> None:
        bundle = knowing(tmp_path / "b", sound, (0.0, 0.0, 0.0))
        size = bundle.spec.vectors[STATISTICS]
        graph = GraphBuilder("families")
        width = size - 1 if spoilt == "narrow" else size
        given = graph.input("x" if spoilt == "input" else STATISTICS, ["batch", width])
        weights = np.full((width, 3), np.nan if spoilt == "nan" else 0.0, np.float32)
        odds = graph.add("MatMul", given, graph.constant(weights))
        found = odds if spoilt == "log odds" else graph.add("Softmax", odds, axis=1)
        graph.output("y" if spoilt == "output" else FAMILY, found, ["batch", 3])
        made = b"text" if spoilt == "no graph" else graph.model().SerializeToString()
        bundle.graph_path(FAMILIES).write_bytes(made)
        with pytest.raises(BundleError, match=r"families\.onnx") as caught:
            KnownFamilies(bundle)
        assert caught.value.code == "bad_graph"

    def test_an_older_format_has_none(self, tmp_path: Path, sound: Any) -> None:
        bundle = knowing(tmp_path / "b", sound, (0.0, 0.0, 0.0))
        with pytest.raises(ValueError, match="must be 3, as there are families"):
            complete({k: v for k, v in bundle.manifest.items() if k != "channels"} | {"format": 2})

    def test_a_bundle_without_its_graph_is_refused(self, tmp_path: Path, sound: Any) -> None:
        bundle = knowing(tmp_path / "b", sound, (0.0, 0.0, 0.0))
        shutil.copytree(bundle.folder, tmp_path / "c")
        (tmp_path / "c" / f"{FAMILIES}.onnx").unlink()
        kept = {key: value for key, value in bundle.manifest.items() if key not in WORKED_OUT}
        write_bundle(tmp_path / "c", kept)
        with pytest.raises(BundleError) as caught:
            read_bundle(tmp_path / "c")
        assert caught.value.code == "missing_file"


class TestWords:
    def said(self, named: str | None) -> dict[str, Any]:
        near = [{"name": "conversion", "label": "voice conversion", "p": 0.7}]
        share = {"value": 0.6, "low": 0.5, "high": 0.7}
        return {"named": named, "nearest": near, "right": share, "unseen": share}

    def test_a_line_of_the_table_says_it(self) -> None:
        assert "voice conversion; named so rightly: 60 of 100" in families_in_words(
            self.said("conversion")
        )
        assert families_in_words(self.said(None)).endswith("nearest: voice conversion (0.70)")

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_the_page_says_it_in_each_language(self, language: str) -> None:
        words = words_in(language)
        named, unnamed = (on_the_page(words, self.said(name)) for name in ("conversion", None))
        assert words("family.of.conversion") in named and "60" in named
        assert words("family.of.conversion") in unnamed and "60" not in unnamed

    @pytest.mark.parametrize("name", OF_NAMES)
    def test_every_family_has_a_name_there(self, name: str) -> None:
        assert words_in("en")(f"family.of.{name}") == OF_NAMES[name].label
