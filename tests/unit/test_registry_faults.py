"""The registry when it is killed, when the disk is full, and when two switch at once."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bonafide.bundle import read_bundle
from bonafide.cli import main
from bonafide.errors import StorageError
from bonafide.registry import Registry, Version
from tests.conftest import REPOSITORY
from tests.helpers.moments import ALL
from tests.helpers.objects import BUCKET, google_store, object_store
from tests.unit.test_bundle import make

MOMENTS = 50 if ALL else 20
FULL = 10 if ALL else 5
ROUNDS = 100 if ALL else 25
COMMANDS = {
    "promote": ("promote", "mine:3", "--override", "a test"),
    "rollback": ("rollback", "--why", "a test"),
    "push": ("push", "mine:3", "--to"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A home with three versions, of which the second is in production, after the first."""
    registry = Registry(tmp_path / "home")
    for salt in "abc":
        kept = registry.versions.keep(make(tmp_path / salt, salt, name="mine"), {}, "card")
        if salt != "c":
            registry.promote(kept, override="a test")
    return tmp_path / "home"


def in_a_child(act: Callable[[], Any]) -> int:
    """Do something in a fork of this process; return the status that `waitpid` gives."""
    child = os.fork()
    if child == 0:
        try:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
            os._exit(act() or 0)
        finally:
            os._exit(99)
    return os.waitpid(child, 0)[1]


def command(root: Path, action: str) -> int:
    os.environ["BONAFIDE_HOME"] = str(root)  # of the child
    words = COMMANDS[action]
    return main(["models", *words, *([str(root.parent / "other")] if action == "push" else [])])


def act_in_python(root: Path, action: str) -> None:
    """Do what the command does; raise what it prints."""
    registry = Registry(root)
    if action == "promote":
        registry.promote(registry.find("mine:3"), override="a test")
    elif action == "rollback":
        registry.rollback()
    else:
        registry.copy_to(Registry(root.parent / "other"), registry.find("mine:3"))


def killed_at(call: int, act: Callable[[], Any]) -> Callable[[], Any]:
    """Have a process killed at the n-th call of a function, Python's own ones too."""

    def run() -> Any:
        left = call

        def count(_frame: object, event: str, _what: object) -> None:
            nonlocal left
            left -= event in ("call", "c_call")
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        try:
            return act()
        finally:
            sys.setprofile(None)

    return run


def calls_of(act: Callable[[], Any]) -> int:
    """Count the calls that something takes, in a child."""
    reader, writer = os.pipe()

    def run() -> int:
        seen = 0

        def count(_frame: object, event: str, _what: object) -> None:
            nonlocal seen
            seen += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            status = act()
        finally:
            sys.setprofile(None)
        os.write(writer, str(seen).encode())
        return int(status)

    assert in_a_child(run) == 0
    return int(os.read(reader, 100))


def require_whole(root: Path, before: list[Any]) -> None:
    """Check that one bundle is in production, that every bundle is whole, and no history lost."""
    registry = Registry(root)
    journal = registry.journal()
    assert journal[: len(before)] == before and len(journal) <= len(before) + 1
    state = registry.state()
    stages = [
        state.stage(Version(each["name"], each["version"], each["sha256"]))
        for each in registry.versions.kept()
    ]
    assert stages.count("production") == 1
    assert Version.of(registry.find()) == state.production
    for folder in root.glob("bundles/*/[0-9]*"):
        read_bundle(folder)


def require_like_new(root: Path, action: str) -> None:
    """Check that the command, given again, leaves what an act_in_python one does, and no more."""
    before = len(Registry(root).journal())
    assert in_a_child(lambda: command(root, action)) in (0, 2 << 8)  # rolled back already
    registry = Registry(root)
    wanted = {"promote": "3", "rollback": "1", "push": "2"}[action]
    served = registry.production()
    assert served is not None and served.version == wanted
    assert len(registry.journal()) <= before + 1
    if action == "push":
        assert read_bundle(root.parent / "other/bundles/mine/3").digest() == (
            registry.find("mine:3").digest()
        )
    drafts = [path for path in root.parent.rglob(".*") if path.name != ".claim"]
    assert drafts == []


@pytest.mark.parametrize("action", COMMANDS)
def test_killed_at_any_moment(
    root: Path, action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(root))
    command(fresh(root, tmp_path / "first"), action)  # what it imports stays out of the count
    counted = fresh(root, tmp_path / "counted")
    n_calls = calls_of(lambda: command(counted, action))
    draw, ends, killed = random.Random(17), list[int](), 0
    moments = [n_calls - 1, *(draw.randrange(n_calls) for _ in range(MOMENTS - 1))]
    for moment in sorted(moments):
        home = fresh(root, tmp_path / str(moment))
        before = Registry(home).journal()
        status = in_a_child(killed_at(moment, lambda home=home: command(home, action)))
        assert status in (0, signal.SIGKILL)  # 0: it took some calls fewer
        killed += status != 0
        require_whole(home, before)
        if action == "push" and (home.parent / "other").exists():
            for folder in (home.parent / "other").glob("bundles/*/[0-9]*"):
                read_bundle(folder)
        ends.append(len(Registry(home).journal()) - len(before))
        if action != "rollback" or len(Registry(home).journal()) == len(before):
            require_like_new(home, action)
        shutil.rmtree(home.parent)
    assert killed >= MOMENTS - 2
    if action != "push":
        assert ends == sorted(ends) and set(ends) == {0, 1}  # before it is recorded, and after


def fresh(root: Path, folder: Path) -> Path:
    """Copy a home into a folder of its own."""
    return Path(shutil.copytree(root, folder / "home"))


@pytest.mark.parametrize("action", COMMANDS)
def test_a_full_disk_changes_nothing(root: Path, action: str, tmp_path: Path) -> None:
    largest = max(path.stat().st_size for path in root.rglob("*") if path.is_file())
    largest = largest if action == "push" else 500  # an entry of the journal is longer
    draw = random.Random(18)
    for number in range(FULL):
        home, room = fresh(root, tmp_path / str(number)), draw.randrange(largest)
        before = Registry(home).journal()

        def act(home: Path = home, room: int = room) -> int:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            with pytest.raises(StorageError) as caught:
                act_in_python(home, action)
            return 0 if caught.value.code == "disk_full" else 1

        assert in_a_child(act) == 0
        require_whole(home, before)
        assert Registry(home).journal() == before
        assert list((home.parent / "other").glob("bundles/*/*")) == []
        require_like_new(home, action)
        shutil.rmtree(home.parent)


# --- two at once ----------------------------------------------------------------------------------

SWITCH = """
import sys
from pathlib import Path
from bonafide.errors import RegistryError
from bonafide.registry import Registry

registry = Registry(sys.argv[1], Path(sys.argv[2]))
bundles = [registry.find(ref) for ref in sys.argv[3:]]
for number, _ in enumerate(iter(sys.stdin.readline, "")):
    seen = registry.state()
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        registry.promote(bundles[number % 2], override=f"round {number}", seen=seen)
        print("won", flush=True)
    except RegistryError as error:
        print(error.code, flush=True)
"""


def two_at_once(
    url: str,
    folder: Path,
    environment: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    rounds: int = ROUNDS,
) -> None:
    """Have two processes promote at once, again and again: one wins, the journal tells both."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    registry = Registry(url, folder / "cache")
    for number in range(4):
        registry.versions.keep(make(folder / f"candidate {number}", str(number), name="mine"))
    pairs = (("mine:1", "mine:2"), ("mine:3", "mine:4"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SWITCH, url, str(folder / f"cache {number}"), *refs],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, refs in enumerate(pairs)
    ]

    def tell() -> None:
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()

    def hear() -> list[str]:
        return [process.stdout.readline().strip() for process in processes]

    try:
        wins = []
        for number in range(rounds):
            tell()
            assert hear() == ["ready", "ready"]
            tell()
            said = hear()
            assert sorted(said) == ["overtaken", "won"], (number, said)
            wins.append(said.index("won"))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    journal = registry.journal()
    assert [entry.action for entry in journal] == ["promote", "refused"] * rounds
    for number, (winner, loser) in enumerate(zip(journal[::2], journal[1::2], strict=True)):
        who = wins[number]
        assert str(winner.after) == str(loser.after) == pairs[who][number % 2]
        assert str(loser.bundle) == pairs[1 - who][number % 2]
    assert registry.state().production == journal[-1].after


def test_two_promotions_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_at_once(str(tmp_path / "home"), tmp_path, {}, monkeypatch)


@pytest.fixture(scope="module")
def objects() -> Iterator[Mapping[str, str]]:
    with object_store() as environment:
        yield environment


def test_two_promotions_at_once_in_an_object_store(
    objects: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_at_once(f"s3://{BUCKET}/{uuid4().hex}", tmp_path, objects, monkeypatch)


def test_two_promotions_at_once_in_google_s_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all else that a registry does there: keep, read, list, fetch, roll back."""
    with google_store() as environment:
        url = f"gs://{BUCKET}/{uuid4().hex}"
        two_at_once(url, tmp_path, environment, monkeypatch)
        registry = Registry(url, tmp_path / "another cache")
        before = registry.production()
        assert registry.rollback().after != before == registry.journal()[-1].before
        kept = registry.find("mine:1")
        here = registry.copy_to(Registry(tmp_path / "here"), kept)
        assert here.identity == kept.identity and len(registry.versions.kept()) == 4


# --- an object store ------------------------------------------------------------------------------

ACT = """
import os, signal, sys
from pathlib import Path
from fsspec.asyn import AsyncFileSystem
from bonafide.bundle import read_bundle
from bonafide.registry import Registry
import s3fs

url, folder, left = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
call = s3fs.S3FileSystem._call_s3

async def counted(self, method, *a, **k):
    global left
    left -= 1
    if left == 0 and sys.argv[4] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = await call(self, method, *a, **k)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

s3fs.S3FileSystem._call_s3 = counted
there, here = Registry(url, folder / "cache"), Registry(folder / "home")
kept = here.copy_to(there, here.find("mine:3"))
there.promote(kept, override="a test")
there.rollback()
print(-left)
"""


def test_killed_between_the_requests_to_an_object_store(
    root: Path, objects: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Push, promote and rollback; each request is the last one once, done and not done."""
    for name, value in objects.items():
        monkeypatch.setenv(name, value)
    here = Registry(root)
    url = f"s3://{BUCKET}/{uuid4().hex}"

    def prepare(url: str) -> Registry:
        there = Registry(url, tmp_path / "cache of ours")
        kept = here.copy_to(there, here.find("mine:1"))
        there.promote(kept, override="a test")
        return there

    def run(url: str, left: int, when: str) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-c", ACT, url, str(tmp_path), str(left), when]
        return subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)

    prepare(url)
    whole = run(url, 0, "never")
    assert whole.returncode == 0, whole.stderr
    n_requests, draw = int(whole.stdout), random.Random(19)
    for _ in range(MOMENTS // 5):
        url = f"s3://{BUCKET}/{uuid4().hex}"
        there = prepare(url)
        before = there.journal()
        left, when = draw.randrange(1, n_requests + 1), draw.choice(["before", "after"])
        assert run(url, left, when).returncode == -signal.SIGKILL
        journal = there.journal()
        assert journal[:1] == before and there.state().production is not None
        listed = there.versions.kept()
        for each in listed:
            assert there.find(f"{each['name']}:{each['version']}").digest() == each["sha256"]
        kept = here.copy_to(there, here.find("mine:3"))
        assert kept.identity == here.find("mine:3").identity
        assert there.find("mine:3").digest() == kept.digest()
