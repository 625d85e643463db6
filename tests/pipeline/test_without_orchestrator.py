"""`bonafide.train` does the pipeline's work on the pipeline's functions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import bonafide
from bonafide.bundle import read_bundle
from bonafide.lineage.record import read_lineage
from tests.helpers.homes import Trained, demo_home

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "train_on_your_corpus.py"


def test_it_ends_in_the_pipelines_bundle_hash_for_hash(trained: Trained, tmp_path: Path) -> None:
    """Run as the example that trains, which is all there is to it."""
    demo_home(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, EXAMPLE, trained.corpus, trained.config],
        env={**os.environ, "BONAFIDE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[0])
    assert folder == tmp_path / "home" / "bundles" / "tiny" / "1"
    assert "base models: cnn, rnn, bilstm, gru, xgboost, robust, speech\nEER " in done.stdout
    made = read_bundle(folder).manifest
    piped_folder = trained.home.folder / "bundles" / "tiny" / "1"
    piped = read_bundle(piped_folder).manifest
    assert made["files"] == piped["files"] | {"lineage.json": made["files"]["lineage.json"]}
    assert made["sha256"] == piped["sha256"]
    ours, theirs = (read_lineage(read_bundle(each)) for each in (folder, piped_folder))
    assert ours and theirs and ours.run.keys() == {"ended"} < theirs.run.keys()
    assert {step.name: step.outputs for step in ours.steps} == {
        step.name: step.outputs for step in theirs.steps
    }
    assert {step.name: set(step.inputs) for step in ours.steps} == {
        step.name: set(step.inputs) for step in theirs.steps
    }
    assert not list((tmp_path / "home" / "work").glob("*"))
    assert (tmp_path / "home" / "journal" / "00000001.json").is_file()


def test_the_public_names_are_there_and_cost_nothing_before_they_are_used() -> None:
    script = (
        "import sys, bonafide; before = set(sys.modules)\n"
        "assert 'numpy' not in before and 'bonafide.detector' not in before\n"
        "heavy = {'tensorflow', 'zenml', 'xgboost', 'sklearn', 'librosa', 'onnx'}\n"
        "for name in bonafide.__all__:\n"
        "    if name not in ('train', 'adapt'): getattr(bonafide, name)\n"
        "print(heavy & set(sys.modules))\n"
        "both = callable(bonafide.train) and callable(bonafide.adapt)\n"
        "print(both, {'tensorflow', 'zenml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\nTrue set()\n", done.stderr
    assert set(bonafide.__all__) <= set(dir(bonafide))
    silence = bonafide.Detector().score(np.zeros(16_000, np.float32))
    assert isinstance(silence, bonafide.Detection)
