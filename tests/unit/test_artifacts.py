"""Artifacts: plain files and back, the same hash, wherever the artifact store is."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Self, cast

import numpy as np
import pytest
from zenml.enums import VisualizationType
from zenml.io.fileio import makedirs
from zenml.io.filesystem_registry import default_filesystem_registry
from zenml.io.local_filesystem import LocalFilesystem
from zenml.materializers.materializer_registry import materializer_registry

from bonafide.artifact import JSON, Artifact, sha256_of
from bonafide.bundle import Bundle, write_bundle
from bonafide.corpora.schema import Corpus, Row
from bonafide.evaluation.evaluate import DECISION, evaluate
from bonafide.evaluation.metrics import Interval
from bonafide.features.spec import STATISTICS, FeatureSpec
from bonafide.models.examples import Standard
from bonafide.training.audit import Audit
from bonafide.training.config import AugmentationConfig
from bonafide.training.families import Families
from bonafide.training.fitting import FittedBase
from bonafide.training.folds import Folds
from bonafide.training.judgement import Judgement, Outcome
from bonafide.training.recordings import MEASURES, Quarantine, Recordings, Rejected
from bonafide.training.routing import Router
from bonafide.training.rules import Answers, Route, Rules
from bonafide.training.scaling import Scaler
from bonafide.training.stacking import Calibration, Linear, Stack, Stage
from bonafide.training.store import AUGMENTATION, DONE, SPEC, FeatureStore
from bonafide.training.tuning import Study
from materializers import ArtifactMaterializer
from tests.helpers.bundles import BASE_MODELS, GRAPHS

EVIL = "<script>alert('&')</script>"
AUDIT = Audit(None, Interval(0.4, 0.3, 0.5), {"codec": 1.0})


def rows() -> Corpus:
    labels = ("bonafide", "spoof")
    return Corpus(
        Path("here"),
        [Row(f"{k}.wav", labels[k % 2], source=EVIL, text_id='a,"b"\n') for k in range(8)],
    )


def recordings() -> Recordings:
    measures = np.random.default_rng(0).normal(size=(8, len(MEASURES)))
    return Recordings(rows(), np.array([f"sound {k}" for k in range(8)]), measures)


def judgement() -> Judgement:
    corpus = rows()
    scores = {DECISION: np.where(corpus.is_spoof, -1.0, 1.0) + np.linspace(-2, 2, 8)}
    found = evaluate(scores, corpus, title="t", prior_spoof=0.5, resamples=50, notes=("n",))
    outcome = Outcome(None, found, AUDIT, {"cnn": 1e-7})
    trained = np.zeros(len(scores[DECISION]), dtype=bool)
    return Judgement(outcome, "<!doctype html>\u00e9", np.arange(8), scores[DECISION], trained)


def scaler() -> Scaler:
    mean = np.arange(3, dtype=np.float32)
    bounded = Standard(mean, mean + 1, 4.0, mean * 2)
    return Scaler({"lfcc": Standard(mean, mean + 1), STATISTICS: bounded})


def fitted(name: str = "cnn") -> FittedBase:
    history = {"final": {"loss": [0.7, 0.5]}, "fold 0": {"loss": [0.6]}}
    oof = np.linspace(0, 1, 16, dtype=np.float32).reshape(8, 2)
    nested, config = np.stack([oof, oof / 2], axis=1), {"view": "lfcc", "width": 8}
    return FittedBase(
        *(name, name.upper(), "lfcc", config, b"a model", ".keras", oof, nested), history=history
    )


def stack() -> Stack:
    return Stack(Linear((0.5, 1.5), -0.1), b"trees", "xgboost", {"logistic": 0.4, "xgboost": 0.3})


def router() -> Router:
    rng = np.random.default_rng(0)
    shapes = ((5, 2), (2,), (5, 3), (3,), (8, 4, 2), (8, 3, 4, 2), (8, 4))
    return Router(("clean", "opus"), *(rng.normal(size=s).astype(np.float32) for s in shapes))


def families() -> Families:
    rng = np.random.default_rng(0)
    weights, bias = (rng.normal(size=size).astype(np.float32) for size in ((5, 3), 3))
    measured = {"unseen": Interval(0.8, 0.7, 0.9)}
    return Families(("a", "b", "c"), ("statistics",), weights, bias, 0.65, measured)


def rules() -> Rules:
    thresholds = {"bonafide_to": 0.1, "channels": {"opus": {"bonafide_to": None}}}
    answers = (Answers({"spoof_from": 0.9}, {}), Answers(thresholds, {"opus": {"rows": 9}}, 0.25))
    route = Route(2.5, 0.5, ("clean", "codec"))
    return Rules((Calibration(1.0, 0.5), Calibration(0.9, 0.1)), route, answers, np.ones((8, 4, 2)))


def store(folder: Path) -> FeatureStore:
    folder.mkdir()
    spec = FeatureSpec()
    for name in (*spec.views, *spec.vectors):
        np.save(folder / f"{name}.npy", np.ones((2, 3), dtype=np.float32))
    (folder / SPEC).write_text(json.dumps(spec.to_json()))
    (folder / AUGMENTATION).write_text(AugmentationConfig().model_dump_json())
    (folder / DONE).write_text(json.dumps({0: "sound 0", 1: "sound 1"}) + "\n")
    return FeatureStore(folder)


def bundle(folder: Path) -> Bundle:
    folder.mkdir()
    for name in GRAPHS:
        (folder / f"{name}.onnx").write_bytes(name.encode())
    entries = {"name": "tiny", "version": "1", "choice": "logistic", "config_sha256": "c"}
    rest = {
        "models": list(BASE_MODELS),
        "views": {},
        "thresholds": {"bonafide_to": 0.2, "spoof_from": 0.8},
        "calibration": {"slope": 1.0, "intercept": 0.0},
        "feature_spec": None,
        "prior_spoof": 0.5,
    }
    return write_bundle(folder, {**entries, **rest, "corpus": {"rows_sha256": "r"}})


def everything(folder: Path) -> dict[type, Artifact]:
    """Make one artifact of each kind."""
    made = (
        recordings(),
        Quarantine([Rejected(3, "a|b.wav", "not_audio", EVIL)], 9),
        Folds(np.arange(8) // 2, np.array([-1, -1, 0, 0, 1, 1, 1, 1])),
        store(folder / "store"),
        scaler(),
        fitted(),
        stack(),
        Stage("fast_", ("cnn", "rnn"), stack(), np.ones((8, 4, 2), np.float32)),
        router(),
        families(),
        rules(),
        Calibration(1.25, -0.5),
        bundle(folder / "bundle"),
        AUDIT,
        judgement(),
        Study("gru", {"width": 32}, 0.3, [{"number": 0, "loss": 0.3, "values": {"width": 32}}]),
    )
    return {type(artifact): artifact for artifact in made}


KINDS = (
    *(Recordings, Quarantine, Folds, FeatureStore, Scaler, FittedBase, Stack, Calibration),
    *(Stage, Router, Families, Rules, Bundle, Audit, Judgement, Study),
)


class Far(LocalFilesystem):
    """Another machine's file system, as far as ZenML can tell."""

    SUPPORTED_SCHEMES: ClassVar[set[str]] = {"far://"}
    ROOT: ClassVar[Path]

    @classmethod
    def here(cls, path: Any) -> str:
        return str(path).replace("far://", f"{cls.ROOT}/")

    @staticmethod
    def open(path: Any, mode: str = "r") -> Any:
        return LocalFilesystem.open(Far.here(path), mode)

    @staticmethod
    def exists(path: Any) -> bool:
        return LocalFilesystem.exists(Far.here(path))

    @staticmethod
    def size(path: Any) -> int:
        return LocalFilesystem.size(Far.here(path))

    @staticmethod
    def makedirs(path: Any) -> None:
        LocalFilesystem.makedirs(Far.here(path))

    @staticmethod
    def walk(top: Any, *_: Any, **__: Any) -> Iterable[Any]:
        for folder, folders, files in LocalFilesystem.walk(Far.here(top)):
            yield str(folder).replace(f"{Far.ROOT}/", "far://"), folders, files


@pytest.fixture(params=["local", "remote"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "artifact")
    Far.ROOT = tmp_path
    default_filesystem_registry.register(Far)
    makedirs("far://artifact")
    return "far://artifact"


class TestMaterializer:
    @pytest.mark.parametrize("kind", KINDS)
    def test_round_trip(
        self, kind: type[Artifact], uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = everything(tmp_path)[kind]
        monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
        materializer = ArtifactMaterializer(uri, cast(Any, SimpleNamespace(path="far://store")))
        materializer.save(made)
        read = materializer.load(kind)
        assert type(read) is kind
        assert materializer.compute_content_hash(read) == made.digest() == read.digest()
        assert read.facts() == made.facts()
        assert read.pages() == made.pages()
        json.dumps(made.facts())
        stored = [path for path in (tmp_path / "artifact").rglob("*") if path.is_file()]
        assert stored
        assert not [path for path in stored if path.read_bytes()[:1] == b"\x80"]  # no pickle

    @pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "<U5"])
    def test_arrays(self, dtype: str, uri: str) -> None:
        array = np.arange(12).reshape(3, 4).T.astype(dtype)
        materializer = ArtifactMaterializer(uri)
        materializer.save(array)
        read = materializer.load(np.ndarray)
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype
        hashed = materializer.compute_content_hash
        assert hashed(read) == hashed(array) == materializer.extract_metadata(array)["sha256"]
        assert hashed(array) != hashed(array.T) != hashed(array[::-1])

    def test_objects_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="allow_pickle=False"):
            ArtifactMaterializer(str(tmp_path)).save(np.array([{}], dtype=object))

    def test_pages_are_stored_beside_it(self, uri: str, tmp_path: Path) -> None:
        materializer = ArtifactMaterializer(uri)
        made = everything(tmp_path)
        for kind, name in (
            (Recordings, "corpus.html"),
            (Quarantine, "quarantine.html"),
            (Folds, "folds.html"),
            (FittedBase, "curves.html"),
            (Judgement, "report.html"),
            (Study, "trials.html"),
        ):
            materializer.save(made[kind])
            saved = materializer.save_visualizations(made[kind])
            assert saved == {f"{uri}/{name}": VisualizationType.HTML}
            page = (tmp_path / "artifact" / name).read_text()
            assert page.startswith("<!doctype html>")
            assert "<script" not in page
            for link in ("src=", 'href="http', "url(http", "@import"):
                assert link not in page

    def test_it_stores_what_it_has_never_heard_of(self, uri: str) -> None:
        @dataclass(frozen=True)
        class Note(Artifact):
            text: str

            def save(self, folder: Path) -> None:
                (folder / "note.md").write_text(self.text)

            @classmethod
            def load(cls, folder: Path) -> Self:
                return cls((folder / "note.md").read_text())

            def digest(self) -> str:
                return sha256_of(self.text)

            def facts(self) -> dict[str, JSON]:
                return {"length": len(self.text)}

            def pages(self) -> dict[str, str]:
                return {"shown.md": self.text}

        assert materializer_registry[Note] is ArtifactMaterializer
        materializer, note = ArtifactMaterializer(uri), Note("# heard")
        materializer.save(note)
        assert materializer.load(Note) == note
        assert materializer.extract_metadata(note) == {"length": 7, "sha256": note.digest()}
        saved = materializer.save_visualizations(note)
        assert saved == {f"{uri}/shown.md": VisualizationType.MARKDOWN}


class TestDigest:
    def test_is_of_the_content(self) -> None:
        assert fitted().digest() == fitted().digest()
        assert fitted("rnn").digest() != fitted().digest()
        changed = replace(recordings(), sha256=np.array([*"abcdefgh"]))
        assert changed.digest() != recordings().digest()
        assert Calibration(1.0, 2.0).digest() != Calibration(2.0, 1.0).digest()

    def test_parts_are_kept_apart(self) -> None:
        assert sha256_of("ab", "c") != sha256_of("a", "bc")
        assert sha256_of("a", b"b") == sha256_of(b"a", "b")


def test_scoring_needs_neither_pages_nor_types() -> None:
    script = (
        "import sys\n"
        "for name in ('jinja2', 'pydantic', 'pyarrow', 'matplotlib'): sys.modules[name] = None\n"
        "import bonafide.scoring, bonafide.detector, bonafide.evaluation.report"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
