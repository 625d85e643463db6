"""The steps from a candidate to the verdict on it."""

from typing import Annotated

from zenml import get_step_context, log_metadata, step

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.bundle import Bundle
from bonafide.display import reporter
from bonafide.home import home
from bonafide.process.lock import locked
from bonafide.registry import Version, registry_of
from bonafide.training.audit import Audit, audit_shortcuts
from bonafide.training.config import Config
from bonafide.training.fitting import FittedBase
from bonafide.training.folds import Folds
from bonafide.training.gate import Decision
from bonafide.training.judgement import Judgement, evaluate_candidate
from bonafide.training.promotion import keep_and_promote
from bonafide.training.recordings import Quarantine, Recordings
from bonafide.training.rules import Rules
from bonafide.training.stacking import Stage
from bonafide.training.step_config import AuditConfig
from steps.mirror import mirror
from steps.policy import cached_step, tried
from steps.record import recorded_steps


@cached_step
def audit(config: AuditConfig, recordings: Recordings, folds: Folds) -> Annotated[Audit, "audit"]:
    """Measure how well trivial measures alone do."""
    return audit_shortcuts(recordings, folds, resamples=config.resamples, seed=config.seed)


@cached_step
def evaluate(
    config: Config,
    candidate: Bundle,
    parity: dict[str, float],
    recordings: Recordings,
    folds: Folds,
    fitted: list[FittedBase],
    stages: list[Stage],
    rules: Rules,
    audit: Audit,
) -> Annotated[Judgement, "judgement"]:
    """Judge the exported candidate on held-out rows, as served, and every system out of fold."""
    return evaluate_candidate(
        candidate,
        recordings,
        folds,
        fitted=fitted,
        stages=stages,
        rules=rules,
        audit=audit,
        parity=parity,
        config=config,
        progress=reporter("judge"),
    )


@step(enable_cache=False)
@tried
def promote(
    config: Config,
    candidate: Bundle,
    judgement: Judgement,
    recordings: Recordings,
    quarantine: Quarantine,
) -> tuple[Annotated[Bundle, "bundle"], Annotated[Decision, "decision"]]:
    """Keep the candidate with metrics and card; put it into production if the gate lets it."""
    context = get_step_context()
    run = context.pipeline_run
    bundle, decision = keep_and_promote(
        home(),
        candidate,
        judgement,
        recordings,
        quarantine,
        config,
        run={"run_id": str(run.id), "run": run.name},
        steps=recorded_steps(run),
    )
    with locked(home() / "mirror.lock"):  # two runs that end together mirror the same versions
        mirror(registry_of(home()))
    log_metadata(
        metadata={"run": run.name, "gate": decision.facts()},
        model_name=bundle.identity["name"],
        model_version=str(Version.of(bundle)),
    )
    return bundle, decision
