"""A bundle is made again hash for hash, and without the golden set that was there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import bonafide
from bonafide.bundle import read_bundle
from bonafide.corpora.schema import Corpus
from bonafide.lineage.record import read_lineage
from bonafide.lineage.rows import GOLDEN, read_rows
from bonafide.simulation.corpus import simulate
from bonafide.training.config import parse_config
from bonafide.training.golden import golden_set
from tests.helpers.encoders import tiny_encoder
from tests.helpers.homes import Home

CONFIG = {
    "name": "small",
    "seed": 3,
    "resamples": 50,
    "folds": {"count": 3, "test_share": 0.0},  # so all that is held out is golden
    "augmentation": {"channels": {"clean": 1, "telephone": 1}},
    "models": {
        "xgboost": {"trees": 20},
        "speech": {"family": "dense", "hears": ["encoder"], "statistics_width": 8},
    },
    "fit": {"epochs": 2, "steps_per_epoch": 8, "batch_rows": 16},
}


def test_the_same_rows_are_held_out_and_the_hash_is_the_same(
    fresh_home: Callable[[str], Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fresh_home("golden")
    monkeypatch.setenv("BONAFIDE_HOME", str(home.folder))  # a configuration keeps its encoder there
    corpus = bonafide.read_corpus(simulate(tmp_path / "corpus", clips=48, speakers=6))
    speaker = corpus.rows[0].speaker
    own = Corpus(corpus.root, [row for row in corpus if row.speaker == speaker])
    listed = tmp_path / "own" / "manifest.csv"
    listed.parent.mkdir()
    for row in own:
        (listed.parent / row.path).parent.mkdir(exist_ok=True)
        shutil.copyfile(corpus.audio_path(row), listed.parent / row.path)
    listed.write_bytes(own.to_csv().encode())
    tiny_encoder(tmp_path / "encoder.onnx")
    more = {
        "gate": {"golden": str(listed)},
        "features": {"encoder": str(tmp_path / "encoder.onnx")},
    }
    config = parse_config(CONFIG | more, "a test")
    made = bonafide.train(config, corpus, root=home.folder)

    lineage, rows = read_lineage(made), read_rows(made).to_pylist()
    golden = golden_set(home.folder, str(listed))
    assert lineage and golden and lineage.golden == {"sha256": golden.sha256}
    held = {row["path"] for row in rows if row["use"] == GOLDEN}
    assert held and held <= {row.path for row in own}
    assert "golden set" in home.run("models", "lineage", "small").stdout

    shutil.rmtree(listed.parent)  # neither it nor what was frozen of it is needed
    shutil.rmtree(home.folder / "golden")
    done = home.run("models", "reproduce", "small", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["identical"] and said["differing"] == []
    assert said["made"] == read_bundle(made.folder).digest()
