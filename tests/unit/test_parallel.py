"""Work in processes of their own: what crashes, what is printed, what is killed."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bonafide.errors import BonafideError
from bonafide.process.isolate import ENVIRONMENT, Calls, IsolatedError, run_isolated, side_by_side
from bonafide.process.lifetime import descendants
from bonafide.process.pool import map_parallel, silent, worker_count
from tests.conftest import REPOSITORY
from tests.helpers.processes import alive, wait_for

HELPERS = Path(__file__).parents[1] / "helpers"
Job = tuple[str, Any]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the helper module, importable in spawned processes too."""
    monkeypatch.syspath_prepend(HELPERS)
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    return importlib.import_module("children")


class TestMapParallel:
    def run(self, children: Any, jobs: list[Job], workers: int = 2) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for position, result in map_parallel(
            children.work, jobs, crashed=children.crashed, workers=workers
        ):
            assert position not in found, "reported twice"
            found[position] = result
        return found

    @pytest.mark.parametrize("workers", [1, 2])
    def test_every_item_under_its_position(self, children: Any, workers: int) -> None:
        jobs = [("square", number) for number in range(25)]
        found = self.run(children, jobs, workers)
        assert found == {number: number * number for number in range(25)}

    def test_nothing_to_do(self, children: Any) -> None:
        assert self.run(children, []) == {}

    def test_items_that_bring_their_process_down(self, children: Any) -> None:
        jobs: list[Job] = [("square", number) for number in range(14)]
        jobs[3], jobs[10] = ("exit", 3), ("kill", 0.0)
        expected: dict[int, Any] = {number: number * number for number in range(14)}
        expected |= {3: "crashed on exit", 10: "crashed on kill"}
        assert self.run(children, jobs) == expected

    def test_a_crash_while_the_caller_is_busy(self, children: Any) -> None:
        """The pool breaks between two looks at it, when the next item is about to go in."""
        jobs: list[Job] = [("square", 0), ("kill", 0.3), *[("square", n) for n in range(2, 9)]]
        found: dict[int, Any] = {}
        pairs = map_parallel(children.work, jobs, crashed=children.crashed, workers=2)
        for position, result in pairs:
            found[position] = result
            if len(found) == 1:
                time.sleep(1.5)
        assert found == {0: 0, 1: "crashed on kill"} | {n: n * n for n in range(2, 9)}

    def test_a_worker_that_comes_too_late_says_nothing(self, children: Any, tmp_path: Path) -> None:
        """The other one does all the work before it has started, and the pool goes."""
        script = tmp_path / "script.py"
        script.write_text(
            "import sys, time\n"
            "from pathlib import Path\n"
            "from bonafide.process.pool import map_parallel\n"
            "import children\n"
            "if __name__ == '__main__':\n"
            "    jobs = [('square', 2)] * 4\n"
            "    found = list(map_parallel(children.work, jobs, crashed=None, workers=2))\n"
            "    print(len(found))\n"
            "else:\n"
            "    try:\n"
            "        Path(sys.argv[1]).touch(exist_ok=False)\n"
            "    except FileExistsError:\n"
            "        time.sleep(2)\n"
        )
        done = subprocess.run(
            [sys.executable, script, tmp_path / "first"],
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{HELPERS}"},
            capture_output=True,
            text=True,
        )
        assert (done.stdout, done.stderr) == ("4\n", "")

    def test_an_error_is_the_callers(self, children: Any) -> None:
        with pytest.raises(ValueError, match="no such thing"):
            self.run(children, [("square", 1), ("raise", "no such thing"), ("square", 2)])

    def test_items_are_taken_as_they_are_needed(self, children: Any) -> None:
        taken, returned, most_ahead = 0, 0, 0

        def jobs() -> Iterator[Job]:
            nonlocal taken, most_ahead
            for number in range(40):
                taken += 1
                most_ahead = max(most_ahead, taken - returned)
                yield ("square", number)

        pairs = map_parallel(children.work, jobs(), crashed=children.crashed, workers=1)
        assert taken == 0
        for _ in pairs:
            returned += 1
        assert returned == taken == 40
        assert most_ahead <= 4  # two a worker, and what came back but was not looked at yet

    def test_in_processes_that_are_not_this_one(self, children: Any) -> None:
        found = self.run(children, [("pid", 0)] * 6)
        assert os.getpid() not in found.values()
        assert 1 <= len(set(found.values())) <= 2

    def test_a_caller_who_leaves_early(self, children: Any) -> None:
        taken: list[int] = []

        def jobs() -> Iterator[Job]:
            for number in range(30):
                taken.append(number)
                yield ("square", number)

        pairs = map_parallel(children.work, jobs(), crashed=children.crashed, workers=1)
        next(pairs)
        pairs.close()  # type: ignore[attr-defined]
        assert len(taken) <= 3

    @pytest.mark.parametrize("job", [("sleep", 60), ("square", 2)], ids=["busy", "idle"])
    def test_workers_go_with_a_parent_that_is_killed(
        self, children: Any, job: Job, tmp_path: Path
    ) -> None:
        script = (
            "import sys, time, children\n"
            "from bonafide.process.pool import map_parallel\n"
            f"jobs = [('tell', sys.argv[1]), {job!r}, {job!r}]\n"
            "for done in map_parallel(children.work, jobs, crashed=children.crashed, workers=2):\n"
            "    if done[0] == 0: time.sleep(60)\n"
        )
        pids = tmp_path / "pid"
        with subprocess.Popen([sys.executable, "-c", script, pids]) as parent:
            assert wait_for(pids.exists)
            workers = [pid for pid in descendants(parent.pid) if pid != parent.pid]
            assert int(pids.read_text()) in workers
            parent.kill()
        assert wait_for(lambda: not any(map(alive, workers)))

    def test_a_script_without_a_guard_is_told_what_it_lacks(
        self, children: Any, tmp_path: Path
    ) -> None:
        """Its workers run its top again and end there; no item is to blame."""
        script = tmp_path / "script.py"
        script.write_text(
            "import children\n"
            "from bonafide.process.pool import PoolError, map_parallel\n"
            "try:\n"
            "    print(list(map_parallel(children.work, [('square', 2)] * 9, "
            "crashed=children.crashed)))\n"
            "except PoolError as error:\n"
            "    print(error.code, error)\n"
        )
        paths = os.pathsep.join((str(HELPERS), str(REPOSITORY)))
        done = subprocess.run(
            [sys.executable, script],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.startswith("no_workers worker processes end while they start")
        assert "`if __name__ == '__main__':`" in done.stdout

    def test_worker_count(self) -> None:
        assert worker_count() == len(os.sched_getaffinity(0)) >= 1
        assert silent(1, 2) is None  # type: ignore[func-returns-value]


class TestRunIsolated:
    def test_arguments_result_and_progress(self, children: Any) -> None:
        seen: list[tuple[int, int]] = []
        arguments = {"text": "ä\n\"'", "number": 1.5, "many": [None, True, {"a": "b" * 100_000}]}
        result = run_isolated("children:echo", arguments, lambda *step: seen.append(step))
        assert result == {"seen": arguments}
        assert seen == [(1, 3), (2, 3), (3, 3)]

    def test_progress_may_go_to_nobody(self, children: Any) -> None:
        assert run_isolated("children:echo", {}) == {"seen": {}}

    def test_a_process_of_its_own_with_fixed_numbers(
        self, children: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "64")
        monkeypatch.setenv("HANDED_ON", "yes")
        names = [*ENVIRONMENT, "HANDED_ON"]
        found = run_isolated("children:environment", {"names": names})
        assert found.pop("pid") != os.getpid()
        assert found == {**ENVIRONMENT, "HANDED_ON": "yes"}
        assert ENVIRONMENT["OMP_NUM_THREADS"] == "1"

    def test_noise_does_not_break_the_conversation(self, children: Any) -> None:
        seen: list[tuple[int, int]] = []
        found = run_isolated("children:noisy", {"lines": 8000}, lambda *step: seen.append(step))
        assert found == {"lines": 8000}
        assert seen == [(1, 1)]

    def test_noise_that_is_not_text(self, children: Any) -> None:
        assert run_isolated("children:not_utf8", {"status": 0}) == {"status": 0}

    @pytest.mark.parametrize(
        ("target", "arguments", "match"),
        [
            (
                "children:fail",
                {"message": "the sky is low"},
                r"(?s)fail ended with status 1; it printed: .*RuntimeError: the sky is low",
            ),
            ("children:leave", {"status": 7}, r"leave ended with status 7; it printed: nothing$"),
            ("children:leave", {"status": 0}, r"leave ended with status 0; it printed: nothing$"),
            ("children:not_utf8", {"status": 3}, r"status 3; it printed: before .*after"),
            ("children:unserialisable", {}, r"(?s)status 1.*TypeError: .*JSON serializable"),
            ("children:echo_nothing", {}, r"(?s)status 1.*has no attribute 'echo_nothing'"),
            ("no_such_module:f", {}, r"(?s)status 1.*No module named 'no_such_module'"),
            ("children:leave", {}, r"(?s)status 1.*missing 1 required .*'status'"),
        ],
    )
    def test_failures(
        self, children: Any, target: str, arguments: dict[str, Any], match: str
    ) -> None:
        with pytest.raises(IsolatedError, match=match) as caught:
            run_isolated(target, arguments)
        assert caught.value.code == "training_failed"
        assert isinstance(caught.value, BonafideError)

    def test_an_error_of_ours_keeps_its_code(self, children: Any) -> None:
        with pytest.raises(IsolatedError, match=r"^sky=low: must be high$") as caught:
            run_isolated("children:refuse", {})
        assert caught.value.code == "bad_sky"

    @pytest.mark.parametrize("why", [KeyboardInterrupt, ValueError])
    def test_side_by_side_ends_as_a_whole_and_may_begin_again(
        self, children: Any, why: type[BaseException], tmp_path: Path
    ) -> None:
        names = [tmp_path / f"{number}" for number in range(worker_count() + 2)]
        begin = time.monotonic()
        with pytest.raises(why), side_by_side(len(names)) as pool:
            calls = [
                pool.submit(run_isolated, "children:wait_long", {"pid_file": str(name)})
                for name in names
            ]
            assert wait_for(lambda: any(name.exists() for name in names))
            raise why
        assert time.monotonic() - begin < 30
        assert all(isinstance(call.exception(), IsolatedError) for call in calls)
        assert not any(alive(int(name.read_text())) for name in names if name.exists())
        assert run_isolated("children:environment", {"names": []})

    def start(self, pid_file: Path) -> tuple[threading.Thread, list[BaseException], int]:
        """Start a long run in a thread; return it, its errors to come, and the child's process."""
        raised: list[BaseException] = []

        def run() -> None:
            try:
                run_isolated("children:wait_long", {"pid_file": str(pid_file)})
            except IsolatedError as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        assert wait_for(pid_file.exists)
        return thread, raised, int(pid_file.read_text())

    def test_a_child_that_is_killed(self, children: Any, tmp_path: Path) -> None:
        thread, raised, pid = self.start(tmp_path / "pid")
        os.kill(pid, signal.SIGKILL)
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert not alive(pid)
        with pytest.raises(IsolatedError, match=r"wait_long ended with status -9; .*nothing"):
            raise raised[0]

    def test_stop_all(self, children: Any, tmp_path: Path) -> None:
        """In a process of its own, for it is final: what runs ends, what waits does not start."""
        pid_file = tmp_path / "pid"
        call = f"import children; children.stop_a_run({str(pid_file)!r})"
        done = subprocess.run([sys.executable, "-c", call], capture_output=True, timeout=60)
        assert done.stderr.decode() == ""
        first, second = json.loads(done.stdout)
        assert first[0] == "training_failed"
        assert "status -9" in first[1]
        assert second == ["stopped", "children:echo was not started: the run is being stopped"]
        assert not alive(int(pid_file.read_text()))

    def test_the_child_goes_with_its_parent(self, children: Any, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"
        call = (
            "from bonafide.process.isolate import run_isolated; "
            f"run_isolated('children:wait_long', {json.dumps({'pid_file': str(pid_file)})})"
        )
        with subprocess.Popen([sys.executable, "-c", call]) as parent:
            assert wait_for(pid_file.exists)
            child = int(pid_file.read_text())
            assert alive(child)
            parent.kill()
        assert wait_for(lambda: not alive(child), seconds=10)

    def test_progress_that_fails_ends_the_child(self, children: Any) -> None:
        def refuse(done: int, total: int) -> None:
            raise ArithmeticError("enough")

        with pytest.raises(ArithmeticError, match="enough"):
            run_isolated("children:echo", {}, refuse)

    def test_pipes_are_closed(self, children: Any) -> None:
        run_isolated("children:echo", {})
        before = len(list(Path("/proc/self/fd").iterdir()))
        kept = [run_isolated("children:echo", {}) for _ in range(2)]
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
        assert len(kept) == 2

    def test_so_many_at_a_time_and_stopped_together(self, children: Any, tmp_path: Path) -> None:
        calls, raised = Calls(1), []

        def run(name: str) -> None:
            try:
                calls.run("children:wait_long", {"pid_file": str(tmp_path / name)})
            except IsolatedError as error:
                raised.append(error.code)

        threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        assert wait_for(lambda: list(tmp_path.glob("[ab]")))
        time.sleep(0.5)
        assert len(list(tmp_path.glob("[ab]"))) == 1  # the other waits
        calls.stop()
        for thread in threads:
            thread.join(timeout=20)
        assert sorted(raised) == ["stopped", "training_failed"]
        assert Calls(1).run("children:echo", {}) == {"seen": {}}  # others are not concerned
