"""kill -9 while the service takes over a promotion: what the journal names is served, whole."""

import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle, read_bundle
from bonafide.home import SHIPPED_ROOT
from bonafide.process.service import running_service
from bonafide.registry import keep, promote, registry_of
from tests.helpers.moments import ALL
from tests.helpers.processes import alive
from tests.helpers.servers import Server, server, wait_for

SOUND = encode(speech(2.0), "flac")
# In all fifty, which takes some minutes: workers, scorers, and the whole server.
EACH, WHOLE = (20, 10) if ALL else (5, 3)
LONGEST_S = 1.2  # a scorer takes about so long to start
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Bundle]]:
    """A home with two bundles that differ in a note, the first of them in production."""
    home = tmp_path_factory.mktemp("home")
    fast = read_bundle(SHIPPED_ROOT / "fast")
    bundles = [keep(home, fast, {"note": note}, "a variant\n") for note in "ab"]
    promote(home, bundles[0], override="a test")
    return home, bundles


def promote_other(pair: tuple[Path, list[Bundle]]) -> None:
    home, bundles = pair
    served = str(registry_of(home).production())
    (other,) = (each for each in bundles if "{name}:{version}".format(**each.identity) != served)
    promote(home, other, override="a test")


def answers(service: Server) -> bool:
    """Return whether the service answers with the bundle that the journal names."""
    named = registry_of(service.home).production()
    answer = service.detect(SOUND)
    return named is not None and answer.json().get("bundle", {}).get("sha256") == named.sha256


def files(home: Path) -> list[str]:
    """Name what lies in a home beside the journal."""
    return sorted(
        str(path.relative_to(home)) for path in home.rglob("*") if path.parent.name != "journal"
    )


@pytest.fixture(scope="module")
def service(pair: tuple[Path, list[Bundle]]) -> Iterator[Server]:
    with server(pair[0], workers=2, queue=8) as running:
        yield running


@pytest.mark.parametrize("what", ["workers", "scorers"])
def test_a_worker_or_scorer_that_is_killed_meanwhile(
    service: Server, pair: tuple[Path, list[Bundle]], what: str
) -> None:
    before, rng = files(service.home), random.Random(what)
    for _ in range(EACH):
        promote_other(pair)
        time.sleep(rng.uniform(0, LONGEST_S))
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            rng.choice(getattr(service, what)()).kill()
    wait_for(lambda: len(service.workers()) == 2, "both workers", limit_s=LIMIT_S)
    wait_for(lambda: len(service.scorers()) == 2, "a scorer each", limit_s=LIMIT_S)
    wait_for(lambda: all(answers(service) for _ in range(6)), "the promoted one", limit_s=LIMIT_S)
    (folder,) = service.temp.glob("bonafide-*")
    assert len(list(folder.glob("*.sock"))) == 2 and service.upload_files() == []
    assert files(service.home) == before


@contextlib.contextmanager
def started(home: Path, temp: Path) -> Iterator[Server]:
    """Run a service whose temporary folder outlives it."""
    inherited = {name: value for name, value in os.environ.items() if "BONAFIDE_" not in name}
    own = {"BONAFIDE_HOME": str(home), "TMPDIR": str(temp), "BONAFIDE_WORKERS": "1"}
    log = temp.with_suffix(".log")
    with running_service(environment={**inherited, **own}, folder=temp, log=log) as running:
        yield Server(running, home, temp, log)


def wait_ended(tree: list[int]) -> None:
    wait_for(lambda: not any(map(alive, tree)), "all have ended", limit_s=LIMIT_S)


@pytest.fixture
def temp() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bf"))  # short: sockets lie in it
    yield folder
    shutil.rmtree(folder)
    folder.with_suffix(".log").unlink()


def test_a_server_that_is_killed_meanwhile(pair: tuple[Path, list[Bundle]], temp: Path) -> None:
    home, rng = pair[0], random.Random("server")
    before = files(home)
    for moment in range(WHOLE):
        everything = moment % 3 > 0  # all, as when power fails; or the first process alone
        with started(home, temp) as running:
            wait_for(lambda: answers(running), "the promoted one", limit_s=LIMIT_S)
            assert len(list(temp.glob("bonafide-*"))) == 1  # what was left behind is gone
            tree = [running.service.process.pid, *(each.pid for each in running.tree())]
            promote_other(pair)
            time.sleep(rng.uniform(0, LONGEST_S))
            for pid in tree if everything else tree[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_ended(tree)
    with started(home, temp) as running:
        wait_for(lambda: answers(running), "the promoted one", limit_s=LIMIT_S)
    assert files(home) == before
    assert [path.name for path in temp.iterdir() if path.name.startswith("bonafide-")] == []
