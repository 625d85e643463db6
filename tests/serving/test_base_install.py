"""The base install alone: a second environment, made of the locked serving set and the wheel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sounds import Samples, encode
from bonafide.artifact import file_sha256
from bonafide.detector import Detector
from bonafide.monitoring.record import Answered, Record
from serving.http.app import npm
from tests.conftest import REPOSITORY
from tests.helpers.moments import ALL
from tests.helpers.servers import private_home, server, wait_for
from tests.unit.test_trust import key_pair

TRAINING = ("tensorflow", "keras", "zenml", "librosa", "sklearn", "xgboost", "onnx", "streamlit")
# The oldest and the newest, unless all are asked for.
RELEASES = ("3.11", "3.12", "3.13") if ALL else ("3.11", "3.13")
QUIET = ("--quiet", "--disable-pip-version-check", "--no-deps")


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
    """This interpreter, and those of `RELEASES` that the machine has."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for release in RELEASES:
        # A name on the PATH may belong to a version manager that has it switched off.
        path = shutil.which(f"python{release}")
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            found.setdefault(release, path)
    return found


INTERPRETERS = interpreters()


def install(python: Path, *words: str | Path) -> None:
    """Install into another environment, by its own pip: an older one may not know its release."""
    run(python, "-m", "pip", "install", *QUIET, *words)


@pytest.fixture(scope="module", params=INTERPRETERS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The other environment's interpreter."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    run(INTERPRETERS[request.param], "-m", "venv", folder)
    python, lock = folder / "bin" / "python", REPOSITORY / "requirements-serving.lock"
    # What is not imported is not compiled either: that is a third of an installation's time.
    install(python, "--no-compile", "--require-hashes", "--requirement", lock)
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    make = ("-m", "pip", "wheel", *QUIET, "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, *make, REPOSITORY)
    return next(folder.glob("bonafide-*.whl"))


@pytest.fixture(scope="module")
def installed(
    python: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The wheel, where a variable of the environment shows it: a Bento must do without."""
    folder = tmp_path_factory.mktemp("site")
    install(python, "--target", folder, wheel)
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


def test_the_page_that_judges_in_the_browser_is_whole(
    python: Path, installed: dict[str, str], tmp_path: Path
) -> None:
    if not npm.is_there():
        assert not os.environ.get("CI"), "there is no npm"
        pytest.skip("a wheel that is built without npm has no such page")
    run(python, "-m", "serving.http.app", tmp_path / "site", **installed)
    made = {path.relative_to(tmp_path / "site").as_posix() for path in tmp_path.rglob("*.*")}
    assert {"index.html", "sw.js", "detector.onnx", "runtime/ort.wasm", "rules.json"} <= made


def every_command(python: Path, installed: dict[str, str]) -> list[list[str]]:
    """List the words of every command that does something."""
    code = (
        "import json, click\n"
        "from bonafide.cli.root import cli\n"
        "def walk(command, words):\n"
        "    if not isinstance(command, click.Group): return [words]\n"
        "    names = command.list_commands(None)\n"
        "    return [w for n in names for w in walk(command.get_command(None, n), [*words, n])]\n"
        "print(json.dumps(walk(cli, [])))\n"
    )
    commands: list[list[str]] = json.loads(run(python, "-c", code, **installed))
    return commands


NEEDED = {  # what a command must be given to get as far as its work
    "tune": ["--model", "gru", "--corpus", "{corpus}"],
    "train": ["--config", "full", "--corpus", "{corpus}"],
    "score": ["{corpus}", "--format", "json"],
    "provenance": ["{corpus}", "--json"],
    "report": ["{corpus}/real/0.flac", "--html", "{folder}/report.html"],
    "evaluate": ["--corpus", "{corpus}", "--json", "{folder}/metrics.json"],
    "keys add": ["{folder}/keys.json", "ana"],
    "keys list": ["{folder}/keys.json"],
    "keys revoke": ["{folder}/keys.json", "ana"],
    "adapt": ["--corpus", "{corpus}"],
    "feedback add": ["r1", "--label", "spoof", "--record", "{folder}/record.sqlite"],
    "feedback manifest": ["{folder}/judged", "--record", "{folder}/record.sqlite"],
    "models encoder": ["{corpus}/real/0.flac"],
    "models canary": ["fast:5%"],
    "models diff": ["default", "fast"],
    "models hold": ["default"],
    "models promote": ["fast", "--override", "a test"],
    "models pull": ["fast", "--from", "{folder}/home"],
    "models push": ["fast", "--to", "{folder}/other"],
    "models release": ["default"],
    "models shadow": ["--off"],
    "models sign": ["default", "--key", "{folder}/mine.key"],
    "models verify": ["default", "--key", "{folder}/mine.pub"],
    "corpus inspect": ["{corpus}"],
    "corpus simulate": ["{folder}/simulated", "--clips", "48", "--speakers", "6"],
    "schedule emit": ["--target", "cron", "--cron", "0 3 * * *", "--corpus", "{corpus}"],
    "schedule run": ["--cron", "0 3 * * *", "--corpus", "{corpus}"],
}


def test_every_command_works_or_says_what_it_lacks(
    python: Path, installed: dict[str, str], clip: Path, tmp_path: Path
) -> None:
    for label in ("real", "fake"):
        (tmp_path / "corpus" / label).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "corpus" / label / f"{number}.flac").symlink_to(clip)
    key_pair(tmp_path, "mine")
    (tmp_path / "judged").mkdir()
    (tmp_path / "judged" / "one.flac").symlink_to(clip)
    answered = Answered(
        *(0.0, "r1", file_sha256(clip), "1" * 64, "clean", 1.0, 2.0, "bonafide", 4.0, {"cnn": 0.1})
    )
    Record(tmp_path / "record.sqlite").add([answered])

    def type_in(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [python, "-m", "bonafide.cli", *words],
            cwd="/",
            env={**os.environ, **installed, "BONAFIDE_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
        )

    for shipped in ("default", "fast"):  # only what is kept can be held or promoted
        assert type_in("models", "push", shipped, "--to", str(tmp_path / "home")).returncode == 0
    worked = set()
    for words in every_command(python, installed):
        if words in (["serve"], ["watch"], ["calls"], ["stream"]):  # below
            continue
        given = [
            word.format(corpus=tmp_path / "corpus", folder=tmp_path)
            for word in NEEDED.get(" ".join(words), [])
        ]
        done = type_in(*words, *given)
        if done.returncode == 0:
            worked.add(" ".join(words))
        else:
            assert done.returncode == 2, (words, done.stderr)
            said = done.stderr.splitlines()[-1]
            assert said.startswith("bonafide: not_installed: "), (words, done.stderr)
            assert "is missing: pip install 'bonafide[" in said
    assert {"models sign", "models verify", "models sbom"} <= worked
    assert {"feedback add", "feedback manifest", "provenance", "report"} <= worked
    assert {"score", "evaluate", "models list", "models show", "corpus inspect"} <= worked
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["counts"]["rows"] == 4


def test_a_report_fails_before_anything_is_scored(
    python: Path, installed: dict[str, str], tmp_path: Path
) -> None:
    words = ["evaluate", "--corpus", str(tmp_path / "gone"), "--report", str(tmp_path / "r.html")]
    done = subprocess.run(
        [python, "-m", "bonafide.cli", *words],
        env={**os.environ, **installed},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    said = "bonafide: not_installed: matplotlib is missing: pip install 'bonafide[train]'\n"
    assert done.stderr == said


def test_configurations_go_by_name_in_a_wheel(python: Path, installed: dict[str, str]) -> None:
    code = (
        "from bonafide.cli.options import ConfigFile\n"
        "print(ConfigFile().convert('full', None, None).read_text())"
    )
    said = run(python, "-c", code, **installed)
    assert said.strip() == (REPOSITORY / "configs" / "full.yaml").read_text().strip()


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


def test_calls(python: Path, installed: dict[str, str]) -> None:
    words = ("calls", "--twilio", "0", "--audiosocket", "0", "--service", "http://127.0.0.1:9")
    command, known = [python, "-m", "bonafide.cli", *words], {**os.environ, **installed}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=known) as process:
        assert process.stderr is not None
        assert all("listening on" in process.stderr.readline() for _ in range(2))
        process.terminate()
        assert process.wait(60) == 0


def test_watch(python: Path, installed: dict[str, str], clip: Path, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    shutil.copy(clip, tmp_path / "inbox")
    command = [str(python), "-m", "bonafide.cli", "watch", str(tmp_path / "inbox")]
    environment = {**os.environ, **installed, "BONAFIDE_HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        results = tmp_path / "inbox.jsonl"
        wait_for(lambda: results.exists() and results.read_text(), "the clip is scored")
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and clip.name in said
    assert json.loads(results.read_text())["bundle"]["name"] == "default"


def test_stream(python: Path, installed: dict[str, str], clip: Path, tmp_path: Path) -> None:
    command = [str(python), "-m", "bonafide.cli", "stream", str(clip), "--at-once", "--json"]
    environment = {**os.environ, **installed, "BONAFIDE_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    *moments, end = map(json.loads, done.stdout.splitlines())
    assert [each["at_s"] for each in moments] == [0.5 * i for i in range(1, len(moments) + 1)]
    assert end["end"] is True and end["bundle"]["name"] == "default"


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
