"""What `bonafide schedule emit` prints is read back by each target's own rules."""

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bonafide.cli.root import cli
from bonafide.errors import ConfigError
from bonafide.training.schedule.targets import TARGETS, Job, crontab, kubernetes, systemd, zenml

# all that a file's name may hold, and often what somebody takes for his own
NAMES = st.text(
    st.one_of(
        st.sampled_from("\"'\\%$ \t\n;#(){}=-"),
        st.characters(exclude_characters="\x00", exclude_categories=["Cs"]),
    ),
    max_size=12,
)
BARE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def job(*words: str, home: str = "/home", **more: Any) -> Job:
    command = ["/bin/bonafide", "train", "--quiet", *words]
    return Job("0 3 * * *", "UTC", command, {"BONAFIDE_HOME": home}, {}, [], "bonafide", **more)


def of_systemd(line: str, *, dollars: bool) -> list[str]:
    """Read a line as systemd.syntax(7), systemd.unit(5) and systemd.service(5) say."""
    signs = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"'}
    words = []
    for quoted, bare in re.findall(r'"((?:[^"\\]|\\.)*)"(?= |$)|([^ "\'\\]+)(?= |$)', line):
        word = re.sub(
            r"\\(?:x([0-9a-f]{2})|(.))",
            lambda found: chr(int(found[1], 16)) if found[1] else signs[found[2]],
            quoted or bare,
        )
        assert not re.search("%(?!%)", word.replace("%%", ""))
        word = word.replace("%%", "%")
        if dollars and words:
            assert "$" not in word.replace("$$", "")
            word = word.replace("$$", "$")
        words.append(word)
    return words


@BARE
@given(path=NAMES, home=NAMES)
def test_systemd_reads_each_path_as_it_is(path: str, home: str) -> None:
    lines = systemd(job("--corpus", path, home=home)).split("\n")
    (started,) = (line for line in lines if line.startswith("ExecStart="))
    (named,) = (line for line in lines if line.startswith("Environment="))
    words = of_systemd(started.removeprefix("ExecStart="), dollars=True)
    assert words[:3] == ["/bin/bonafide", "schedule", "run"] and words[-2:] == ["--corpus", path]
    found = of_systemd(named.removeprefix("Environment="), dollars=False)
    assert found == [f"BONAFIDE_HOME={home}"]
    assert all(re.fullmatch(r"\[\w+\]|\w+=.+|", line) for line in lines)


def test_systemd_starts_no_program_at_some_paths() -> None:
    for path in ("/a'b/bonafide", '/a"b/bonafide', "/a\\b/bonafide", "/a\nb/bonafide"):
        with pytest.raises(ConfigError, match="systemd starts no program") as caught:
            systemd(Job("", "UTC", [path, "train"], {}, {}, [], ""))
        assert caught.value.code == "bad_path"
    unit = systemd(Job("", "UTC", ["/a $b%/bonafide", "train"], {}, {}, [], ""))
    assert 'ExecStart="/a $b%%/bonafide" schedule run\n' in unit  # no $$: it is no argument


def of_cron(line: str, *, escapes: str) -> list[str]:
    """Have a shell read a line's command as a cron hands it on, which takes its escapes first."""
    command, left = "", line.split(" ", 5)[5]
    while left:
        sign, left = left[0], left[1:]
        assert sign != "%", "cron ends the command here"
        if sign == "\\":
            sign, left = (sign if left[0] not in escapes else "") + left[0], left[1:]
        command += sign
    shown = f"printf '%s\\0' {command}"
    done = subprocess.run(["/bin/sh", "-c", shown], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("escapes", ["%", "%\\"])  # crons differ on two backslashes
@BARE
@given(path=NAMES)
def test_cron_reads_each_path_as_it_is(escapes: str, path: str) -> None:
    given_job = job("--corpus", path, home=path)
    if "\n" in path:
        with pytest.raises(ConfigError, match="cron has no way") as caught:
            crontab(given_job)
        assert caught.value.code == "bad_path"
        return
    comment, zone, line, end = crontab(given_job).split("\n")
    assert comment.startswith("# Debian's cron knows no CRON_TZ") and zone == "CRON_TZ=UTC"
    words = of_cron(line, escapes=escapes)
    assert words[:3] == ["env", f"BONAFIDE_HOME={path}", "/bin/bonafide"]
    assert (words[-1], end) == (path, "")


def container(text: str) -> dict[str, Any]:
    pod = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    return dict(found)


@given(path=NAMES)
def test_kubernetes_puts_no_value_for_what_is_in_a_path(path: str) -> None:
    found = container(kubernetes(job("--corpus", path, home="/home")))
    assert found["command"][-1].replace("$$", "$") == path
    assert not re.search(r"(?<!\$)(\$\$)*\$\(", found["command"][-1])


def test_kubernetes_mounts_what_is_only_read_so() -> None:
    one = job(home="/data/home", configs=["/data/site.yaml", "/data/home/own.yaml"])
    assert container(kubernetes(one))["volumeMounts"] == [
        {"name": "data", "mountPath": "/data", "subPath": "data", "readOnly": True},
        {"name": "data", "mountPath": "/data/home", "subPath": "data/home"},
    ]
    for path in ("/site.yaml", "/a:b/site.yaml"):
        with pytest.raises(ConfigError, match="Kubernetes mounts nothing") as caught:
            kubernetes(job(configs=[path]))
        assert caught.value.code == "bad_path"


@pytest.mark.parametrize("emitted", [kubernetes, zenml])
def test_sunday_is_0_where_7_is_not_known(emitted: Callable[[Job], str]) -> None:
    assert "0 3 * * 0,5,6" in emitted(replace(job(), cron="0 3 * * 5-7"))
    assert "0 3 * * sun" in emitted(replace(job(), cron="0 3 * * sun"))


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be UTF-8") as caught:
        job("--corpus", "/a\udcff")
    assert caught.value.code == "bad_path"


class TestCommand:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Be in a folder with a corpus, and with settings that a training reads."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "corpus.csv").touch()
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "site.yaml").write_text("name: site\n")
        monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("BONAFIDE_REGISTRY", "registry")
        monkeypatch.setenv("BONAFIDE_TRUSTED_KEYS", "RWabc")
        monkeypatch.setenv("BONAFIDE_NOTIFY", "json://me:hidden@localhost")
        monkeypatch.setenv("BONAFIDE_RECORD", "record.sqlite")
        monkeypatch.setenv("ZENML_STORE_URL", "mysql://me:hidden@localhost/zenml")
        return tmp_path

    def emit(self, target: str, *words: str) -> Result:
        given_words = ["schedule", "emit", "--target", target, "--corpus", "corpus.csv", *words]
        return CliRunner().invoke(cli, given_words)

    @pytest.mark.parametrize("target", TARGETS)
    def test_settings_go_with_the_job_and_secrets_do_not(self, target: str, folder: Path) -> None:
        done = self.emit(target, "--cron", "0 3 * *\n *")
        assert done.exit_code == 0 and "hidden" not in done.output
        assert f"{folder}/registry" in done.stdout and "RWabc" in done.stdout
        unheeded = re.findall(r"starts (.*), which heeds no BONAFIDE_NOTIFY$", done.stderr, re.M)
        train = ["bonafide train"]
        told = {"systemd": [], "cron": train, "kubernetes": train, "zenml": ["the pipeline"]}
        assert unheeded == told[target]
        assert ("BONAFIDE_NOTIFY" in done.stderr.partition("starts")[0]) == (target == "systemd")
        assert "not written, since they may be secret: ZENML_STORE_URL" in done.stderr
        assert "0 3 * * *" in done.stdout

    def test_systemd_takes_the_triggers_of_run(self, folder: Path) -> None:
        given_words = "--new-rows 5 --new-bytes 6 --max-age 1.5 --drift --look-every 60 --keep 3"
        done = self.emit("systemd", *given_words.split(), "--notify", "json://me:hidden@here")
        assert done.exit_code == 0 and "hidden" not in done.output
        (line,) = re.findall("^ExecStart=(.*)$", done.stdout, re.MULTILINE)
        words = of_systemd(line, dollars=True)
        assert after("--new-rows", words) == "5" and after("--max-age", words) == "1.5"
        assert after("--new-bytes", words) == "6" and after("--look-every", words) == "60.0"
        assert after("--record", words) == f"{folder}/record.sqlite" and "--drift" in words
        assert after("--keep", words) == "3" and "--cron" not in words
        assert CliRunner().invoke(cli, [*words[1:], "--help"]).exit_code == 0
        assert "EnvironmentFile=/etc/bonafide.env\n" in done.stdout
        assert "BONAFIDE_NOTIFY; set them as lines NAME=VALUE in /etc/bon" in done.stderr

    def test_something_must_say_when(self) -> None:
        done = self.emit("systemd")
        assert isinstance(done.exception, ConfigError) and done.exception.code == "no_trigger"
        assert "Missing option '--cron'" in self.emit("cron").output

    @pytest.mark.parametrize("target", [name for name in TARGETS if name != "systemd"])
    def test_targets_that_start_train_take_no_triggers(self, target: str) -> None:
        done = self.emit(target, "--cron", "0 3 * * *", "--drift", "--notify", "json://here")
        assert isinstance(done.exception, ConfigError) and done.exception.code == "bad_target"
        assert done.exception.message.startswith("--drift, --notify: ")
        assert "--target systemd" in done.exception.message

    def test_a_pipeline_alone_prunes_nothing_and_reads_no_file_again(self, folder: Path) -> None:
        given_words = ("--cron", "0 3 * * *", "--keep", "30", "--verify")
        done = self.emit("zenml", *given_words)
        assert isinstance(done.exception, ConfigError) and done.exception.code == "bad_target"
        assert done.exception.message.startswith("--verify, --keep: zenml starts the pipeline by")
        assert self.emit("kubernetes", *given_words).exit_code == 0

    def test_a_configuration_is_mounted_unless_it_comes_with_bonafide(self, folder: Path) -> None:
        given_words = ("kubernetes", "--cron", "0 3 * * *", "--config")
        own = container(self.emit(*given_words, "own/site.yaml").stdout)
        assert f"{folder}/own/site.yaml" in own["command"]
        corpus_folder = [each["mountPath"] for each in own["volumeMounts"]]
        assert str(folder) in corpus_folder  # and what is below it
        assert own["envFrom"] == [{"secretRef": {"name": "bonafide"}}]
        packaged = container(self.emit(*given_words, "full").stdout)
        assert after("--config", packaged["command"]) == "full"


def after(option: str, words: Sequence[str]) -> str:
    return words[words.index(option) + 1]
