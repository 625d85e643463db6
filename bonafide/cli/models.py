"""`bonafide models`."""

import click

from bonafide.cli import options
from bonafide.cli.orchestrator import prepare_zenml

model = click.argument("model", required=False, metavar="[NAME[:VERSION]]")


@click.group()
def models() -> None:
    """List bundles, and show where they came from."""


@models.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List the bundles that training made."""
    prepare_zenml()
    from bonafide.cli.terminal import show_records
    from pipelines.lineage import list_models

    show_records(list_models(), ("name", "version", "stage", "created", "sha256"), as_json)


@models.command("show")
@model
@options.as_json
def show(model: str | None, as_json: bool) -> None:
    """Show one bundle, the newest by default."""
    prepare_zenml()
    from bonafide.cli.terminal import show_json, show_values
    from pipelines.lineage import show_model

    manifest = show_model(model)
    if as_json:
        show_json(manifest)
    else:
        show_values(f"bundle {manifest['name']}:{manifest['version']}", manifest)


@models.command("lineage")
@model
@click.option(
    "--corpus",
    type=click.Path(),
    metavar="PATH|HASH",
    help="a corpus, or the hash of its rows: show the bundles made from it instead",
)
@options.as_json
def lineage(model: str | None, corpus: str | None, as_json: bool) -> None:
    """Show where a bundle came from.

    The tree goes from the bundle, the newest by default, back to its run, corpus and code.
    """
    prepare_zenml()
    from bonafide.cli.terminal import show_json, show_tree
    from pipelines.lineage import corpus_lineage, model_lineage

    tree = corpus_lineage(corpus) if corpus else model_lineage(model)
    if as_json:
        show_json(tree)
    else:
        show_tree(tree)
