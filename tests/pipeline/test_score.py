"""`bonafide score` on every kind of file, with a bundle that training really made."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.sounds import mux
from bonafide.audio import decode
from tests.helpers.homes import BASE_MODELS, Trained

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def speech(real_clips: list[Path]) -> np.ndarray:
    return next(w for w in map(decode, real_clips) if len(w) == 4 * RATE_HZ)


@pytest.fixture(scope="module")
def same_sound(speech: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("same")
    paths = []
    for suffix in ("wav", "flac", "mp3", "ogg"):
        paths.append(folder / f"sound.{suffix}")
        soundfile.write(paths[-1], speech, RATE_HZ)
    for suffix, container, video in (("m4a", "ipod", False), ("mp4", "mp4", True)):
        paths.append(folder / f"sound.{suffix}")
        paths[-1].write_bytes(mux(container, "aac", speech[:, None], RATE_HZ, video=video))
    return paths


def scored(trained: Trained, *words: str | Path) -> tuple[int, list[dict]]:
    done = trained.home.run("score", "--format", "jsonl", *words)
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_same_sound_gives_the_same_verdict_in_six_formats(
    trained: Trained, same_sound: list[Path], tmp_path: Path
) -> None:
    """What a codec takes away is set aside: each file scores like the sound that it decodes to."""
    decoded = []
    for path in same_sound:
        decoded.append(tmp_path / f"{path.suffix[1:]}.wav")
        soundfile.write(decoded[-1], decode(path), RATE_HZ, subtype="FLOAT")
    status, results = scored(trained, *same_sound)
    assert status == 0
    assert [result["path"] for result in results] == [str(path) for path in same_sound]
    _, again = scored(trained, *decoded)
    for result, plain in zip(results, again, strict=True):
        assert result["p_spoof"] == pytest.approx(plain["p_spoof"], abs=1e-4), result["path"]
    p_spoof = {Path(r["path"]).suffix: r["p_spoof"] for r in results}
    assert p_spoof[".flac"] == pytest.approx(p_spoof[".wav"], abs=1e-6)  # lossless
    assert p_spoof[".mp4"] == pytest.approx(p_spoof[".m4a"], abs=1e-4)  # one codec, two containers
    for result in results:
        assert set(result) == {
            *("path", "verdict", "llr", "p_spoof", "duration_s", "segments", "models", "stack"),
            *("channel", "parts", "tracks", "warnings", "bundle"),
        }
        assert tuple(result["models"]) == BASE_MODELS
        assert list(result["stack"]) == ["logistic", "xgboost"]
        assert set(result["bundle"]) == {"name", "version", "sha256"}
        assert len(result["segments"]) == 1


def test_files_that_cannot_be_scored_are_reported_and_the_others_scored(
    trained: Trained, speech: np.ndarray, tmp_path: Path
) -> None:
    good = tmp_path / "good.wav"
    soundfile.write(good, speech, RATE_HZ)
    (tmp_path / "text.wav").write_text("not a sound\n" * 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    content = good.read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    soundfile.write(tmp_path / "short.wav", speech[: RATE_HZ // 5], RATE_HZ)
    soundfile.write(tmp_path / "silence.wav", np.zeros(10 * RATE_HZ), RATE_HZ)
    shutil.copy(good, tmp_path / "--help.wav")
    names = ["text.wav", "empty.wav", "cut.wav", "short.wav", "silence.wav", "gone.wav", "good.wav"]
    done = subprocess.run(
        [*trained.home.command("score", "--format", "jsonl"), *names, "--help.wav"],
        env={**trained.home.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    results = [json.loads(line) for line in done.stdout.splitlines()]
    by_name = {result["path"]: result for result in results}
    assert list(by_name) == [*names, "./--help.wav"]
    errors = {name: r["error"]["code"] for name, r in by_name.items() if "error" in r}
    assert errors == {"text.wav": "not_audio", "empty.wav": "empty", "gone.wav": "unreadable"}
    assert "text.wav: not an audio file" in by_name["text.wav"]["error"]["message"]
    for name, warning in (("short.wav", "too_short"), ("silence.wav", "no_speech")):
        assert by_name[name]["verdict"] == "inconclusive"
        assert by_name[name]["warnings"][0]["code"] == warning
    assert by_name["silence.wav"]["llr"] == 0.0
    assert by_name["silence.wav"]["models"]["cnn"] is None
    assert by_name["cut.wav"]["duration_s"] == pytest.approx(2.0, abs=0.01)
    (damaged,) = by_name["cut.wav"]["warnings"]
    assert damaged["code"] == "damaged"
    assert damaged["message"].startswith("128000 bytes of sound are stated")
    assert by_name["good.wav"]["llr"] == by_name["./--help.wav"]["llr"]


def test_three_hours_are_scored_in_memory_that_does_not_grow(
    trained: Trained, speech: np.ndarray, tmp_path: Path
) -> None:
    for name, minutes in (("minutes.flac", 3), ("hours.flac", 180)):
        path = tmp_path / name
        with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
            for _ in range(minutes * 15):
                file.write(speech)
    script = (
        "import resource, sys; from bonafide.cli import main;"
        "status = main(['score', '--format', 'jsonl', sys.argv[1]]);"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "print(peak // 1024, file=sys.stderr); sys.exit(status)"
    )
    peak_mb = {}
    for name in ("minutes.flac", "hours.flac"):
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / name],
            env=trained.home.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        peak_mb[name] = int(done.stderr)
    assert result["duration_s"] == 3 * 3600
    assert len(result["segments"]) == 2700
    assert peak_mb["hours.flac"] <= peak_mb["minutes.flac"] + 20, peak_mb


def test_folders_tables_and_csv(trained: Trained, same_sound: list[Path], tmp_path: Path) -> None:
    folder = same_sound[0].parent
    (folder / "notes.txt").write_text("left alone")
    table = trained.home.run("score", folder)
    assert table.returncode == 0
    assert sum("/" in line for line in table.stdout.splitlines()) == len(same_sound)
    output = tmp_path / "scores.csv"
    assert trained.home.run("score", folder, "--format", "csv", "--output", output).returncode == 0
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == sorted(map(str, same_sound))
    assert {row["error"] for row in rows} == {""}


def test_altered_bundle_and_wrong_usage_are_refused(trained: Trained, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(trained.home.folder / "bundles" / "tiny" / "1", copy)
    with (copy / "gru.onnx").open("ab") as file:
        file.write(b"\0")
    altered = trained.home.run("score", "x.wav", "--bundle", copy)
    assert altered.returncode == 2
    assert "bonafide: altered: " in altered.stderr
    assert trained.home.run("score").returncode == 2
    assert trained.home.run("score", "x.wav", "--format", "xml").returncode == 2


def test_scoring_imports_no_training_library(trained: Trained, same_sound: list[Path]) -> None:
    script = (
        "import sys\n"
        "for name in ('tensorflow keras zenml librosa sklearn xgboost onnx scipy pandas pydantic "
        "yaml matplotlib pyarrow').split(): sys.modules[name] = None\n"
        "from bonafide.cli import main; sys.exit(main(['score', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, same_sound[0]],
        env=trained.home.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_help_is_instant() -> None:
    script = "import sys, bonafide.cli; print(sorted(m for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    for heavy in ("numpy", "onnxruntime", "soundfile", "av", "rich", "zenml"):
        assert f"'{heavy}'" not in done.stdout, heavy
