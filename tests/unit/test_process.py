"""Processes of ours: started in one room, confined, waited for, ended with all they started."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bonafide.process.confine import ConfinedError, end, run_confined, start_confined
from bonafide.process.lifetime import process_is_gone
from bonafide.process.service import StartError, running_service
from tests.helpers.processes import alive, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("bonafide", "pipelines", "steps", "materializers", "serving", "research", "benchmarks")
STARTS = re.compile(
    r"\bPopen\(|\bsubprocess\.(run|call|check_)|create_subprocess_|ProcessPoolExecutor\("
    r"|import multiprocessing|from multiprocessing|\bos\.(exec|fork|spawn|posix_spawn|system|popen)"
)
# What else may start a process, and why.
ELSEWHERE = {
    "bonafide/lineage/code.py": "asks git which commit this is",
    "bonafide/training/reproduce.py": "checks a commit out, and trains with its code",
    "research/gate_power.py": "simulates many gates at once",
    "research/planted.py": "answers many requests at once",
    "bonafide/training/schedule/runner.py": "runs the user's command line, by the clock",
    "serving/http/app/build_hook.py": "fetches, where a wheel is built",
    "serving/http/app/npm.py": "asks npm, where nothing else is installed yet",
    "serving/launch.py": "becomes BentoML's server; starts nothing",
    "benchmarks/bench.py": "times commands from outside",
    "benchmarks/extraction.py": "measures the memory of a command from outside",
    "benchmarks/nights.py": "counts what a command leaves, from outside",
    "benchmarks/rollback.py": "times a rollback from outside",
    "benchmarks/serving.py": "sends load from a second process; times commands from outside",
}


def test_processes_are_started_in_one_room() -> None:
    files = {path for name in PACKAGES for path in (REPOSITORY / name).rglob("*.py")}
    starting = {
        str(path.relative_to(REPOSITORY)) for path in files if STARTS.search(path.read_text())
    }
    outside = {path for path in starting if not path.startswith("bonafide/process/")}
    assert outside - ELSEWHERE.keys() == set()
    assert {
        f"bonafide/process/{name}.py" for name in ("confine", "isolate", "pool", "service")
    } <= (starting)


def test_the_room_needs_the_standard_library_alone() -> None:
    names = ("confine", "isolate", "lifetime", "pool", "service")
    code = (
        "import importlib, sys\n"
        f"for name in {names}: importlib.import_module('bonafide.process.' + name)\n"
        "names = {n.partition('.')[0] for n in sys.modules} - sys.stdlib_module_names"
        "; print(sorted(n for n in names if not n.startswith('__')))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.stdout == "['bonafide']\n", done.stderr


# --- a service ------------------------------------------------------------------------------------

CHILD = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
FAKE = f"""
import http.server, pathlib, signal, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}])
pathlib.Path("child.part").write_text(str(child.pid))
pathlib.Path("child.part").rename("child")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_service_ends_with_all_that_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running_service(command=python(FAKE), folder=tmp_path, log=log) as service:
        assert service.is_ready()
        child = int((tmp_path / "child").read_text())
        assert alive(child)
    assert service.process.returncode == 7  # it was asked before it was killed
    assert wait_for(lambda: not alive(child))
    assert not service.is_ready()


def test_a_service_that_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    stubborn = FAKE.replace("lambda *_: sys.exit(7)", "signal.SIG_IGN")
    apart = stubborn.replace(repr(CHILD) + "]", repr(CHILD) + "], start_new_session=True")
    assert apart != stubborn != FAKE
    with running_service(command=python(apart), folder=tmp_path, stop_s=0.2) as service:
        child = int((tmp_path / "child").read_text())
        assert os.getsid(child) != os.getsid(service.process.pid)
    assert service.process.returncode == -signal.SIGKILL
    assert wait_for(lambda: not alive(child))


def test_a_service_ends_with_who_started_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, time; from bonafide.process.service import running_service\n"
        f"with running_service(command={python(FAKE)!r}, folder=pathlib.Path({str(tmp_path)!r}),"
        " port=None) as service:\n"
        f"    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(service.process.pid))\n"
        "    time.sleep(60)"
    )
    with subprocess.Popen(python(code)) as parent:
        assert wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        pid, child = (int((tmp_path / name).read_text()) for name in ("pid", "child"))
        assert alive(pid)
        parent.kill()
    assert wait_for(lambda: not alive(pid))
    os.kill(child, signal.SIGKILL)  # it ignores SIGTERM, and nobody is left to kill it


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('no bundle')", r"status 1 while it started; it printed: no bundle$"),
        ("", r"the service ended with status 0 while it started; it printed: nothing$"),
    ],
)
def test_a_service_that_does_not_start_says_why(code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=said) as caught:
        with running_service(command=python(code), log=tmp_path / "log"):
            pass
    assert caught.value.code == "no_service"


def test_a_service_that_is_never_ready(tmp_path: Path) -> None:
    command = python("import time; time.sleep(60)")
    with running_service(command=command, ready=False) as service:
        with pytest.raises(StartError, match=r"the service was not ready within 0\.2 s$"):
            service.wait_ready(0.2)
    assert service.process.returncode == -signal.SIGTERM


# --- confined -------------------------------------------------------------------------------------


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the file of a module that confined processes can run by the name `confined`."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{REPOSITORY}")
    return tmp_path / "confined.py"


def test_one_answer_to_one_input(module: Path) -> None:
    module.write_text(
        "import sys; from bonafide.process.confine import confine; confine(10**9);"
        "sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    )
    assert run_confined("confined", b"abc", limit_s=20) == b"cba"


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)",
        "import os; os.kill(os.getpid(), 11)",
        "import time; time.sleep(60)",
        "from bonafide.process.confine import confine; confine(10**9); bytes(10**9)",
        "from bonafide.process.confine import confine; confine(10**9)\n"
        "with open(__file__ + '.out', 'w') as file: file.write('x')",
    ],
    ids=["fails", "crashes", "hangs", "takes memory", "writes a file"],
)
def test_a_failure_stays_in_its_process(code: str, module: Path) -> None:
    module.write_text(code)
    with pytest.raises(ConfinedError, match="confined failed") as caught:
        run_confined("confined", b"", limit_s=2)
    assert caught.value.code == "confined_failed"


def test_one_that_serves_is_waited_for_and_ended(module: Path) -> None:
    module.write_text(
        "import sys, time; assert sys.argv[1:] == ['a', 'b'];"
        "print('ready', flush=True); time.sleep(60)"
    )

    async def check() -> int:
        process = await start_confined("confined", "a", "b", limit_s=20)
        assert process.returncode is None
        await end(process)
        await end(process)  # once more does no harm
        assert process.returncode is not None
        return process.returncode

    assert asyncio.run(check()) == -signal.SIGKILL


@pytest.mark.parametrize("code", ["", "import time; time.sleep(60)"], ids=["ends", "hangs"])
def test_one_that_does_not_get_ready(code: str, module: Path) -> None:
    module.write_text(code)
    with pytest.raises(ConfinedError, match="confined does not start"):
        asyncio.run(start_confined("confined", limit_s=1))


def test_a_process_that_is_gone() -> None:
    assert not process_is_gone(str(os.getpid()))
    assert not process_is_gone("1")
    with subprocess.Popen(python("")) as process:
        pass
    assert process_is_gone(str(process.pid))
    assert process_is_gone("no number")


def test_one_that_does_not_get_ready_says_why(module: Path) -> None:
    module.write_text("print('it is cold'); raise SystemExit(1)")
    with pytest.raises(ConfinedError, match=r"confined does not start: it is cold$"):
        asyncio.run(start_confined("confined", limit_s=20))
    module.write_text("raise SystemExit(3)")
    with pytest.raises(ConfinedError, match=r"confined does not start: it ended with status 3$"):
        asyncio.run(start_confined("confined", limit_s=20))


def test_a_limit_that_cannot_be_set_is_named(module: Path) -> None:
    module.write_text(
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "from bonafide.process.confine import ConfinedError, confine\n"
        "try: confine(2 * 10**9)\n"
        "except ConfinedError as error: print(error.code, error.message)"
    )
    said = run_confined("confined", b"", limit_s=20).decode()
    assert said in (
        "bad_limit RLIMIT_AS: cannot be set to 2000000000: the hard limit is 1000000000\n",
        "",  # to a process that may raise limits, it is none
    )


def test_one_whose_parent_is_gone_ends_at_once(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module.write_text("from bonafide.process.confine import confine; confine(10**9); print('on')")
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as if another had started it
    with pytest.raises(ConfinedError, match="SIGKILL"):
        run_confined("confined", b"", limit_s=20)
