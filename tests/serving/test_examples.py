"""The examples that score, run as their docstrings say."""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.sounds import Samples, encode
from bonafide.training.config import read_config
from tests.helpers.encoders import tiny_encoder
from tests.helpers.runbook import Reader, blocks, require_command
from tests.helpers.servers import Server

REPOSITORY = Path(__file__).resolve().parents[2]


def run(name: str, *words: str | Path, **environment: str) -> str:
    """Run an example and return what it prints."""
    command = [sys.executable, REPOSITORY / "examples" / name, *words]
    environment["PYTHONPATH"] = str(REPOSITORY)
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_the_service_is_called(service: Server, voice: Samples, tmp_path: Path) -> None:
    recording, text = tmp_path / "voice.flac", tmp_path / "text.flac"
    recording.write_bytes(encode(voice, "flac"))
    text.write_text("not audio")
    answer = json.loads(run("call_the_service.py", service.url, recording))
    assert answer == service.detect(recording.read_bytes()).json()
    answer = json.loads(run("call_the_service.py", service.url, text))
    assert answer["error"]["code"] == "not_audio"


def test_a_folder_is_scored(voice: Samples, tmp_path: Path) -> None:
    (tmp_path / "voice.flac").write_bytes(encode(voice, "flac"))
    (tmp_path / "text.flac").write_text("not audio")
    home = tmp_path / "home"
    broken, scored = run("score_folder.py", tmp_path, BONAFIDE_HOME=str(home)).splitlines()
    assert broken.split() == ["-", "not_audio", "text.flac"]
    assert scored.endswith("voice.flac") and "%" in scored


def test_every_command_of_the_tutorial(voice: Samples, tmp_path: Path) -> None:
    (tmp_path / "voicenote.ogg").write_bytes(encode(voice, "ogg"))
    with tempfile.TemporaryDirectory(prefix="bf") as temp, Reader(tmp_path, Path(temp)) as reader:
        page = (REPOSITORY / "docs" / "tutorial.md").read_text()
        hashed, scored, origin, _ = [reader.run(block.text) for block in blocks(page)]
    assert "voicenote.ogg" in scored and "What speaks " in scored
    assert "encoder_tag: The program that wrote it" in origin
    assert hashed.split()[0] in (tmp_path / "report.html").read_text()


def test_the_tutorial_on_encoders(tmp_path: Path) -> None:
    """An encoder is kept and named as the page says; training with one has tests of its own."""
    tiny_encoder(tmp_path / "encoder.onnx")
    page = (REPOSITORY / "docs" / "own-encoder.md").read_text()
    with tempfile.TemporaryDirectory(prefix="bf") as temp, Reader(tmp_path, Path(temp)) as reader:
        python, check, config, train = blocks(page)
        compile(python.text, "own-encoder.md", "exec")
        seen = reader.run(check.text)
    sha256 = hashlib.sha256((tmp_path / "encoder.onnx").read_bytes()).hexdigest()
    assert sha256 in seen
    (tmp_path / "own.yaml").write_text(config.text)
    parsed = read_config(tmp_path / "own.yaml")
    assert parsed.features["encoder"]["sha256"] == sha256
    assert "speech" in parsed.models
    require_command(train.text)
