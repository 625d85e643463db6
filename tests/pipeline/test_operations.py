"""Where a model came from, and what it says of files."""

import json
from pathlib import Path

from bonafide.bundle import read_bundle
from bonafide.monitoring.record import REFERENCE_ROWS, Record
from bonafide.monitoring.watch import Watch
from tests.helpers.homes import Trained
from tests.helpers.traffic import TELEPHONES, answers


def test_models_list_gives_the_contract_s_fields(trained: Trained) -> None:
    done = trained.home.run("models", "list", "--json")
    assert done.returncode == 0, done.stderr
    (model,) = (each for each in json.loads(done.stdout) if each["name"] == "tiny")
    assert set(model) == {"name", "version", "stage", "beside", "created", "sha256", "held"}
    assert (model["name"], model["version"], model["stage"]) == ("tiny", "1", "production")


def test_models_show_and_unknown_models(trained: Trained) -> None:
    shown = trained.home.run("models", "show", "--json")
    assert json.loads(shown.stdout)["metrics"]["eer"]["value"] >= 0
    unknown = trained.home.run("models", "show", "other:9")
    assert unknown.returncode == 2
    assert "no bundle 'other:9'; known are tiny:1" in unknown.stderr


def test_evaluate_writes_json_and_report(trained: Trained) -> None:
    folder = trained.home.folder
    done = trained.home.run(
        "evaluate",
        *("--corpus", trained.corpus, "--json", folder / "e.json", "--report", folder / "e.html"),
    )
    assert (
        done.returncode == 1
    )  # two of the broken files; the one cut short is scored as far as it goes
    metrics = json.loads((folder / "e.json").read_text())
    assert len(metrics["failed"]) == 2
    assert metrics["counts"]["rows"] == 58
    assert sum(metrics["left_out"].values()) == 2
    assert 0 <= metrics["systems"]["decision"]["eer"]["value"] <= 1
    assert "<svg" in (folder / "e.html").read_text()


def test_what_is_answered_is_watched_by_a_pipeline(trained: Trained, tmp_path: Path) -> None:
    """It keeps what `bonafide monitor` tells, draws it, and says by its exit that it alarms."""
    bundle = read_bundle(trained.home.folder / "bundles" / "tiny" / "1").digest()
    record, page = tmp_path / "record.sqlite", tmp_path / "drift.html"
    Record(record).add(answers(1, REFERENCE_ROWS + 100, bundle=bundle))
    words = ("monitor", "--record", record, "--check", "--json")
    quiet = trained.home.run(*words)
    assert quiet.returncode == 0, quiet.stderr
    Record(record).add(answers(2, 100, TELEPHONES, bundle=bundle))
    plain = trained.home.run(*words)
    run = trained.home.run(*words, "--pipeline", "--report", page)
    assert (plain.returncode, run.returncode) == (1, 1), run.stderr
    assert json.loads(plain.stdout) == json.loads(run.stdout)
    assert [bool(each["alarms"]) for each in json.loads(run.stdout)["windows"]] == [False, True]
    (kept,) = trained.home.folder.glob("zenml/local_stores/*/monitor/watch/**/watch.json")
    assert Watch.load(kept.parent).answers == REFERENCE_ROWS + 200
    (drawn,) = kept.parent.glob("drift.html")
    assert drawn.read_text() == page.read_text()
    assert "<svg" in page.read_text() and "channels (PSI" in page.read_text()
    other = trained.home.run(*words, "--pipeline", "--against", "training")
    told = json.loads(other.stdout)
    assert other.returncode == 1 and (told["against"], len(told["windows"])) == ("training", 12)
