"""Promotion: keep a candidate as a bundle, and put it into production if the gate lets it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bonafide.bundle import Bundle
from bonafide.evaluation.evaluate import DECISION
from bonafide.home import keep, promote
from bonafide.lineage.record import Step
from bonafide.process.lock import locked
from bonafide.training.card import model_card
from bonafide.training.config import Config
from bonafide.training.gate import Decision, decide
from bonafide.training.judgement import Judgement
from bonafide.training.record import held_out_rows, lineage_of, used_rows, with_lineage
from bonafide.training.recordings import Quarantine, Recordings


def keep_and_promote(
    root: Path,
    candidate: Bundle,
    judgement: Judgement,
    recordings: Recordings,
    quarantine: Quarantine,
    config: Config,
    run: dict[str, str],
    steps: Sequence[Step] = (),
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
    steps : sequence of Step
        What the run made, for the lineage.

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
    rows = used_rows(recordings, quarantine, held_out_rows(config, recordings))
    lineage = lineage_of("trained", recordings, rows, run=run, steps=steps, config=config)
    entries = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "zenml": run,
        "code": lineage.code,
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
    with with_lineage(root, candidate, lineage, rows) as recorded:
        bundle = keep(root, recorded, entries, card)
    with locked(root / "gate.lock"):  # or two could pass against what the first of them replaced
        decision = decide(root, bundle, judgement, recordings, config)
        _write_report(root, bundle, judgement, decision)
        if not decision.reasons:
            promote(root, bundle)
    return bundle, decision


def _write_report(root: Path, bundle: Bundle, judgement: Judgement, decision: Decision) -> None:
    (root / "reports").mkdir(parents=True, exist_ok=True)
    report = root / "reports" / f"{bundle.manifest['name']}-{bundle.manifest['version']}.html"
    report.write_text(judgement.page, encoding="utf-8")
    report.with_suffix(".gate.json").write_text(json.dumps(decision.to_json(), indent=1) + "\n")
