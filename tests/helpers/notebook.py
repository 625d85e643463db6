"""Runs as a notebook starts them, from anywhere: `python notebook.py FILE`."""

import asyncio
import json
import sys
import threading
from pathlib import Path

from bonafide.errors import BonafideError
from bonafide.process.isolate import is_stopped, stop_all
from bonafide.training.config import Config
from pipelines import run
from tests.helpers.failing import one_by_one, side_by_side

found: dict[str, str] = {}


def cell(name: str) -> None:
    try:
        wiring = one_by_one if name == "thread" else side_by_side
        run.run_wired(wiring, Config(), [], None, case="well")
        found[name] = "done"
    except BonafideError as error:
        found[name] = f"{error.code}: {error.message}"


async def loop() -> None:
    cell("loop")


def main() -> None:
    run.fingerprint = lambda *_: ""  # type: ignore[assignment]
    asyncio.run(loop())
    run._interrupted.set()
    stop_all()  # as when the reader interrupts a cell
    thread = threading.Thread(target=cell, args=("thread",))
    thread.start()
    thread.join()
    found["stopped"] = str(is_stopped())
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
