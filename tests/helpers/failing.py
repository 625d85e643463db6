"""Runs that fail in ways that ZenML does not tell: `python -m tests.helpers.failing`."""

import errno
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zenml import pipeline, step
from zenml.client import Client
from zenml.execution.pipeline.dynamic import runner
from zenml.zen_stores.sql_zen_store import SqlZenStore

from bonafide.errors import BonafideError, CorpusError, StorageError
from bonafide.home import home
from bonafide.training.arrays import DAMAGED
from bonafide.training.config import Config
from pipelines import run
from pipelines.anew import extracted_anew
from pipelines.failures import explain


@step(enable_cache=False)
def first() -> int:
    return 1


@step(enable_cache=False)
def work(case: str, number: int) -> int:
    if case == "inside":
        try:
            {}["lost"]
        except KeyError as error:
            raise ValueError("outer words") from error
    if case == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "features/lfcc.npy")
    if case == "ours":
        raise CorpusError("own_code", "own words")
    if case == "damaged for good" or (case == "damaged" and not extracted_anew(home())):
        raise StorageError(DAMAGED, "features/lfcc.npy: is not what was written there")
    time.sleep(1.0)
    return number


@step(enable_cache=False)
def join(a: int, b: int) -> int:
    return a + b


@pipeline(dynamic=True, enable_cache=False)
def side_by_side(
    config: Config, corpora: list[str], corpus_format: str | None, fingerprint: str, case: str
) -> None:
    one = first()
    if case == "outside":
        raise ArithmeticError("two lines,\none too many")
    well = work.submit("well", one, id="train_cnn")  # awaited first
    ill = work.submit(case, one, id="train_gru")
    join(well, ill)


@pipeline(enable_cache=False)
def one_by_one(
    config: Config, corpora: list[str], corpus_format: str | None, fingerprint: str, case: str
) -> None:
    join(work("well", 1, id="train_cnn"), work(case, 1, id="train_gru"))


@contextmanager
def failing(owner: Any, name: str, invocation: str) -> Iterator[None]:
    """Have one of ZenML's own calls fail for one step, as if its database were locked."""
    real = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        seen = [named.get("invocation_id"), *(getattr(a, "name", None) for a in arguments)]
        if invocation in seen:
            raise RuntimeError("the store said no") from sqlite3.OperationalError(
                "database is locked"
            )
        return real(*arguments, **named)

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, real)


def told(wiring: Any, case: str) -> list[str]:
    try:
        run.run_wired(wiring, Config(), [], None, case=case)
    except BonafideError as error:
        return [error.code, error.message, type(error.__cause__).__name__]
    return []


def main() -> None:
    run.fingerprint = lambda *_: ""  # type: ignore[assignment]
    cases = ("inside", "ours", "full", "outside", "well", "damaged", "damaged for good")
    found = {case: told(side_by_side, case) for case in cases}
    store_full = sqlite3.OperationalError("database or disk is full")
    for case, error in (("store full", store_full), ("closed", PermissionError(13, "denied"))):
        shown = explain(error, Path("home/logs"))
        found[case] = [shown.code, shown.message, type(shown.__cause__).__name__]
    with failing(SqlZenStore, "create_run_step", "train_gru"):
        found["before"] = told(side_by_side, "well")
        found["before, one by one"] = told(one_by_one, "well")
    with failing(SqlZenStore, "create_run_step", "first"):
        found["before, awaited"] = told(side_by_side, "well")
    with failing(runner, "compile_dynamic_step_invocation", "train_gru"):
        found["prepared"] = told(side_by_side, "well")
    found["inside, one by one"] = told(one_by_one, "inside")
    with Client().zen_store.engine.connect() as connection:
        found["patience"] = [connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()]
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
