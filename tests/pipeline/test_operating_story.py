"""A detector's life in operation, while a service that is asked all the time follows it.

A schedule trains the first model, and a better one when there are new data; does nothing where
nothing changed; and the gate refuses what learned from poisoned data. Then the way back, and what
drifts. Then docs/operating.md, every command of it, in the home that this left.
"""

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from bonafide import read_config, train
from bonafide.monitoring.record import REFERENCE_ROWS, Record
from bonafide.registry import registry_of
from bonafide.training.config import parse_config
from tests.conftest import REPOSITORY
from tests.helpers.homes import Home, demo_home
from tests.helpers.runbook import Block, Reader, blocks, require_command
from tests.helpers.servers import server, wait_for
from tests.helpers.story import LATE, Caller, Corpora, Nights
from tests.helpers.traffic import TELEPHONES, answers

CONFIG = """
name: story
seed: 3
resamples: 100
folds: {count: 3, test_share: 0.6}
augmentation: {channels: {clean: 1}}
models: {xgboost: {trees: TREES}}
gate: {max_latency_ratio: 50, min_groups: 8}
"""
PAGE = (REPOSITORY / "docs/operating.md").read_text(encoding="utf-8")
BLOCKS = blocks(PAGE)
NIGHTLY = (REPOSITORY / "docs/nightly.md").read_text(encoding="utf-8")


class Story:
    """The home and the corpora of the story, and what it does with them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, demo_home(folder / "home")
        self.corpora = Corpora(folder / "corpus")
        self.watched = folder / "corpus" / "watched.csv"
        for name, trees in (("weak", 1), ("site", 40)):
            self.config(name).write_text(CONFIG.replace("TREES", str(trees)))

    def config(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def nights(self, config: str, *words: str | Path) -> Nights:
        """Train by a schedule, on what is watched."""
        own = ("--config", self.config(config), "--corpus", self.watched)
        return Nights(self.home, *words, *own, "--look-every", "1")

    def refusal(self, corpus: Path) -> list[str]:
        """Train without the orchestrator; return why the gate refuses what comes of it."""
        given = read_config(self.config("site"))
        bundle = train(given, corpus, root=self.home.folder, progress=lambda _: lambda *_: None)
        report = "{name}-{version}.gate.json".format(**bundle.identity)
        return list(json.loads((self.home.folder / "reports" / report).read_text())["reasons"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(tmp_path_factory.mktemp("story"))


def production(home: Home) -> str:
    return str(registry_of(home.folder).production())


def test_from_the_first_model_to_the_way_back(story: Story) -> None:
    corpora, watched = story.corpora, story.watched
    record = story.folder / "record.sqlite"
    watched.write_bytes(corpora.early.read_bytes())
    with story.nights("weak", "--new-rows", "1") as nights:
        first = nights.next("ok", "refused", "failed")
    assert (first["status"], first["version"]) == ("ok", "story:1"), first
    said = Path(first["log"]).read_text()
    assert re.search(r"of default:\d+ \(shipped\) on its held-out rows", said), said
    clip = next(corpora.early.parent.glob("*.flac"))
    with (
        server(story.home.folder, workers=1, record=record) as service,
        Caller(service, clip) as caller,
    ):
        caller.wait_for("story:1")
        with story.nights("site", "--new-rows", "8") as nights:
            watched.write_bytes(corpora.grown.read_bytes())
            better = nights.next("ok", "refused", "failed")
        assert (better["status"], better["version"]) == ("ok", "story:2"), better
        assert better["why"] == "64 new rows"
        assert "of story:1 on golden set 1" in Path(better["log"]).read_text()
        caller.wait_for("story:2")

        with story.nights("site", "--max-age", "0.0001") as nights:  # a night takes some seconds
            unchanged = nights.next("skipped")
            assert unchanged["reason"] == f"nothing changed since the run of {better['started']}"
            watched.write_bytes(corpora.exchanged.read_bytes())
            poisoned = nights.next("ok", "refused", "failed")
        assert poisoned["status"] == "refused", poisoned
        assert f"{LATE[2]} (16 recordings, AUC 0.0" in poisoned["reason"]
        assert "as if its labels were exchanged" in poisoned["reason"]
        (reason,) = story.refusal(corpora.doubled)
        assert f"source copied repeats {LATE[2]}: 16 of 16 recordings sound the same" in reason
        caller.wait_more()
        assert caller.versions[-1] == production(story.home) == "story:2"

        start = time.monotonic()
        done = story.home.run("models", "rollback", "--why", "a complaint")
        assert done.returncode == 0, done.stderr
        caller.wait_for("story:1")
        took_s = time.monotonic() - start
        print(f"the old bundle answered {took_s:.2f} s after the command's start")  # noqa: T201

        watched.write_bytes(corpora.grown.read_bytes())
        with story.nights("site", "--drift", "--record", record) as nights:
            caller.wait_more()
            assert nights.more() == []  # all is quiet
            answered = registry_of(story.home.folder).production()
            assert answered is not None
            ordinary = answers(1, REFERENCE_ROWS, bundle=answered.sha256)
            Record(record).add(ordinary)
            Record(record).add(answers(2, 200, TELEPHONES, bundle=answered.sha256))
            drifted = nights.next("ok", "refused", "failed", "skipped")
            assert drifted["why"].startswith("drift from story:1: "), drifted
            assert drifted["status"] == "refused"
            assert re.search(r"story:1: held since .* \(a complaint\)", drifted["reason"]), drifted
            caller.wait_more()
            assert nights.more() == []  # once alone
    assert production(story.home) == "story:1"
    assert caller.failures == []
    assert [each for each, _ in groupby(caller.versions)] == ["story:1", "story:2", "story:1"]
    assert took_s < 60, f"{took_s:.1f} s"  # benchmarks.rollback measures it


# --- the runbook ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """What happens before a chapter of the page is needed, and what its reader sees then.

    Parameters
    ----------
    happens : callable
        Takes the folder in which commands are typed.
    asked : str
        What the reader types.
    said : str
        What it ends with, on standard error, with exit code 2.
    """

    happens: Callable[[Path], None]
    asked: str
    said: str


def _lose_a_graph(folder: Path) -> None:
    version = production(Home(folder / "home")).replace(":", "/")
    (folder / "home/bundles" / version / "detector.onnx").unlink()


def _cut_the_journal(folder: Path) -> None:
    entry = folder / "home/journal/00000002.json"
    entry.write_bytes(entry.read_bytes()[:40])


def _lose_the_disk(folder: Path) -> None:
    shutil.rmtree(folder / "home")
    (folder / "keys.json").unlink()


FAULTS = {
    "A damaged bundle": Fault(_lose_a_graph, "bonafide models show", "detector.onnx is missing"),
    "A damaged journal": Fault(
        _cut_the_journal, "bonafide models list", "00000002.json: not an entry of the journal"
    ),
    "A lost disk": Fault(_lose_the_disk, "bonafide models show story:2", "no bundle 'story:2'"),
}
DETECT = (
    'curl --fail --silent --show-error -H "Authorization: Bearer $KEY" '
    "-F audio=@voicemail.flac localhost:3000/v1/detect"
)


@pytest.fixture
def reader(story: Story) -> Iterator[Reader]:
    """Someone in the folder of the story, where nothing is held any more."""
    registry = registry_of(story.home.folder)
    for version in registry.state().holds:
        registry.release(registry.find(str(version)))
    shutil.copy(next(story.corpora.early.parent.glob("*.flac")), story.folder / "voicemail.flac")
    temp = Path(tempfile.mkdtemp(prefix="bf"))  # short: sockets lie in it
    with Reader(story.folder, temp) as typing:
        yield typing
    assert not list((temp / "tmp").glob("bonafide-*"))
    shutil.rmtree(temp)


def test_every_command_of_the_page(reader: Reader) -> None:
    happened = set()
    for block in BLOCKS:
        if block.language != "sh":
            continue
        if block.heading in FAULTS and block.heading not in happened:
            if not happened:
                reader.end("bonafide schedule run")
            fault = FAULTS[block.heading]
            fault.happens(reader.folder)
            seen = reader.type(fault.asked)
            assert (seen.returncode, "Traceback" in seen.stderr) == (2, False), seen.stderr
            assert fault.said in seen.stderr
            happened.add(block.heading)
        reader.run(block.text)
        if happened:  # callers notice nothing of a disaster; keys are followed within a second
            wait_for(lambda: '"verdict"' in reader.type(DETECT).stdout, block.text)
    assert happened == set(FAULTS)


def test_every_command_of_the_tutorial(story: Story, tmp_path: Path) -> None:
    """docs/nightly.md, from a corpus to the look in the morning."""
    shutil.copytree(story.folder / "corpus", tmp_path / "corpus")
    shutil.copy(story.corpora.early, tmp_path / "corpus" / "manifest.csv")
    (tmp_path / "site.yaml").write_text(story.config("site").read_text())
    demo_home(tmp_path / "home")
    said = {}
    with tempfile.TemporaryDirectory(prefix="bf") as temp, Reader(tmp_path, Path(temp)) as typing:
        configuration, *commands = blocks(NIGHTLY)
        assert parse_config(yaml.safe_load(configuration.text), "nightly.md").name == "site"
        for block in commands:
            said[block.text.split(" --")[0].strip()] = typing.run(block.text)
    assert "rows" in said["bonafide corpus inspect corpus/manifest.csv\nbonafide train"]
    morning = said["bonafide schedule history\nbonafide models list"]
    assert "story" in morning and "are needed to compare" in morning
    named = re.findall(r"`(bonafide [^`]+)`", re.sub(r"(?s)^```.*?^```$", "", NIGHTLY, flags=re.M))
    assert len(named) > 3
    for text in named:
        require_command(text)


def test_nothing_on_the_page_escapes() -> None:
    """Fences are closed and of a language that is checked; nothing else is set as a block."""
    assert PAGE.count("\n```") == 2 * len(BLOCKS) > 40
    assert {block.language for block in BLOCKS} == {"sh", "ini"}
    outside = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"^(    |\t|~~~|<pre)", outside, re.MULTILINE)
    named = [text for text in re.findall(r"`([^`]+)`", outside) if text.startswith("bonafide ")]
    assert len(named) > 5
    for text in named:
        require_command(text)


def test_the_unit_for_systemd_starts_the_service() -> None:
    (unit,) = (block for block in BLOCKS if block.language == "ini")
    (started,) = re.findall(r"^ExecStart=/srv/bonafide/.venv/bin/(.*)$", unit.text, re.MULTILINE)
    assert started.startswith("bonafide serve ")
    require_command(started)


@pytest.mark.parametrize("page", ["```sh\nfalse\ntrue\n```\n", "```sh\nbonafide modles\n```\n"])
def test_a_command_that_fails_fails_the_test(page: str, tmp_path: Path) -> None:
    (block,) = blocks(page)
    with Reader(tmp_path, Path(tempfile.mkdtemp(dir=tmp_path))) as typing:
        with pytest.raises(AssertionError):
            typing.run(block.text)


def test_blocks_know_their_heading() -> None:
    assert blocks("# A\n```sh\n# no heading\n```\n## B\ntext\n```ini\nb=1\n```\n") == [
        Block("A", "sh", "# no heading\n"),
        Block("B", "ini", "b=1\n"),
    ]
