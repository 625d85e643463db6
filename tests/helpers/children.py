"""What tests run in processes of their own; imported there by name."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bonafide.errors import ConfigError
from bonafide.process.isolate import IsolatedError, run_isolated, stop_all
from bonafide.process.pool import Progress

Job = tuple[str, Any]


def work(job: Job) -> Any:
    """Do what a job says, in a worker of `map_parallel`."""
    what, value = job
    if what == "square":
        return value * value
    if what == "exit":
        os._exit(value)
    if what == "kill":
        time.sleep(value)
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "tell":
        draft = Path(f"{value}.draft")
        draft.write_text(str(os.getpid()))
        draft.rename(value)
    if what == "sleep":
        time.sleep(value)
    if what == "raise":
        raise ValueError(value)
    if what == "sleep":
        time.sleep(value)
    return os.getpid()


def crashed(job: Job) -> str:
    return f"crashed on {job[0]}"


def echo(*, progress: Progress, **arguments: Any) -> dict[str, Any]:
    for done in range(3):
        progress(done + 1, 3)
    return {"seen": arguments}


def environment(*, progress: Progress, names: list[str]) -> dict[str, Any]:
    return {"pid": os.getpid(), **{name: os.environ.get(name) for name in names}}


def noisy(*, progress: Progress, lines: int) -> dict[str, Any]:
    """Write to every kind of stdout and stderr, more than a pipe holds."""
    sys.stdout.write('{"result": {"forged": true}}\n')
    for number in range(lines):
        sys.stdout.write(f"noise without meaning {number}\n")
        sys.stdout.flush()
        os.write(1, b"more noise\n")
        os.write(2, b"complaints\n")
    subprocess.run(["echo", "from a grandchild"], check=True)
    progress(1, 1)
    return {"lines": lines}


def not_utf8(*, progress: Progress, status: int) -> dict[str, Any]:
    """Write what no text is, as a library in C may, and leave."""
    os.write(2, b"before \xff\xfe after\n")
    if status:
        os._exit(status)
    return {"status": status}


def fail(*, progress: Progress, message: str) -> dict[str, Any]:
    raise RuntimeError(message)


def refuse(*, progress: Progress) -> dict[str, Any]:
    raise ConfigError("bad_sky", "sky=low: must be high")


def leave(*, progress: Progress, status: int) -> dict[str, Any]:
    os._exit(status)


def unserialisable(*, progress: Progress) -> dict[str, Any]:
    return {"value": object()}


def wait_long(*, progress: Progress, pid_file: str) -> dict[str, Any]:
    """Write the own process id, then wait to be killed."""
    part = Path(pid_file + ".part")
    part.write_text(str(os.getpid()))
    part.rename(pid_file)
    time.sleep(60)
    return {}


def stop_a_run(pid_file: str) -> None:
    """Stop everything while one run goes on; print what it and a later one raised."""
    raised: list[tuple[str, str]] = []

    def run(target: str, arguments: dict[str, Any]) -> None:
        try:
            run_isolated(target, arguments)
        except IsolatedError as error:
            raised.append((error.code, error.message))

    thread = threading.Thread(
        target=run, args=("children:wait_long", {"pid_file": pid_file}), daemon=True
    )
    thread.start()
    while thread.is_alive() and not Path(pid_file).exists():
        time.sleep(0.02)
    stop_all()
    thread.join(timeout=20)
    run("children:echo", {})
    sys.stdout.write(json.dumps(raised))


def refit_networks(
    *,
    progress: Progress,
    models: dict[str, Any],
    common: dict[str, Any],
    folder: str,
    samples: str,
) -> dict[str, Any]:
    """Fit every network again, export it, and score the saved one in a batch and row by row.

    One process for all of them, because starting tensorflow costs more than the work. ``folder``
    holds ``<name>/table.npz`` for each, and ``samples`` its inputs as ``<name>.npz``. Each saved
    one also scores the rows with one of its inputs turned round. The RNN's final fit is made twice
    more, with another seed and with its own.
    """
    from dataclasses import replace

    import numpy as np

    from bonafide.export.models import convert_models
    from bonafide.models import family_of
    from bonafide.models.config import FitConfig, heard_by, view_of
    from bonafide.models.examples import Examples, Part
    from bonafide.training.fitting import copy_weights, fit_base, fit_one, model_seed
    from bonafide.training.folds import TEST
    from bonafide.training.scaling import fit_standard
    from bonafide.training.store import FeatureStore

    store = FeatureStore(Path(common["store"]))
    stretches = store.augmentation.stretches

    def fit_of(name: str) -> FitConfig:
        return FitConfig.model_validate(common["fit"]).of(models[name])

    def examples_of(name: str, side: Any, columns: Any) -> Examples:
        view, vectors = view_of(models[name]), store.vectors(heard_by(models[name]))
        frames = Part(store.view(view), fit_standard(store.view(view), side)) if view else None
        weights = copy_weights(stretches, fit_of(name))
        known = Part(vectors, fit_standard(vectors, side))
        return Examples(known, columns["is_spoof"], columns["source"], frames, weights)

    def turned(part: Part | None, n_rows: int) -> Part | None:
        return part and replace(part, features=part.features[:n_rows][::-1])

    for name, model in models.items():
        own = Path(folder) / name
        fit = fit_of(name).model_dump(mode="json")
        fit_base(
            progress=progress, name=name, model=model, folder=str(own), **common | {"fit": fit}
        )
        columns = np.load(own / "table.npz")
        examples = examples_of(name, np.flatnonzero(columns["fold"] != TEST), columns)
        chosen = family_of(name, model)
        saved: Any = chosen(chosen.Config.model_validate(model), fit_of(name), 0)
        saved.load(own / "model.keras")
        rows = np.arange(len(columns["fold"]))
        singles = [saved.predict(examples, rows[i : i + 1]) for i in rows[:4]]
        turned_round = {
            f"other_{part}": replace(examples, **{part: turned(getattr(examples, part), len(rows))})
            for part in ("statistics", "frames")
        }
        with np.load(own / "scores.npz") as fitted:
            oof = fitted["oof"]
        np.savez(
            own / "seen.npz",
            oof=oof,
            batch=saved.predict(examples, rows),
            single=np.concatenate(singles),
            empty=saved.predict(examples, rows[:0]),
            **{part: saved.predict(other, rows) for part, other in turned_round.items()},
        )
        shutil.copy(Path(samples) / f"{name}.npz", own / f"{name}_samples.npz")
        job = {"name": name, "model": model, "path": str(own / "model.keras")}
        convert_models(progress=progress, jobs=[job], folder=str(own))
    columns = np.load(Path(folder) / "rnn" / "table.npz")
    side = np.flatnonzero(columns["fold"] != TEST)
    examples = examples_of("rnn", side, columns)
    test = np.flatnonzero(columns["fold"] == TEST)
    own_seed = model_seed(common["seed"], "rnn", TEST)
    other, own = (
        fit_one("rnn", models["rnn"], fit_of("rnn"), examples, side, seed)
        for seed in (own_seed + 1, own_seed)
    )
    chosen = family_of("rnn", models["rnn"])
    before: Any = chosen(chosen.Config.model_validate(models["rnn"]), fit_of("rnn"), 0)
    before.load(Path(folder) / "rnn" / "model.keras")
    for fitted, title in ((other, "other_seed"), (own, "own_seed"), (before, "before")):
        np.save(Path(folder) / f"{title}.npy", fitted.predict(examples, test))
    return {}
