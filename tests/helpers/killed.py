"""Runs that are killed, or find the disk full, in a chosen step: `python -m tests.helpers.killed`.

Everything heavy is imported once; each run is a fork, so that many fit into a test.
"""

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zenml.orchestrators.step_launcher import StepLauncher

from bonafide.errors import BonafideError
from bonafide.training.config import read_config
from pipelines.run import run_training

KILLED, FULL = "killed", "full"
LONGEST_S = 2.0  # of a step, as far as moments in it are drawn


def say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def when(step: str, act: Callable[[], None], end: Callable[[], None] = lambda: None) -> None:
    """Have something done as soon as ZenML launches a step, and something else as it ends."""
    launch = StepLauncher.launch

    def launched(self: Any) -> Any:
        if self._invocation_id != step:
            return launch(self)
        act()
        result = launch(self)
        end()
        return result

    StepLauncher.launch = launched  # type: ignore[method-assign]


def train(config: Path, corpus: str) -> int:
    """Train; print how it ended."""
    try:
        trained = run_training(read_config(config), [corpus], static=True)
    except BonafideError as error:
        say({"code": error.code})
        return 2
    say({"cached": sorted(trained.cached), "ran": sorted(trained.ran)})
    return 0


def forked(config: Path, corpus: str, how: str, step: str, rng: random.Random) -> dict[str, Any]:
    """Run once, and disturb it in a step; say how it ended."""
    heard, said = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(heard[0])
        os.dup2(said[1], 1)
        if how == KILLED:
            # The blow falls in this step or right at its end, however short it is.
            when(step, lambda: os.write(heard[1], b"x") and None, signal.pause)
        if how == FULL:
            room = int(2 ** rng.uniform(14, 21))
            when(step, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
        status = 1
        try:
            status = train(config, corpus)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(heard[1])
    os.close(said[1])
    if os.read(heard[0], 1):
        time.sleep(LONGEST_S * rng.uniform(0.0, 1.0) ** 3)  # most steps are short
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(said[0]) as answer:
        told = [line for line in answer.read().splitlines() if line.startswith("{")]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(heard[0])
    return {"how": how, "step": step, "status": status, **(json.loads(told[-1]) if told else {})}


def main() -> None:
    """Run once for each ``how:step`` and once undisturbed, one JSON line each."""
    config, corpus, seed, *moments = sys.argv[1:]
    rng = random.Random(int(seed))
    for moment in (*moments, ":"):
        how, _, step = moment.partition(":")
        begun = time.monotonic()
        done = forked(Path(config), corpus, how, step, rng)
        say({**done, "took_s": round(time.monotonic() - begun, 1)})
        if not sys.stdin.readline():  # the test looks at the home before the next
            return


if __name__ == "__main__":
    main()
