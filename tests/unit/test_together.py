"""Two or more at once on one home: what they write is whole, and each gets what is its own."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from bonafide.bundle import read_bundle
from bonafide.corpora.schema import Corpus, Row
from bonafide.features.spec import FeatureSpec, ViewSpec
from bonafide.home import scratch, work_folder
from bonafide.process.lock import is_locked, locked, open_lock, try_lock
from bonafide.registry import find_bundle
from bonafide.simulation import corpus as simulation
from bonafide.training import extraction
from bonafide.training.caching import cached_extract
from bonafide.training.config import AugmentationConfig
from bonafide.training.ingest import sound_sha256
from bonafide.training.recordings import Recordings
from bonafide.training.store import FeatureStore
from tests.conftest import REPOSITORY
from tests.helpers.processes import wait_for
from tests.unit.test_bundle import make

RATE = 16_000
AT_ONCE = 24
SPEC = FeatureSpec(
    window_s=1.0,
    views={"lfcc": ViewSpec("lfcc", n_filters=8, n_coefficients=4)},
    statistics={"few": ViewSpec("logband", n_filters=5, n_coefficients=0)},
)
NONE = AugmentationConfig(count=0)


def start(script: str, *words: object) -> "subprocess.Popen[str]":
    """Run a script whose first act is to wait for its standard input to end."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs(processes: Sequence["subprocess.Popen[str]"]) -> list[str]:
    """Let all go at once; return what each printed."""
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=120) for process in processes]
    assert not any(process.returncode for process in processes), [err for _, err in said]
    return [out for out, _ in said]


KEEP = """
import sys
from pathlib import Path
import json
from bonafide.bundle import Bundle
from bonafide.errors import RegistryError
from bonafide.registry import keep, promote

root, number = Path(sys.argv[1]), sys.argv[2]
folder = root / f"candidate {number}"
candidate = Bundle(folder, json.loads((folder / "manifest.json").read_text()))
print("ready", flush=True)
sys.stdin.read()
kept = keep(root / "home", candidate, {"trained": number}, f"# Card {number}\\n")
try:
    promote(root / "home", kept, override="a test")
except RegistryError as error:
    assert error.code == "overtaken", error
print(kept.identity["version"])
"""


def test_candidates_that_are_kept_at_once(tmp_path: Path) -> None:
    """Each gets a version, and each version is one candidate: graphs, manifest and card."""
    for number in range(AT_ONCE):
        make(tmp_path / f"candidate {number}", str(number), metrics={"of": str(number)})
    versions = outputs([start(KEEP, tmp_path, number) for number in range(AT_ONCE)])
    wanted = {str(number + 1) for number in range(AT_ONCE)}
    assert {version.strip() for version in versions} == wanted
    folder = tmp_path / "home" / "bundles" / "default"
    assert {path.name for path in folder.iterdir()} == wanted
    for number, version in enumerate(versions):
        kept = read_bundle(folder / version.strip())
        assert kept.manifest["trained"] == str(number)
        assert kept.manifest["metrics"] == {"of": str(number)}
        assert (kept.folder / "card.md").read_text() == f"# Card {number}\n"
        assert kept.graph_path("cnn").read_bytes() == f"graph cnn {number}".encode()
    assert find_bundle(tmp_path / "home").folder.parent == folder


def test_the_same_candidate_at_once_is_kept_once(tmp_path: Path) -> None:
    make(tmp_path / "candidate same", "same")
    versions = outputs([start(KEEP, tmp_path, "same") for _ in range(6)])
    assert {version.strip() for version in versions} == {"1"}


def test_a_run_killed_while_it_keeps_stands_in_nobodys_way(tmp_path: Path) -> None:
    for name in ("slow", "next"):
        make(tmp_path / f"candidate {name}", name)
    imports = "import sys, time\nfrom bonafide.registry import versions\n"
    slow = KEEP.replace("import sys\n", imports, 1)
    slow = slow.replace("sys.stdin.read()", "versions.write_bundle = lambda *_: time.sleep(60)")
    with start(slow, tmp_path, "slow") as process:
        draft = tmp_path / "home" / "bundles" / "default" / ".draft" / "card.md"
        assert wait_for(draft.exists)
        process.kill()
    (version,) = outputs([start(KEEP, tmp_path, "next")])
    assert version == "1\n"
    assert [path.name for path in draft.parents[1].iterdir()] == ["1"]
    assert read_bundle(draft.parents[1] / "1").manifest["trained"] == "next"


def sounds(folder: Path, n_files: int) -> Recordings:
    folder.mkdir(exist_ok=True)
    rng, rows, hashes = np.random.default_rng(0), [], []
    for number in range(n_files):
        pcm = rng.integers(-3000, 3000, RATE).astype(np.int16)
        sf.write(folder / f"{number}.wav", pcm, RATE)
        rows.append(Row(f"{number}.wav", ("bonafide", "spoof")[number % 2]))
        hashes.append(sound_sha256((pcm / 32768).astype(np.float32)))
    return Recordings(Corpus(folder, rows), np.array(hashes), np.zeros((n_files, 1)))


def in_this_process(
    function: Callable[[Any], Any], items: Iterable[Any], **_: object
) -> Iterator[tuple[int, Any]]:
    for number, item in enumerate(items):
        yield number, function(item)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "map_parallel", in_this_process)


EXTRACT = """
import sys
from pathlib import Path
from bonafide.training import caching, extraction
from tests.unit.test_together import NONE, SPEC, in_this_process, sounds

if __name__ == "__main__":
    root = Path(sys.argv[1])
    recordings, written = sounds(root / sys.argv[2], 4), []
    extraction.map_parallel = lambda *a, **k: written.extend(a[1]) or in_this_process(*a, **k)
    print("ready", flush=True)
    sys.stdin.read()
    store = caching.cached_extract(recordings, SPEC, NONE, root / "features")
    print(len(written), len(store.view("lfcc")), float(abs(store.view("lfcc")).sum()))
"""


def test_features_of_one_corpus_are_extracted_by_one_run(tmp_path: Path) -> None:
    said = outputs([start(EXTRACT, tmp_path, f"sounds {number}") for number in range(2)])
    counts, rows, sums = zip(*map(str.split, said), strict=True)
    assert sorted(counts) == ["0", "1"]
    assert set(rows) == {"4"} and len(set(sums)) == 1


def others(folder: Path, number: int) -> Recordings:
    """Return a recording that no other call returns."""
    return sounds(folder, number).take(np.array([number - 1]))


def test_a_store_in_use_is_not_removed(tmp_path: Path, inline: None) -> None:
    used = cached_extract(others(tmp_path / "sounds", 1), SPEC, NONE, tmp_path / "features")
    for number in range(2, 6):
        cached_extract(others(tmp_path / "sounds", number), SPEC, NONE, tmp_path / "features")
    assert len(used.view("lfcc")) == 1
    folder, family = used.folder, used.folder.parent
    assert len(list(family.iterdir())) == 4  # three, and the one in use
    del used
    cached_extract(others(tmp_path / "sounds", 6), SPEC, NONE, tmp_path / "features")
    assert not folder.exists() and len(list(family.iterdir())) == 3


def test_what_a_store_in_use_is_joined_from_is_not_removed(tmp_path: Path, inline: None) -> None:
    root, everything = tmp_path / "features", sounds(tmp_path / "sounds", 9)
    cached_extract(everything.take(np.arange(2)), SPEC, NONE, root)
    used = cached_extract(everything.take(np.arange(3)), SPEC, NONE, root)
    assert used.joined is not None and len(used.joined.folders) == 2
    for number in range(3, 9):
        cached_extract(everything.take(np.array([number])), SPEC, NONE, root)
    values = np.asarray(used.view("lfcc"))
    assert all(folder.exists() for folder in used.joined.folders)
    assert len(values) == 3 and np.isfinite(values).all()
    folders = [folder.resolve() for folder in (used.folder, *used.joined.folders)]
    del used
    cached_extract(everything.take(np.array([2])), SPEC, NONE, root)
    cached_extract(everything.take(np.array([7, 8])), SPEC, NONE, root)
    assert not any(folder.exists() for folder in folders[:2])


def test_the_draft_of_a_run_that_goes_on_stays(tmp_path: Path, inline: None) -> None:
    root = tmp_path / "features"
    whole = cached_extract(sounds(tmp_path / "sounds", 2), SPEC, NONE, root)
    family = whole.folder.parent
    for name in ("alive-1", "dead-2"):
        shutil.copytree(whole.folder, family / name)
    with locked(root / "locks" / f"{family.name}-alive"):
        cached_extract(sounds(tmp_path / "sounds", 3), SPEC, NONE, root)
    assert (family / "alive-1").exists() and not (family / "dead-2").exists()


def test_a_store_that_is_gone_is_not_held(tmp_path: Path) -> None:
    assert FeatureStore.held(tmp_path / "none") is None
    FeatureStore(tmp_path / "none").remove()


def test_work_of_threads_is_apart(tmp_path: Path) -> None:
    with scratch(tmp_path) as one, scratch(tmp_path) as other:
        assert one != other
        assert one.parent == other.parent == work_folder(tmp_path)
        (one / "f").write_text("x")
    assert not list((tmp_path / "work").iterdir())
    with pytest.raises(ZeroDivisionError), scratch(tmp_path):
        1 / 0  # noqa: B018
    assert not list((tmp_path / "work").iterdir())


def test_a_corpus_that_is_simulated_twice_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "_write_clips", lambda _folder, _seed, rows, _progress: rows)
    left = tmp_path / "mine.part-0"
    left.mkdir()
    (left / "simulated.json").write_text("")
    real, tried = simulation._already_there, []

    def another_comes_first(folder: Path, parameters: dict[str, int]) -> bool:
        tried.append(folder)
        if len(tried) > 1:
            return real(folder, parameters)
        assert not real(folder, parameters)
        simulation.simulate(folder, clips=48, speakers=6)
        return False

    monkeypatch.setattr(simulation, "_already_there", another_comes_first)
    manifest = simulation.simulate(tmp_path / "mine", clips=48, speakers=6)
    assert manifest.is_file() and len(tried) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


class TestLock:
    def test_one_at_a_time(self, tmp_path: Path) -> None:
        path, inside, most = tmp_path / "new" / "lock", [], []

        def work() -> None:
            with locked(path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1] * 8

    def test_it_is_free_when_its_holder_is_killed(self, tmp_path: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from bonafide.process.lock import locked\n"
            "with locked(Path(sys.argv[1])): print('ready', flush=True); sys.stdin.read()"
        )
        path = tmp_path / "lock"
        assert not is_locked(path)
        with start(script, path) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            assert is_locked(path)
            with open_lock(path) as file:
                assert not try_lock(file) and not try_lock(file, shared=True)
            os.kill(process.pid, signal.SIGKILL)
        assert not is_locked(path)

    def test_shared_with_others_that_share(self, tmp_path: Path) -> None:
        with open_lock(tmp_path / "lock") as one, open_lock(tmp_path / "lock") as other:
            assert try_lock(one, shared=True) and try_lock(other, shared=True)
            assert not is_locked(tmp_path / "lock")
            with open_lock(tmp_path / "lock") as third:
                assert not try_lock(third)
