"""Promotion: keep a candidate as a bundle, and put it into production if the gate lets it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bonafide.bundle import Bundle
from bonafide.errors import BonafideError
from bonafide.evaluation.evaluate import DECISION
from bonafide.evaluation.report import render
from bonafide.lineage.record import Step
from bonafide.process.lock import locked
from bonafide.registry import keep, promote
from bonafide.training.card import model_card
from bonafide.training.config import Config
from bonafide.training.gate import Decision, decide, rows_to_freeze
from bonafide.training.golden import freeze_held_out
from bonafide.training.judgement import GATE, Judgement
from bonafide.training.record import lineage_of, used_rows, with_lineage
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
    golden = outcome.golden
    rows = used_rows(recordings, quarantine, ~judgement.trained, golden)
    held = golden.sha256 if golden else ""
    lineage = lineage_of(
        "trained", recordings, rows, run=run, steps=steps, config=config, golden=held
    )
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
        decision = decide(root, bundle, judgement, recordings, quarantine, config)
        _write_report(root, bundle, judgement, decision)
        if not decision.reasons:
            _freeze(root, bundle, judgement, recordings, config)
        if decision.promotes:
            decision = _promote(root, bundle, decision)
    return bundle, decision


def _promote(root: Path, bundle: Bundle, decision: Decision) -> Decision:
    """Promote a bundle that the gate lets pass; say why if the registry does not take it now."""
    try:
        promote(root, bundle, why=decision.compared)
    except BonafideError as error:
        if error.code not in ("held", "overtaken", "unsigned"):
            raise
        return replace(decision, reasons=[error.message])
    return decision


def _freeze(
    root: Path, bundle: Bundle, judgement: Judgement, recordings: Recordings, config: Config
) -> None:
    """Keep what the first bundle that passed never heard, to judge those after it on."""
    gate, rows = config.gate, rows_to_freeze(judgement, recordings, config.gate)
    if rows is not None:
        origin = "held out from {name}:{version}".format(**bundle.manifest)
        freeze_held_out(root, recordings, rows, origin, most=gate.golden_rows, seed=config.seed)


def decision_section(decision: Decision) -> str:
    """Return the report's section on what the gate says, as HTML."""
    verdict = "It was promoted."
    if decision.reasons:
        verdict = "It was not promoted: a rule refuses it."
    elif decision.waits:
        verdict = "It passed, and waits for a person to promote it."
    marks = {True: "passed", False: "refused", None: "not measured"}
    rows = [[each.rule, marks[each.passed], each.words] for each in decision.rulings]
    return render("gate.html.j2", verdict=verdict, rows=rows or [["-", "-", decision.compared]])


def _write_report(root: Path, bundle: Bundle, judgement: Judgement, decision: Decision) -> None:
    (root / "reports").mkdir(parents=True, exist_ok=True)
    report = root / "reports" / f"{bundle.manifest['name']}-{bundle.manifest['version']}.html"
    page = judgement.page.replace(GATE, decision_section(decision))
    report.write_text(page, encoding="utf-8")
    report.with_suffix(".gate.json").write_text(json.dumps(decision.to_json(), indent=1) + "\n")
