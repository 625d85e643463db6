"""The command line from the outside: help, completion, exit codes, what is printed."""

import csv
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from benchmarks.sounds import encode, speech
from bonafide.cli import main, terminal
from bonafide.cli.extras import EXTRAS, not_installed, require
from bonafide.cli.options import ConfigFile, OutputFile, configs_folder
from bonafide.cli.root import COMMANDS, cli
from bonafide.errors import ConfigError
from bonafide.evaluation.metrics import Interval
from bonafide.training.gate import Decision
from tests.conftest import REPOSITORY

BASE = (
    *("numpy", "onnxruntime", "soundfile", "soxr", "av", "rich", "bentoml", "jinja2", "pydantic"),
    *("starlette", "uvicorn", "uvloop", "multipart", "minisign", "cryptography", "httpx"),
)
# What root may read, though no other could, is what these two allow.
RIGHTS = "-dac_override,-dac_read_search"
WITHOUT_RIGHTS = ["setpriv", f"--inh-caps={RIGHTS}", f"--bounding-set={RIGHTS}"]
WITHOUT_RIGHTS = WITHOUT_RIGHTS if os.geteuid() == 0 else []
HEAVY = (*BASE, *EXTRAS["train"], *EXTRAS["app"])


def walk(command: click.Command, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Go through a command and those inside it, each with the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from walk(inner, *words, name)


EVERY = dict(walk(cli))


def invoke(*words: str | Path) -> str:
    """Run a command that succeeds; return what it prints."""
    result = CliRunner().invoke(cli, [str(word) for word in words], prog_name="bonafide")
    assert result.exit_code == 0, result.output
    return result.stdout


def python(code: str, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestHelp:
    def test_the_commands(self) -> None:
        assert {" ".join(words) for words in EVERY} == {
            *(
                "",
                "train",
                "tune",
                "score",
                "evaluate",
                "provenance",
                "report",
                "adapt",
                "serve",
                "app",
                "bench",
                "watch",
                "calls",
                "stream",
                "mcp",
            ),
            *("keys", "keys add", "keys list", "keys revoke"),
            *("corpus", "corpus inspect", "corpus simulate"),
            *("models", "models list", "models show", "models lineage", "models reproduce"),
            *("models promote", "models rollback", "models hold", "models release"),
            *("models diff", "models pull", "models push", "models encoder"),
            *("models sign", "models verify", "models sbom", "models card"),
            *("models shadow", "models canary"),
            *(
                "schedule",
                "schedule run",
                "schedule history",
                "schedule emit",
                "dashboard",
                "prune",
            ),
            *("monitor", "feedback", "feedback add", "feedback manifest"),
        }

    @pytest.mark.parametrize("words", EVERY, ids=" ".join)
    def test_of_every_command_and_option(self, words: tuple[str, ...]) -> None:
        text = invoke(*words, "--help")
        assert text.startswith(f"Usage: {' '.join(('bonafide', *words))} ")
        assert invoke(*words, "-h") == text
        assert EVERY[words].help
        assert "..." not in text.partition("\nCommands:\n")[2]  # none of its commands is cut short
        for option in EVERY[words].params:
            assert isinstance(option, click.Argument) or option.help, option.name

    def test_imports_nothing_heavy(self) -> None:
        script = (
            "import json, sys\n"
            "from bonafide.cli import main\n"
            "for words in json.loads(sys.argv[1]): assert main([*words, '--help']) == 0\n"
            f"print(sorted(set({HEAVY}) & sys.modules.keys()))"
        )
        done = python(script, json.dumps(list(EVERY)))
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[]"

    def test_a_command_imports_its_own_file_alone(self) -> None:
        script = (
            "import sys\n"
            "from bonafide.cli import main\n"
            "main(['score', '--help'])\n"
            f"print([m for m in {sorted(set(COMMANDS.values()))} if m in sys.modules])"
        )
        assert python(script).stdout.splitlines()[-1] == "['bonafide.cli.score']"

    def test_version(self) -> None:
        assert re.fullmatch(r"\d+\.\d+\.\d+\n", invoke("--version"))

    def test_the_demo_s_configuration_is_there(self) -> None:
        assert (configs_folder() / "demo.yaml").is_file()


class TestConfigurations:
    @pytest.mark.parametrize("name", ["full", "demo", "shipped"])
    def test_go_by_name_from_anywhere(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        found = ConfigFile().convert(name, None, None)
        assert found == configs_folder() / f"{name}.yaml" and found.is_absolute()

    def test_in_a_wheel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "bonafide" / "configs").mkdir(parents=True)
        (tmp_path / "bonafide" / "configs" / "full.yaml").touch()
        monkeypatch.setattr("bonafide.__file__", str(tmp_path / "bonafide" / "__init__.py"))
        assert ConfigFile().convert("full", None, None).parent == tmp_path / "bonafide" / "configs"

    def test_a_file_goes_before_a_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("full", "mine.yaml"):
            Path(name).touch()
            assert ConfigFile().convert(name, None, None) == Path(name)

    @pytest.mark.parametrize("command", ["train", "tune --model gru", "schedule run --cron @daily"])
    @pytest.mark.parametrize("name", ["ful", "configs/gone.yaml", ""])
    def test_unknown(self, command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([*command.split(), "--config", name]) == 2
        assert capsys.readouterr().err == (
            f"bonafide: no_config: {name}: no such file; must be one, or one of the names demo, "
            "full, shipped\n"
        )


class TestCompletion:
    def complete(self, line: str) -> list[str]:
        """Complete the last word of a line as bash asks for it."""
        words = line.split(" ")
        environment = {
            "_BONAFIDE_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        result = CliRunner().invoke(cli, [], prog_name="bonafide", env=environment)
        return [line.partition(",")[2] for line in result.stdout.splitlines()]

    def test_commands(self) -> None:
        assert self.complete("bonafide ") == list(COMMANDS)
        assert self.complete("bonafide s") == ["score", "stream", "serve", "schedule"]
        assert self.complete("bonafide models ") == [
            *(
                "canary",
                "card",
                "diff",
                "encoder",
                "hold",
                "lineage",
                "list",
                "promote",
                "pull",
                "push",
            ),
            *("release", "reproduce", "rollback", "sbom", "shadow", "show", "sign"),
            "verify",
        ]

    def test_options_and_their_values(self) -> None:
        assert "--format" in self.complete("bonafide score --")
        assert self.complete("bonafide score --format ") == ["table", "jsonl", "json", "csv"]

    def test_the_line_that_help_names(self) -> None:
        """It is what the shell evaluates, with the program's own entry point."""
        code = "import sys; from bonafide.cli import main; sys.exit(main())"
        done = python(code, _BONAFIDE_COMPLETE="bash_source")
        assert "complete -o nosort -F _bonafide_completion bonafide" in done.stdout
        flat = " ".join(invoke("--help").split())
        assert 'eval "$(_BONAFIDE_COMPLETE=bash_source bonafide)"' in flat


class TestExitCodes:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("scor x.wav", "No such command 'scor'."),
            ("score", "Missing argument 'PATH...'."),
            ("score x.wav --format xml", "'xml' is not one of 'table', 'jsonl', 'json', 'csv'."),
            ("score x.wav --formt csv", "No such option '--formt'."),
            ("score x.wav --output gone/x.csv", "gone/x.csv: there is no folder gone"),
            ("score x.wav --output=", "it is empty; must name a file or a folder"),
            ("evaluate", "Missing option '--corpus'."),
            ("schedule run --look-every nan --corpus x", "'nan' is no number"),
            ("schedule run --max-age nan --corpus x", "'nan' is no number"),
            ("evaluate --corpus=", "it is empty; must name a file or a folder"),
            ("train --corpus=", "it is empty; must name a file or a folder"),
            ("evaluate --corpus x --json .", "File '.' is a directory."),
            ("serve --keys=", "it is empty; must name a file or a folder"),
            ("serve --port http", "'http' is not a valid integer."),
            ("models list extra", "Got unexpected extra argument (extra)"),
            ("models lineage --corpus=", "it is empty; must name a file or a folder"),
            ("schedule emit", "Missing option '--target'."),
            ("keys add gone/keys.json ana", "gone/keys.json: there is no folder gone"),
        ],
    )
    def test_wrong_usage(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        line: str,
        said: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(line.split()) == 2
        error = capsys.readouterr().err
        assert error.startswith("bonafide: usage: ")
        assert said in error
        assert re.search(r"See 'bonafide[ a-z]* --help'.\n$", error)
        assert list(tmp_path.iterdir()) == []

    def test_a_base_model_that_the_configuration_lacks(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["tune", "--model", "svm"]) == 2
        said = "bonafide: unknown_model: base model 'svm': must be one of cnn, rnn, bilstm"
        assert capsys.readouterr().err.startswith(said)

    @pytest.mark.parametrize("line", ["train", "tune --model gru", "schedule run --cron 0_3_*_*_*"])
    def test_training_without_a_corpus(self, capsys: pytest.CaptureFixture[str], line: str) -> None:
        """A detector of simulated sound must not come about by accident."""
        assert main([word.replace("_", " ") for word in line.split()]) == 2
        error = capsys.readouterr().err
        command = line.partition(" -")[0]
        assert error.startswith(f"bonafide: no_corpus: {command} needs recordings: --corpus PATH")
        assert "bonafide corpus simulate simulated && bonafide train --corpus simulated/" in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize("words", [[], ["models"], ["schedule"]])
    def test_no_command_shows_the_help(
        self, capsys: pytest.CaptureFixture[str], words: list[str]
    ) -> None:
        assert main(words) == 2
        assert f"Usage: {' '.join(('bonafide', *words))} [OPTIONS]" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("tune --model gru --trials 0", "bad_trials: --trials 0: must be at least 1"),
            ("corpus inspect gone", r"\w+: gone: "),
            ("score x.wav --bundle gone", r"\w+: gone"),
            ("keys add keys.json ana --rate 0", "bad_keys: .*above 0"),
            ("schedule run --cron @daily", "bad_cron: cron '@daily' in time zone local"),
            ("schedule run --corpus x", "no_trigger: nothing says when to train; must be given"),
        ],
    )
    def test_an_error_is_told_in_one_line(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        line: str,
        said: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(line.split()) == 2
        out, error = capsys.readouterr()
        assert out == ""
        assert re.match(f"bonafide: {said}", error)
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("corpus", "inspect", "."), "stopped"),
            (
                ("train", "--config", "demo", "--corpus", "."),
                "stopped; what is finished is kept, run again to resume",
            ),
        ],
    )
    def test_interrupted(
        self,
        words: tuple[str, ...],
        said: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("bonafide.corpora.read_corpus", stop)
        monkeypatch.setattr("bonafide.training.config.read_config", stop)
        assert main(words) == 130
        assert capsys.readouterr().err == f"\nbonafide: {said}\n"

    def test_a_reader_that_has_seen_enough(self, manifest: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        words = ["corpus", "inspect", str(manifest), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "bonafide.cli", *words], stdout=write, stderr=subprocess.PIPE
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (1, b"")

    def test_an_error_that_is_no_user_s_is_not_hidden(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "bonafide.corpora.schema", None)
        with pytest.raises(ModuleNotFoundError, match=r"bonafide\.corpora\.schema"):
            main(["corpus", "inspect", "x"])


BLOCKED = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from bonafide.cli import main
sys.exit(main(sys.argv[2:]))
"""


class TestMissingExtras:
    @pytest.mark.parametrize(
        ("line", "extra"),
        [
            ("train", "train"),
            ("tune --model gru", "train"),
            ("models lineage --rows", "train"),
            ("models reproduce", "train"),
            ("models encoder x.onnx", "train"),
            ("schedule run --cron @daily", "train"),
            ("schedule emit --target cron --cron 0_3_*_*_* --corpus x", "train"),
            ("evaluate --corpus x --report x.html", "train"),
            ("bench", "train"),
            ("app", "app"),
            ("dashboard", "dashboard"),
        ],
    )
    def test_is_told(self, tmp_path: Path, line: str, extra: str) -> None:
        done = python(BLOCKED, ",".join(EXTRAS[extra]), *line.split(), BONAFIDE_HOME=str(tmp_path))
        assert done.returncode == 2, done.stderr
        lines = [text for text in done.stderr.splitlines() if not text.startswith("starting: ")]
        assert len(lines) == 1
        said = rf"bonafide: not_installed: \w+ is missing: pip install 'bonafide\[{extra}\]'"
        assert re.fullmatch(said, lines[0])

    def test_where_the_simulation_lacks_one(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        def lacking(*_: object, **__: object) -> None:
            raise ModuleNotFoundError("No module named 'librosa'", name="librosa")

        monkeypatch.setattr("bonafide.simulation.corpus.simulate", lacking)
        assert main(["corpus", "simulate", str(tmp_path), "--quiet"]) == 2
        assert "librosa is missing: pip install 'bonafide[train]'" in capsys.readouterr().err

    @pytest.mark.parametrize("extra", EXTRAS)
    def test_extras_are_those_of_the_project(self, extra: str) -> None:
        """Each requirement of an extra brings one module at least that is known here."""
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        wanted = map(Requirement, project["optional-dependencies"][extra])
        asked = {each.name for each in wanted if not each.marker or each.marker.evaluate()}
        distributions = importlib.metadata.packages_distributions()
        bringing = {
            module: {name.lower().replace("_", "-") for name in distributions[module]}
            for module in EXTRAS[extra]
        }
        assert asked <= set.union(*bringing.values())
        assert [module for module, names in bringing.items() if not names & asked] == []

    def test_other_modules_are_none_of_an_extra(self) -> None:
        assert not_installed("numpy") is None
        assert not_installed(None) is None

    def test_require(self, monkeypatch: pytest.MonkeyPatch) -> None:
        require("yaml", "scipy")
        monkeypatch.setitem(sys.modules, "scipy", None)
        with pytest.raises(ConfigError, match=r"scipy is missing: pip install 'bonafide\[train\]'"):
            require("yaml", "scipy")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_text("path,label\na.wav,real\nb.wav,fake\nc.wav,fake\n")
    return path


class TestTerminal:
    def test_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal.show_table(("system", "EER"), [("cnn", "12.3 %"), ("decision", "9 %")])
        assert [line.replace("─", "-") for line in capsys.readouterr().out.splitlines()] == [
            "system        EER",
            "-----------------",
            "cnn        12.3 %",
            "decision      9 %",
        ]

    def test_table_without_rows(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal.show_table(("a", "bc"), [])
        assert capsys.readouterr().out.splitlines()[0] == "a   bc"

    def test_piped_values_are_whole_and_as_they_are(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "20")
        long, marked = "x" * 500, "[bold]a :smile: [/path] 7[0, 1]"
        terminal.show_table(("name", "value"), [(marked, long)])
        out = capsys.readouterr().out
        assert long in out and marked in out and "\x1b" not in out

    def test_a_terminal_s_width_is_kept_and_nothing_lost(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "30")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        terminal.show_table(("name", "value"), [("a", "0123456789" * 7)])
        out = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
        assert max(map(len, out.splitlines())) <= 30
        assert "".join(re.findall(r"\d", out)) == "0123456789" * 7

    def test_nested_values(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal.show_values("bundle", {"a": 1, "b": {"c": "x", "d": {"e": [2, 3]}}})
        assert capsys.readouterr().out.splitlines() == [
            "bundle",
            "├── a: 1",
            "└── b",
            "    ├── c: x",
            "    └── d",
            "        └── e: [2, 3]",
        ]

    def test_tree(self, capsys: pytest.CaptureFixture[str]) -> None:
        tree = {
            "name": "root",
            "children": [
                {"name": "one", "facts": {"rows": 3, "of": "x"}, "children": [{"name": "leaf"}]},
                {"name": "two"},
            ],
        }
        terminal.show_tree(tree)
        assert capsys.readouterr().out.splitlines() == [
            "root",
            "├── one (rows 3, of x)",
            "│   └── leaf",
            "└── two",
        ]

    def test_records(self, capsys: pytest.CaptureFixture[str]) -> None:
        records = [{"name": "a", "version": 1, "more": 2}]
        terminal.show_records(records, ("name", "version"), as_json=False)
        assert capsys.readouterr().out.split() == ["name", "version", "─" * 14, "a", "1"]
        terminal.show_records(records, ("name", "version"), as_json=True)
        assert json.loads(capsys.readouterr().out) == records


class TestCommands:
    def test_corpus_inspect(self, manifest: Path) -> None:
        lines = invoke("corpus", "inspect", manifest).splitlines()
        assert lines[0].split() == ["what", "count"]
        assert ["spoof", "2"] in [line.split() for line in lines]
        assert json.loads(invoke("corpus", "inspect", manifest, "--json"))["spoof"] == 2

    def test_schedule_history(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))
        entry = {"started": "2026-03-01T12:01:00+00:00", "log": str(tmp_path / "a.log")}
        (tmp_path / "schedule.jsonl").write_text(json.dumps(entry) + "\n")
        row = invoke("schedule", "history").splitlines()[-1]
        assert row.split() == [entry["started"], "-", "interrupted", entry["log"]]
        (run,) = json.loads(invoke("schedule", "history", "--json"))
        blank = {"why": "", "version": "", "eer": None, "reason": ""}
        assert run == {**entry, "ended": "-", "status": "interrupted", **blank}

    def test_keys_add(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.json"
        secret = invoke("keys", "add", path, "ana").strip()
        invoke("keys", "add", path, "ben", "--rate", "30")
        keys = json.loads(path.read_text())
        assert [(key["name"], key["rate_per_minute"]) for key in keys] == [
            ("ana", 600),
            ("ben", 30),
        ]
        assert secret not in path.read_text()

    def test_files_that_look_like_options(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("--help.wav", "-x.wav", "--format", "--"):
            Path(name).touch()
        given: dict[str, object] = {}
        monkeypatch.setattr(EVERY[("score",)], "callback", lambda **values: given.update(values))
        invoke("score", "--format", "csv", "--help.wav", "a.wav", "-x.wav")
        assert given["paths"] == ("./--help.wav", "a.wav", "./-x.wav")
        assert given["style"] == "csv"
        invoke("score", "--", "--help.wav", "--format")
        assert given["paths"] == ("--help.wav", "--format")

    def test_serve_takes_what_is_given_over_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[object] = []
        bundle = SimpleNamespace(identity={"name": "b", "version": "1", "sha256": ""})
        monkeypatch.setenv("BONAFIDE_WORKERS", "3")
        monkeypatch.setenv("BONAFIDE_ANONYMOUS", "true")
        monkeypatch.setattr("serving.launch.check", lambda settings, host, port: bundle)
        monkeypatch.setattr("serving.launch.serve", lambda *given: seen.append(given))
        said = invoke("serve", "--bundle", "x", "--port", "7")
        assert said == "bonafide: bundle b version 1, 3 workers, http://127.0.0.1:7\n"
        ((settings, served, host, port),) = seen
        assert served is bundle
        assert (settings.bundle, settings.workers, settings.anonymous) == ("x", 3, True)
        assert (host, port) == ("127.0.0.1", 7)


class TestSummary:
    @pytest.fixture
    def trained(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))
        interval = Interval(0.123, 0.1, 0.145)
        names = ("eer", "min_dcf", "act_dcf", "cllr", "ece", "auc", "miss", "false_alarm")
        evaluation = SimpleNamespace(
            title="Held-out sources",
            systems={name: dict.fromkeys(names, interval) for name in ("cnn", "decision")},
            counts=dict.fromkeys(
                ("rows", "bonafide", "spoof", "sources", "speakers", "generators"), 7
            ),
            clusters="source",
            notes=("It was windy.",),
        )
        return SimpleNamespace(
            judgement=SimpleNamespace(
                outcome=SimpleNamespace(
                    evaluations=[evaluation],
                    judged=evaluation,
                    audit=SimpleNamespace(eer=Interval(0.4, 0.3, 0.5)),
                    unheard="sources it never heard",
                )
            ),
            bundle=SimpleNamespace(manifest={"name": "tiny", "version": "3"}),
            quarantine=SimpleNamespace(
                n_rows=9, rejected=[SimpleNamespace(row=4, message="b.wav: is empty")]
            ),
            decision=Decision([], "EER 12.3 % against 15.9 % of default:1 on the same 140 rows"),
            ran=["promote"],
            cached=["ingest", "split"],
        )

    def test_promoted(
        self, trained: SimpleNamespace, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        from bonafide.cli.summary import show_summary

        show_summary(trained)
        out = capsys.readouterr().out
        assert re.search(r"^decision +12\.3 % \[10\.0, 14\.5\] +0\.123 \[", out, re.MULTILINE)
        for line in (
            "Shortcut audit: trivial measures alone have an EER of 40.0 % [30.0, 50.0]",
            "Set aside: 1 of 9 rows",
            "  row 6: b.wav: is empty",
            "Steps run: 1; taken from the cache: 2",
            f"Bundle: {tmp_path}/bundles/tiny/3 (tiny version 3)",
            f"Report: {tmp_path}/reports/tiny-3.html",
            "EER 12.3 % against 15.9 % of default:1 on the same 140 rows",
            "In production now.",
            "Next: bonafide score FILE",
        ):
            assert line in out.splitlines()
        assert "It was windy." in out

    def test_not_promoted(
        self, trained: SimpleNamespace, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from bonafide.cli.summary import show_summary

        reason = "EER 12.3 % is above the limit of 10.0 %"
        trained.decision = Decision([reason], "EER 12.3 %")  # part of it, and not said twice
        show_summary(trained)
        lines = capsys.readouterr().out.splitlines()
        assert "EER 12.3 %" not in lines
        assert lines[-2:] == ["Not promoted:", "  EER 12.3 % is above the limit of 10.0 %"]
        assert "In production now." not in lines

    def test_one_that_waits(
        self, trained: SimpleNamespace, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from bonafide.cli.summary import show_summary

        trained.decision = Decision([], "EER 12.3 %", waits=True)
        show_summary(trained)
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "Passed, and waits for you: bonafide models promote tiny:3"
        assert "In production now." not in lines


class TestAwkwardSurroundings:
    """What the shell and the disk do to a command; each ends in a line, never in a traceback."""

    RUN = "import sys; from bonafide.cli import main; sys.exit(main())"
    LIST = f"exec '{sys.executable}' -c '{RUN}' models list"

    def shell(self, line: str, home: Path) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "BONAFIDE_HOME": str(home)}
        return subprocess.run(
            ["bash", "-c", line],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        )

    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        """Make a recording whose name is not UTF-8."""
        path = tmp_path / os.fsdecode(b"na\xefve.wav")
        path.write_bytes(encode(speech(3.0), "wav"))
        return path

    def test_a_full_disk(self, tmp_path: Path) -> None:
        done = self.shell(f"{self.LIST} >/dev/full", tmp_path)
        assert (done.returncode, done.stderr) == (
            2,
            "bonafide: os_error: No space left on device\n",
        )

    def test_a_full_disk_under_an_output(
        self, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["score", str(clip), "--output", "/dev/full"]) == 2
        assert capsys.readouterr().err == "bonafide: os_error: No space left on device\n"

    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
    def test_closed_streams(self, closed: str, clip: Path, tmp_path: Path) -> None:
        words = f"score '{os.fsdecode(bytes(clip))}'"
        done = self.shell(f"{self.LIST.replace('models list', words)} {closed}", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("style", ["table", "jsonl", "csv"])
    def test_names_that_are_not_utf_8(
        self, style: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = tmp_path / "out"
        assert main(["score", str(clip), "--format", style, "--output", str(output)]) == 0
        assert (b"na\\udcefve" if style == "jsonl" else b"na\xefve") in output.read_bytes()
        assert main(["score", str(clip), "--format", style]) == 0
        assert "ve.wav" in capsys.readouterr().out

    def test_a_disk_that_fails_costs_one_file(
        self, clip: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failing = "/proc/self/mem"  # opens, and cannot be read at its start
        assert main(["score", "--format", "csv", failing, str(clip)]) == 1
        first, second = capsys.readouterr().out.splitlines()[1:]
        assert f",unreadable: {failing}: cannot be read: I" in first  # whichever read comes first
        assert second.partition(",")[2].startswith(("spoof,", "bonafide,", "inconclusive,"))

    @pytest.mark.parametrize("name", ["x" * 300, "-" + "x" * 300, "", "closed/x.wav", "shut.wav"])
    def test_a_name_that_cannot_be_looked_up_costs_one_file(
        self,
        name: str,
        clip: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Too long, empty, or where another user's folder is in the way."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "closed").mkdir(mode=0)
        (tmp_path / "shut.wav").touch(mode=0)
        words = ["score", "--format", "csv", "--", name, str(clip)]
        done = subprocess.run(
            [*WITHOUT_RIGHTS, sys.executable, "-c", self.RUN, *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        )
        assert done.returncode == 1, done.stderr
        first, second = done.stdout.splitlines()[1:]
        assert first.startswith(f"{name},") and ",unreadable: " in first, first
        assert second.endswith(",,")

    @pytest.mark.parametrize("style", ["table", "csv", "jsonl", "json"])
    @pytest.mark.parametrize("name", ["x.raw", "x.RAW", "new\nline.wav", "\x1b[2J.wav", "\r.wav"])
    def test_a_name_costs_no_file(
        self, style: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in (tmp_path / name, tmp_path / "z.wav"):
            path.write_bytes(encode(speech(3.0), "wav"))
        assert (
            main(["score", "--format", style, str(tmp_path / name), str(tmp_path / "z.wav")]) == 0
        )
        out = capsys.readouterr().out
        if style == "table":
            rows = [line for line in out.splitlines() if not line.startswith(" ")]
            assert len(rows) == 3 and "Sounds like" in out and "\x1b" not in out
        elif style == "csv":
            rows = list(csv.DictReader(io.StringIO(out, newline="")))
            assert [Path(row["path"]).name for row in rows] == [name, "z.wav"]
        else:
            results = json.loads(out if style == "json" else f"[{','.join(out.splitlines())}]")
            assert [Path(result["path"]).name for result in results] == [name, "z.wav"]

    def test_a_dash_is_standard_output(self, clip: Path, tmp_path: Path) -> None:
        home, name = tmp_path / "home", os.fsdecode(clip)
        words = ["score", "--format", "csv", "--output", "-", name]
        done = subprocess.run(
            [sys.executable, "-c", self.RUN, *words],
            env={**os.environ, "BONAFIDE_HOME": str(home)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            timeout=60,
        )
        assert done.returncode == 0
        assert done.stdout.startswith(b"path,verdict,") and os.fsencode(clip) in done.stdout
        assert not (tmp_path / "-").exists()

    def test_messages_never_move_a_cursor(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["corpus", "inspect", "gone\x1b[2J\r.csv"]) == 2
        assert capsys.readouterr().err.startswith(r"bonafide: no_corpus: gone\x1b[2J\r.csv: ")

    def test_a_manifest_that_names_no_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = ["path,label", "a\0.wav,real"]
        for number, label in enumerate(["real", "fake"] * 3):
            (tmp_path / f"{number}.wav").write_bytes(encode(speech(2.0, number), "wav"))
            lines.append(f"{number}.wav,{label}")
        (tmp_path / "m.csv").write_text("\n".join(lines))
        assert main(["evaluate", "--corpus", str(tmp_path / "m.csv"), "--quiet"]) == 1
        assert r"a\x00.wav': no file has this name" in capsys.readouterr().err

    def test_output_that_is_there_in_a_folder_that_cannot_be_written_to(self) -> None:
        """Such as a device, or a file that is mounted by itself."""
        assert OutputFile().convert("/dev/null", None, None) == Path("/dev/null")

    def test_an_import_that_ctrl_c_breaks_off(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as stop:
                raise ImportError("initialization failed") from stop

        monkeypatch.setattr("bonafide.corpora.read_corpus", broken)
        assert main(["corpus", "inspect", "x"]) == 130
        assert "stopped" in capsys.readouterr().err

    def test_an_empty_name_is_no_folder(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["score", ""]) == 1
        assert "[unreadable]" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "words", ["serve --port 99999", "serve --port -1", "serve --workers 0", "app --port 0"]
    )
    def test_numbers_out_of_range(self, words: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(words.split()) == 2
        assert "is not in the range" in capsys.readouterr().err
