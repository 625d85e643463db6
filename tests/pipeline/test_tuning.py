"""A search for hyper-parameters, stopped and gone on with."""

import sqlite3

import yaml

from tests.helpers.homes import Trained


def test_a_study_is_bounded_and_goes_on(trained: Trained) -> None:
    def tune(trials: int) -> dict[str, object]:
        words = ("tune", "--model", "xgboost", "--config", trained.config, "--corpus")
        done = trained.home.run(*words, trained.corpus, "--trials", str(trials), "--quiet")
        assert done.returncode == 0, done.stderr
        assert f"best of {trials} trial{'s' * (trials > 1)}." in done.stdout
        found: dict[str, object] = yaml.safe_load(done.stdout)["models"]["xgboost"]
        return found

    def kept() -> list[tuple[int, str]]:
        with sqlite3.connect(trained.home.folder / "studies" / "studies.db") as database:
            return list(database.execute("select trial_id, state from trials order by trial_id"))

    assert set(tune(1)) == {"trees", "depth", "learning_rate", "row_share", "column_share"}
    first = kept()
    assert [state for _, state in first] == ["COMPLETE"]
    tune(2)
    assert kept()[:1] == first and len(kept()) == 2
    tune(2)
    assert len(kept()) == 2  # it has as many as it was asked for


def test_no_trials_are_refused(trained: Trained) -> None:
    done = trained.home.run("tune", "--model", "gru", "--trials", "0")
    assert done.returncode == 2
    assert "bad_trials: --trials 0: must be at least 1" in done.stderr
