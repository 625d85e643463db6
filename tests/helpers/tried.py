"""Steps that fail again and again: `python -m tests.helpers.tried` says what ZenML made of them."""

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from zenml import pipeline, step
from zenml.client import Client

from bonafide.errors import BonafideError, CorpusError
from bonafide.training.config import Config
from pipelines import run
from steps import policy
from steps.policy import RETRY, tried

FAILURES = {
    "passes": TimeoutError("the store did not answer"),
    "ours": CorpusError("own_code", "own words"),
    "full": OSError(errno.ENOSPC, "No space left on device", "features/lfcc.npy"),
    "mistake": KeyError("lost"),
}
calls: list[str] = []
told: list[str] = []


def tell(error: BaseException) -> None:
    told.append(type(error).__name__)


@step(enable_cache=False, retry=RETRY, on_failure=tell)
@tried
def work(case: str) -> int:
    calls.append(case)
    if case == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if case in FAILURES and (case != "passes" or len(calls) < 3):
        raise FAILURES[case]
    return 1


@pipeline(dynamic=True, enable_cache=False)
def dynamic(
    config: Config, corpora: list[str], corpus_format: str | None, fingerprint: str, case: str
) -> None:
    work(case)


@pipeline(enable_cache=False)
def static(
    config: Config, corpora: list[str], corpus_format: str | None, fingerprint: str, case: str
) -> None:
    work(case)


def outcome(wiring: Any, case: str) -> dict[str, Any]:
    calls.clear()
    told.clear()
    code = "done"
    try:
        run.run_wired(wiring, Config(), [], None, case=case)
    except BonafideError as error:
        code = error.code
    except KeyboardInterrupt:
        code = "interrupted"
    (newest,) = Client().list_pipeline_runs(size=1, sort_by="desc:created").items
    steps = Client().list_run_steps(pipeline_run_id=newest.id, exclude_retried=False, size=50)
    return {
        "code": code,
        "calls": len(calls),
        "told": list(told),
        "run": str(newest.status.value),
        "steps": sorted(str(each.status.value) for each in steps.items),
    }


def main() -> None:
    run.fingerprint = lambda *_: ""  # type: ignore[assignment]
    policy.PAUSE_S = 0.1
    found = {
        f"{wiring.name} {case}": outcome(wiring, case)
        for wiring in (dynamic, static)
        for case in (*FAILURES, "interrupt")
    }
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
