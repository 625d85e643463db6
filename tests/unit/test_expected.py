"""What a bundle is expected to answer, and what is served compared with it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.cli import main
from bonafide.errors import BundleError
from bonafide.export.expected import expected_answers
from bonafide.export.rebuild import WORKED_OUT
from bonafide.home import SHIPPED_NAMES, shipped_folder
from bonafide.monitoring.drift import windows
from bonafide.monitoring.expected import EXPECTED, EXPECTED_ROWS, Expected, expected_of
from bonafide.monitoring.record import RECORD, Answered, Record
from bonafide.training.fitting import FittedBase
from bonafide.training.routing import Router
from bonafide.training.rules import Answers, Route, Rules
from bonafide.training.stacking import Stack, Stage
from research.shipped import expected_by_protocol
from tests.helpers.networks import sounds
from tests.helpers.stages import CHANNELS, two_stage_bundle

NOTHING = np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return two_stage_bundle(tmp_path_factory.mktemp("expected") / "two", sounds(12, 64_000))


class TestOfATraining:
    """Six recordings: doubtful, spoofs that are sure, unlike all that is known, human."""

    llr = np.array([[0.1, -3.0], [-2.5, -2.5], [-2.5, -2.5], [-2.5, -2.5], [2.5, 2.5], [2.5, 2.5]])
    posterior = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]] + [[0.9, 0.1]] * 2, np.float32)
    distance = np.array([1.0, 1.0, 99.0, 1.0, 1.0, 1.0], np.float32)
    thresholds = {  # noqa: RUF012  # read alone
        "bonafide_to": 0.1,
        "spoof_from": 0.9,
        "distance_to": 9.0,
        "channels": {"telephone": {"bonafide_to": None, "spoof_from": None}},
    }

    @pytest.fixture
    def expected(self) -> Expected:
        arrays = (NOTHING,) * 4
        router = Router(CHANNELS, *arrays, self.posterior[:, None], NOTHING, self.distance[:, None])
        fitted = [
            FittedBase(name, name, "", {}, b"", "", np.full((6, 1), p, np.float32), NOTHING, {})
            for name, p in (("low", 0.25), ("speech", 0.75))
        ]
        stack = Stack.__new__(Stack)  # is not asked
        stages = [
            Stage("fast_", ("low",), stack, NOTHING),
            Stage("", ("low", "speech"), stack, NOTHING),
        ]
        answers = Answers(self.thresholds, {})
        route = Route(1.0, 0.5, ("clean",))
        rules = Rules((), route, (answers, answers), self.llr[:, None])
        return expected_answers({"prior_spoof": 0.5}, router, fitted, stages, rules)

    def test_verdicts_are_by_thresholds_channel_and_distance(self, expected: Expected) -> None:
        assert expected.channel == ["clean"] * 3 + ["telephone"] + ["clean"] * 2
        first = ["inconclusive", "spoof", "inconclusive", "inconclusive", "bonafide", "bonafide"]
        assert expected.stages["fast_"].verdict == first
        assert expected.stages[""].verdict == ["spoof", *first[1:]]
        assert expected.stages[""].llr == self.llr[:, 1].tolist()

    def test_who_was_not_asked_said_nothing(self, expected: Expected) -> None:
        assert expected.stages["fast_"].models == {"low": [0.25] * 6}
        speech = [0.75, None, None, 0.75, None, None]
        assert expected.stages[""].models == {"low": [0.25] * 6, "speech": speech}


def altered(whole: Bundle, folder: Path, change: Callable[[dict[str, Any]], Any]) -> Bundle:
    """Copy a bundle with another file of what it expects, its hashes right."""
    folder.mkdir()
    whole.save(folder)
    values = json.loads((whole.folder / EXPECTED).read_text())
    changed = change(values)
    (folder / EXPECTED).unlink()
    (folder / EXPECTED).write_text(json.dumps(values if changed is None else changed))
    kept = {key: value for key, value in whole.manifest.items() if key not in WORKED_OUT}
    write_bundle(folder, kept)
    return read_bundle(folder)


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no object": lambda _: [1, 2],
    "no stages": lambda values: values.pop("stages") and None,
    "a stage too few": lambda values: values["stages"].pop("") and None,
    "no recordings": lambda values: values.update(channel=[]),
    "another channel": lambda values: values["channel"].__setitem__(0, "tin can"),
    "a channel of no kind": lambda values: values["channel"].__setitem__(0, []),
    "another verdict": lambda values: values["stages"][""]["verdict"].__setitem__(0, "no idea"),
    "a row too few": lambda values: values["stages"][""]["llr"].pop() and None,
    "a model too short": lambda values: values["stages"][""]["models"]["low"].pop() and None,
    "no number": lambda values: values["stages"][""]["llr"].__setitem__(0, "1.0"),
    "infinite": lambda values: values["stages"][""]["llr"].__setitem__(0, float("inf")),
    "too large": lambda values: values["stages"][""]["llr"].__setitem__(0, 10**999),
    "a text of a model": lambda values: values["stages"][""]["models"]["low"].__setitem__(0, "x"),
    "an empty text of a model": lambda values: values["stages"][""]["models"]["low"].__setitem__(
        0, ""
    ),
    "a list of a model": lambda values: values["stages"][""]["models"]["low"].__setitem__(0, []),
    "true": lambda values: values["stages"][""]["models"]["low"].__setitem__(0, True),
    "above 1": lambda values: values["stages"][""]["models"]["low"].__setitem__(0, 5.0),
    "below 0": lambda values: values["stages"][""]["models"]["low"].__setitem__(0, -0.5),
    "no models": lambda values: values["stages"][""].update(models={}),
    "another model": lambda values: values["stages"][""]["models"].update(zzz=[0.5] * 8),
    "an entry too many": lambda values: values["stages"][""].update(more=1),
}


class TestOfABundle:
    @pytest.mark.parametrize("name", SHIPPED_NAMES)
    def test_shipped_ones_have_what_the_protocol_kept(self, name: str) -> None:
        bundle, default = (read_bundle(shipped_folder(each)) for each in (name, "default"))
        expected, kept = Expected.read(bundle), expected_by_protocol(default)
        prefix = "" if name == "default" else "fast_"
        assert expected.channel == kept.channel and len(expected.channel) == EXPECTED_ROWS
        ours, theirs = expected.stages[""], kept.stages[prefix]
        assert ours.verdict == theirs.verdict
        np.testing.assert_allclose(ours.llr, theirs.llr, atol=1e-5)
        assert ours.models.keys() == theirs.models.keys() == {*bundle.models}
        answers = expected_of(bundle)
        assert {each.bundle for each in answers} == {bundle.digest()}
        silent = [each for each in answers if each.models.get("speech", 0.5) is None]
        assert (0.5 < len(silent) / len(answers) < 0.7) == (name == "default")

    @pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
    def test_a_file_that_cannot_be_used(
        self, whole: Bundle, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
    ) -> None:
        bundle = altered(whole, tmp_path / "two", change)
        with pytest.raises(BundleError, match=r"expected\.json: cannot be used") as caught:
            expected_of(bundle)
        assert caught.value.code == "bad_expected"

    def test_no_file(self, whole: Bundle) -> None:
        files = {name: seen for name, seen in whole.manifest["files"].items() if name != EXPECTED}
        with pytest.raises(BundleError, match="adapted, or trained by an older") as caught:
            expected_of(replace(whole, manifest={**whole.manifest, "files": files}))
        assert caught.value.code == "no_expected"


def drawn(reference: list[Answered], seed: int, n: int) -> list[Answered]:
    """Draw answers of a time and a length out of those to training recordings."""
    chosen = np.random.default_rng(seed).choice(len(reference), n)
    return [
        replace(reference[row], time=float(at), duration_s=10.0 + at, rank=at + 1)
        for at, row in enumerate(chosen.tolist())
    ]


@pytest.fixture(scope="module")
def reference() -> list[Answered]:
    return expected_of(read_bundle(shipped_folder("default")))


class TestMonitor:
    def test_what_is_like_the_training_is_quiet(self, reference: list[Answered]) -> None:
        found = [
            window
            for seed in range(10)
            for window in windows(drawn(reference, seed, 1000), reference=reference)
        ]
        assert len(found) == 100 and not any(window.alarms for window in found)
        assert {each.name for each in found[0].statistics} == {
            *("scores", "channels", "verdicts", "base models")
        }

    def test_another_mix_alarms_from_the_first_window_on(self, reference: list[Answered]) -> None:
        calls = [each for each in reference if each.channel in ("telephone", "opus")]
        first, *_ = windows(drawn(calls, 1, 250), reference=reference)
        assert first.rows == 100 and {"channels", "verdicts"} == {*first.alarms}

    def test_the_command(
        self,
        reference: list[Answered],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))
        record, page = Record(tmp_path / RECORD), tmp_path / "drift.html"
        words = ["monitor", "--record", str(record.path), "--against", "training"]
        record.add([])
        assert main(words) == 0
        assert "Answers of this bundle: 0; 100 are needed" in capsys.readouterr().out
        record.add(drawn(reference, 1, 200))
        assert main([*words, "--check", "--report", str(page)]) == 0
        said = capsys.readouterr().out
        assert "compared with what it answers to its training recordings" in said
        assert "from what it answers to its training recordings would be" in page.read_text()
        assert main([*words, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["against"], told["needed"], len(told["windows"])) == ("training", 100, 2)
        record.add(drawn([each for each in reference if each.verdict == "spoof"], 2, 100))
        assert main([*words, "--check"]) == 1
