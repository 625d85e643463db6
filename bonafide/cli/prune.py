"""`bonafide prune`."""

import click

from bonafide.cli import options

KEEP = 10
MB = 1e6


@click.command()
@click.option(
    "--keep", type=click.IntRange(1), default=KEEP, metavar="N", help="runs of each pipeline"
)
@click.option("--dry-run", is_flag=True, help="say what would go, and free nothing")
@options.as_json
def prune(keep: int, dry_run: bool, as_json: bool) -> None:
    """Free what older training runs left behind.

    Their records, artifacts, features and logs go. Bundles, reports, golden sets and the journal
    stay, and so does the lineage in the bundles.
    """
    from bonafide.cli.orchestrator import prepare_zenml
    from bonafide.cli.terminal import show_json
    from bonafide.home import home

    prepare_zenml()
    from pipelines.prune import prune as prune_home

    found = prune_home(home(), keep, dry_run=dry_run)
    if as_json:
        show_json(found.to_json())
        return
    parts = [
        f"runs: {len(found.runs)}",
        f"artifacts: {found.artifacts}",
        f"folders of features: {len(found.features)}",
        f"logs: {len(found.logs)}",
    ]
    said = "would go" if dry_run else f"gone, and {found.freed_bytes / MB:.1f} MB are free"
    click.echo(f"{said}: {', '.join(parts)}")
