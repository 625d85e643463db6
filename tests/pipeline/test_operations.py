"""Where a model came from, and what it says of files."""

import json

from tests.helpers.homes import Trained


def test_models_list_gives_the_contract_s_fields(trained: Trained) -> None:
    done = trained.home.run("models", "list", "--json")
    assert done.returncode == 0, done.stderr
    (model,) = (each for each in json.loads(done.stdout) if each["name"] == "tiny")
    assert set(model) == {"name", "version", "stage", "created", "sha256", "held"}
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
