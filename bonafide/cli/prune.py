"""`bonafide prune`."""

from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.errors import printable

if TYPE_CHECKING:
    from pipelines.prune import Pruned

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
    else:
        click.echo(_in_words(found, dry_run))


def prune_older(keep: int) -> None:
    """Prune after a run and say what went, or why it did not: the run has ended well."""
    from bonafide.home import home
    from pipelines.prune import prune as prune_home

    try:
        said = _in_words(prune_home(home(), keep), dry_run=False)
    except Exception as error:  # whatever it is, what was trained and promoted stays so
        said = f"Not pruned: {printable(str(error) or repr(error))}; bonafide prune tries again"
    click.echo(said)


def _in_words(found: "Pruned", dry_run: bool) -> str:
    parts = [
        f"runs: {len(found.runs)}",
        f"artifacts: {found.artifacts}",
        f"folders of features: {len(found.features)}",
        f"shards: {found.shards}",
        f"logs: {len(found.logs)}",
    ]
    done = "Would go" if dry_run else f"Pruned, which freed {found.freed_bytes / MB:.1f} MB"
    lines = [f"{done}: {', '.join(parts)}"]
    if found.needed:
        lines.append(
            f"Older runs that stay, since kept runs took steps of them: {len(found.needed)}"
        )
    lines += [f"Not removed: {printable(each)}" for each in found.left]
    return "\n".join(lines)
