"""Homes that tests train in and serve from: real runs of the command line on a tiny model."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from bonafide.bundle import META_MODELS
from bonafide.home import DEMO
from bonafide.simulation.corpus import simulate
from tests.helpers import forge
from tests.helpers.encoders import tiny_encoder

CONFIG = """
name: tiny
seed: 3
resamples: 50
folds: {count: 3, test_share: 0.2}
features: {encoder: ENCODER}
augmentation: {channels: {clean: 1, telephone: 1}}
fit: {epochs: 3, steps_per_epoch: 8, batch_rows: 16, average_momentum: 0.8}
models:
  cnn: {view: lfcc_high, width: 4, strides: [4, 2, 2], statistics_width: 8}
  rnn: {view: lfcc_top, width: 8, statistics_width: 8}
  bilstm: {view: mfcc, width: 8, statistics_width: 8}
  gru: {view: lfcc, width: 8, strides: [4, 2, 2], statistics_width: 8}
  xgboost: {trees: 30}
  robust:
    family: dense
    hears: [statistics, narrow]
    statistics_width: 8
    fit: {augmentation_weight: 0.5}
  speech: {family: dense, label: Speech, hears: [encoder], statistics_width: 8}
gate: {max_eer: 1.0}
"""
BASE_MODELS = ("cnn", "rnn", "bilstm", "gru", "xgboost", "robust", "speech")
META_OF_STAGES = tuple(f"{stage}meta_{name}" for stage in ("fast_", "") for name in META_MODELS)
GRAPHS = (
    *("detector", "frontend", "scaler", "router", "encoder"),
    *BASE_MODELS,
    *META_OF_STAGES,
)
LIMIT_S = 900.0  # a tiny run takes a minute or two; machines are shared


@dataclass(frozen=True)
class Home:
    """One home folder and the commands run in it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "BONAFIDE_HOME": str(self.folder),
            "ZENML_CONFIG_PATH": str(self.folder / "zenml"),
            "COLUMNS": "200",
        }

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "bonafide.cli", *map(str, words)]

    def run(
        self, *words: str | Path, folder: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command; by a fresh interpreter, if it finds modules elsewhere, as in `folder`."""
        if folder is None and os.environ.get("PYTHONPATH") == forge.PATHS:
            return forge.run([*map(str, words)], self.environment, LIMIT_S)
        return subprocess.run(
            self.command(*words),
            env=self.environment | ({"PYTHONPATH": str(folder)} if folder else {}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    def run_until(self, text: str, sent: signal.Signals, *words: str | Path) -> int:
        """Run until standard error says `text`, send the signal, and give the exit status."""
        log = self.folder.with_suffix(".log")
        with log.open("w") as file:
            process = subprocess.Popen(self.command(*words), env=self.environment, stderr=file)
            deadline = time.monotonic() + LIMIT_S
            try:
                while text not in log.read_text():
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.1)
                process.send_signal(sent)
                return process.wait(timeout=60)
            finally:
                process.kill()
                process.wait()

    def processes(self) -> list[str]:
        """Return the command lines of what runs with this home in its environment."""
        running = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended while we looked
                if f"BONAFIDE_HOME={self.folder}\0".encode() in (process / "environ").read_bytes():
                    running.append((process / "cmdline").read_text())
        return running

    def array(self, step: str, output: str, name: str) -> NDArray[np.float32]:
        """Load the one .npy of a name that a step left in the artifact store."""
        (path,) = self.folder.glob(f"zenml/local_stores/*/{step}/{output}/**/{name}.npy")
        return np.load(path)


def demo_home(folder: Path) -> Home:
    """Make a home like the demo's: what learned from simulated sound may be promoted there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DEMO).touch()
    return Home(folder)


@dataclass(frozen=True)
class Trained:
    """A finished run on a corpus of which a twentieth is broken."""

    home: Home
    corpus: Path
    config: Path
    broken: dict[str, str]
    output: str


def _break(manifest: Path) -> dict[str, str]:
    """Break three of sixty files: path -> the code it must be set aside with."""
    audio = sorted((manifest.parent / "audio").iterdir())
    text, cut, empty = audio[5], audio[22], audio[47]
    text.write_text("this is not audio\n" * 50)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    empty.write_bytes(b"")
    codes = {text: "not_audio", cut: "damaged", empty: "empty"}
    return {f"audio/{path.name}": code for path, code in codes.items()}


def small_corpus(folder: Path) -> dict[str, str]:
    """Simulate ``corpus/manifest.csv``; say which of its files are broken, and how."""
    return _break(simulate(folder / "corpus", clips=60, speakers=6))


def write_config(path: Path, *models: str) -> None:
    """Write the tiny configuration, of some of its base models or of all, and its encoder."""
    tiny_encoder(encoder := path.with_name("encoder.onnx"))
    values = yaml.safe_load(CONFIG.replace("ENCODER", str(encoder)))
    if models:
        values["models"] = {name: values["models"][name] for name in models}
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def train_tiny(workshop: Path) -> Trained:
    """Simulate a corpus in a folder, break some of it, and train on it, unless that was done."""
    home, config, known = workshop / "home", workshop / "tiny.yaml", workshop / "known.json"
    manifest = workshop / "corpus" / "manifest.csv"
    if not known.exists():
        broken = small_corpus(workshop)
        write_config(config)
        done = demo_home(home).run("train", "--config", config, "--corpus", manifest)
        assert done.returncode == 0, done.stderr + done.stdout
        known.write_text(json.dumps({"broken": broken, "output": done.stdout}))
    return Trained(Home(home), manifest, config, **json.loads(known.read_text()))
