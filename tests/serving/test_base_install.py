"""The base install alone: a second environment, made of the locked serving set and the wheel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sounds import Samples, encode
from bonafide.detector import Detector
from tests.conftest import REPOSITORY
from tests.helpers.servers import private_home, server

TRAINING = ("tensorflow", "keras", "zenml", "librosa", "sklearn", "xgboost", "onnx", "streamlit")
RELEASES = ("3.11", "3.12", "3.13")
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")


def run(*words: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def interpreters() -> dict[str, str]:
    """This interpreter, and those of the other supported releases that the machine has."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for release in RELEASES:
        # A name on the PATH may belong to a version manager that has it switched off.
        path = shutil.which(f"python{release}")
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            found.setdefault(release, path)
    return found


INTERPRETERS = interpreters()


@pytest.fixture(scope="module", params=INTERPRETERS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The other environment's interpreter."""
    folder = tmp_path_factory.mktemp("base")
    run(INTERPRETERS[request.param], "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, *PIP, "--require-hashes", "-r", REPOSITORY / "requirements-serving.lock")
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    make = (*PIP[:2], "wheel", *PIP[3:], "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, *make, REPOSITORY)
    return next(folder.glob("bonafide-*.whl"))


@pytest.fixture(scope="module")
def installed(
    python: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The wheel, where a variable of the environment shows it: a Bento must do without."""
    folder = tmp_path_factory.mktemp("site")
    run(python, *PIP, "--target", folder, wheel)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, voice: Samples) -> Path:
    path = tmp_path_factory.mktemp("clip") / "voice.flac"
    path.write_bytes(encode(voice, "flac"))
    return path


def test_training_libraries_are_absent(python: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {TRAINING} if u.find_spec(n)])"
    assert run(python, "-c", code).strip() == "[]"


def test_score(
    python: Path, installed: dict[str, str], bundle_home: Path, clip: Path, detector: Detector
) -> None:
    words = ("-m", "bonafide.cli", "score", clip, "--format", "jsonl")
    said = json.loads(run(python, *words, **installed, BONAFIDE_HOME=str(bundle_home)))
    expected = detector.score(clip).to_json()
    assert said == {"path": str(clip), **expected}


def test_a_benchmark_says_what_it_lacks(python: Path, installed: dict[str, str]) -> None:
    done = subprocess.run(
        [python, "-m", "bonafide.cli", "bench"],
        cwd="/",
        env={**os.environ, **installed},
        capture_output=True,
        text=True,
    )
    assert done.returncode > 0
    assert "librosa is missing: pip install 'bonafide[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve(
    python: Path,
    installed: dict[str, str],
    bundle_home: Path,
    clip: Path,
    detector: Detector,
    tmp_path: Path,
) -> None:
    home = private_home(bundle_home, tmp_path / "home")
    command = (str(python), "-m", "bonafide.cli", "serve")
    with server(home, command=command, environment=installed, workers=1) as running:
        answer = running.detect(clip.read_bytes())
    assert answer.json() == detector.score(clip).to_json()


def test_bento(
    python: Path, bundle_home: Path, clip: Path, detector: Detector, tmp_path: Path
) -> None:
    """A Bento answers with the bundle inside, where nothing is in production."""
    bentos = {"BENTOML_HOME": str(tmp_path / "bentos"), "BENTOML_DO_NOT_TRACK": "true"}
    build = (sys.executable, "-m", "serving.bento")
    output = run(*build, **bentos, BONAFIDE_HOME=str(bundle_home), PYTHONPATH=str(REPOSITORY))
    tag = output.split()[-1]
    empty = tmp_path / "home"
    empty.mkdir()
    command = (str(python), "-m", "bentoml", "serve", tag)
    with server(empty, command=command, environment=bentos, workers=1) as running:
        answer = running.detect(clip.read_bytes())
    assert answer.json() == detector.score(clip).to_json()
