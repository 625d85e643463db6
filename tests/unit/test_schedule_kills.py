"""kill -9 and a full disk at any moment of a schedule: nothing is lost, and the next goes on.

`make test-all` tries many moments, which takes a minute.
"""

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from bonafide.history import LOCK, read_history
from bonafide.process.lifetime import descendants
from bonafide.process.lock import is_locked
from tests.helpers.moments import ALL
from tests.helpers.processes import alive
from tests.helpers.servers import wait_for

KILLS, FULL = (30, 10) if ALL else (3, 2)
SEED = 31
# What it runs takes no longer than it waits for the next, so that moments of all kinds are hit.
SCHEDULE = """
import sys
from pathlib import Path
from apscheduler.triggers.interval import IntervalTrigger
from bonafide.training.schedule.runner import Schedule
root = Path(sys.argv[1])
run = [sys.executable, "-S", "-c", "import time; print('on its way'); time.sleep(0.05)"]
Schedule(IntervalTrigger(seconds=0.05), run, root, say=lambda line: print(line, flush=True)).run()
"""


@contextmanager
def started(
    root: Path, before: Callable[[], None] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a schedule until the block ends; then it is killed, and nothing of it is left."""
    command = [sys.executable, "-c", SCHEDULE, root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=before) as process:
        try:
            yield process
        finally:
            children = descendants(process.pid)[1:]
            process.kill()
    wait_for(lambda: not any(map(alive, children)), "nothing is left")
    assert not is_locked(root / LOCK)


def well_ended(root: Path) -> int:
    """Count the runs that ended well, as the history tells; each of its lines can be read."""
    return sum(run["status"] == "ok" for run in read_history(root))


def require_whole(root: Path, earlier: list[dict[str, object]]) -> None:
    """Check that the history begins as it did, and that only runs that were killed are open."""
    history = read_history(root)
    assert [run for run in history[: len(earlier)] if run["status"] == "ok"] == [
        run for run in earlier if run["status"] == "ok"
    ]
    assert {run["status"] for run in history} <= {"ok", "interrupted"}
    assert all(Path(str(run["log"])).exists() for run in history)


def wait_for_another(root: Path) -> None:
    done = well_ended(root)
    wait_for(lambda: well_ended(root) > done, "a run that ended well")


def test_killed_at_any_moment(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for _ in range(KILLS):
        before = read_history(tmp_path)
        with started(tmp_path) as process:
            wait_for_another(tmp_path)
            time.sleep(rng.uniform(0.0, 0.3))
        assert process.returncode == -signal.SIGKILL
        require_whole(tmp_path, before)


@pytest.mark.parametrize("moment", range(FULL))
def test_a_disk_that_is_full_from_some_byte_on(tmp_path: Path, moment: int) -> None:
    """No run is started that cannot be noted; with room again, the next one is."""
    room = random.Random(SEED + moment).randrange(200, 2000)
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (room, room))
    history = tmp_path / "schedule.jsonl"
    with started(tmp_path, before=full) as process:
        assert process.stdout
        assert any(line.startswith(b"no run: disk_full: ") for line in process.stdout)
        assert process.poll() is None
    assert 0 < history.stat().st_size <= room
    before = read_history(tmp_path)
    with started(tmp_path):
        wait_for_another(tmp_path)
    require_whole(tmp_path, before)
    for line in history.read_text().splitlines():
        json.loads(line)
