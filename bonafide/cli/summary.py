"""The summary of a finished training run: how good the detector is, and what became of it."""

from typing import TYPE_CHECKING, Any

import click

from bonafide.cli.terminal import show_table

if TYPE_CHECKING:
    from bonafide.evaluation.evaluate import Evaluation
    from pipelines.run import Trained


def show_evaluation(evaluation: "Evaluation") -> None:
    """Print EER, Cllr and AUC of each system; the report has the rest."""
    from bonafide.evaluation.report import HEADINGS, system_rows, title_line

    columns = [HEADINGS.index(heading) for heading in ("system", "EER", "Cllr", "AUC")]
    click.echo(title_line(evaluation))
    show_table(
        ("system", "EER", "Cllr, bits", "AUC"),
        [[row[column] for column in columns] for row in system_rows(evaluation)],
    )


def show_summary(trained: "Trained") -> None:
    """Print the evaluations, what was set aside, where the bundle is, and whether it is served."""
    from bonafide.evaluation.evaluate import percent
    from bonafide.training.judgement import plain_verdict

    outcome = trained.judgement.outcome
    for evaluation in outcome.evaluations:
        show_evaluation(evaluation)
        click.echo()
    click.echo(
        f"Shortcut audit: trivial measures alone have an EER of {percent(outcome.audit.eer)}"
    )
    rejected = trained.quarantine.rejected
    click.echo(f"Set aside: {len(rejected)} of {trained.quarantine.n_rows} rows")
    for item in rejected:
        click.echo(f"  row {item.row + 2}: {item.message}")
    click.echo(f"Steps run: {len(trained.ran)}; taken from the cache: {len(trained.cached)}")
    click.echo(f"\n{plain_verdict(outcome)}\n")
    _show_outcome(trained)


def result_of(trained: "Trained") -> dict[str, Any]:
    """Return what came of a run, for programs: status, version, sha256, eer and reasons."""
    decision, manifest = trained.decision, trained.bundle.manifest
    passed = "waits" if decision.waits else "ok"
    return {
        "status": "refused" if decision.reasons else passed,
        "version": "{name}:{version}".format(**manifest),
        "sha256": manifest["sha256"],
        "eer": manifest["metrics"].get("eer"),
        "reasons": decision.reasons,
    }


def _show_outcome(trained: "Trained") -> None:
    from bonafide.home import home
    from bonafide.registry import registry_of

    name, version = (str(trained.bundle.manifest[key]) for key in ("name", "version"))
    folder = f"{registry_of(home()).url}/bundles/{name}/{version}"
    click.echo(f"Bundle: {folder} ({name} version {version})")
    click.echo(f"Report: {home() / 'reports' / f'{name}-{version}.html'}")
    decision = trained.decision
    if not any(decision.compared in reason for reason in decision.reasons):
        click.echo(decision.compared)
    if decision.reasons:
        click.echo("Not promoted:")
        for reason in decision.reasons:
            click.echo(f"  {reason}")
    elif decision.waits:
        click.echo(f"Passed, and waits for you: bonafide models promote {name}:{version}")
    else:
        click.echo("In production now.\nNext: bonafide score FILE")
