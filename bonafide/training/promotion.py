"""Promotion: keep a candidate as a bundle, and put it into production if the gate lets it."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bonafide
from bonafide.bundle import Bundle
from bonafide.errors import RegistryError
from bonafide.evaluation.evaluate import DECISION
from bonafide.process.lock import locked
from bonafide.registry import keep, promote
from bonafide.training.card import model_card
from bonafide.training.config import Config
from bonafide.training.gate import Decision, decide
from bonafide.training.judgement import Judgement
from bonafide.training.recordings import Quarantine, Recordings


def code_version() -> dict[str, str]:
    """Return which code ran: package version, hash of its files, and the commit in a checkout."""
    package = Path(bonafide.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".j2", ".css"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    version = {"version": bonafide.__version__, "sha256": digest}
    if (package.parent / ".git").exists() and shutil.which("git"):
        command = ["git", "-C", str(package.parent)]
        commit = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run(
            [*command, "status", "--porcelain"], capture_output=True, text=True
        )
        if commit.returncode == 0:
            version["commit"] = commit.stdout.strip() + ("+changes" if changed.stdout else "")
    return version


def keep_and_promote(
    root: Path,
    candidate: Bundle,
    judgement: Judgement,
    recordings: Recordings,
    quarantine: Quarantine,
    config: Config,
    run: dict[str, str],
) -> tuple[Bundle, Decision]:
    """Keep a candidate under the next version, and promote it if the gate lets it.

    Parameters
    ----------
    root : Path
        The home folder.
    candidate : Bundle
        Without metrics and card.
    judgement : Judgement
        Its outcome decides; its page is kept as the report.
    recordings : Recordings
        What it was trained on.
    quarantine : Quarantine
        What was set aside.
    config : Config
        Holds the gate.
    run : dict of str to str
        The orchestrator's own names of the run; empty without one.

    Returns
    -------
    Bundle
        As kept, with metrics and card.
    Decision
        Whether it was promoted, and why not; kept beside the report too, as ``.gate.json``.
    """
    outcome = judgement.outcome
    metrics: dict[str, Any] = {
        name: interval.to_json() for name, interval in outcome.judged.systems[DECISION].items()
    }
    entries = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "zenml": run,
        "code": code_version(),
        "metrics": {
            "rows": outcome.judged.title,
            "on": outcome.unheard,
            "clusters": outcome.judged.clusters,
            **metrics,
        },
        "audit": outcome.audit.to_json(),
        "parity": outcome.parity,
    }
    card = model_card(candidate, outcome, recordings, quarantine)
    bundle = keep(root, candidate, entries, card)
    with locked(root / "gate.lock"):  # or two could pass against what the first of them replaced
        decision = decide(root, bundle, judgement, recordings, config)
        _write_report(root, bundle, judgement, decision)
        if not decision.reasons:
            decision = _promote(root, bundle, decision)
    return bundle, decision


def _promote(root: Path, bundle: Bundle, decision: Decision) -> Decision:
    """Promote a bundle that the gate lets pass; say why if the registry does not take it now."""
    try:
        promote(root, bundle, why=decision.compared)
    except RegistryError as error:
        if error.code not in ("held", "overtaken"):
            raise
        return replace(decision, reasons=[error.message])
    return decision


def _write_report(root: Path, bundle: Bundle, judgement: Judgement, decision: Decision) -> None:
    (root / "reports").mkdir(parents=True, exist_ok=True)
    report = root / "reports" / f"{bundle.manifest['name']}-{bundle.manifest['version']}.html"
    report.write_text(judgement.page, encoding="utf-8")
    report.with_suffix(".gate.json").write_text(json.dumps(decision.to_json(), indent=1) + "\n")
