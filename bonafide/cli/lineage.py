"""`bonafide models lineage` and `bonafide models reproduce`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options

if TYPE_CHECKING:
    from bonafide.lineage.graph import Drawing
    from bonafide.lineage.tree import Node

ref = click.argument("ref", required=False, metavar="[REF]")


@click.command(
    epilog="The tree goes from the bundle, by default that in production, back to its run, corpus, "
    "configuration, code and packages, all of which stand in the bundle. REF may be the sha256 in "
    "an answer."
)
@ref
@click.option(
    "--recording",
    type=options.NamedPath(),
    metavar="PATH|SHA256",
    help="a recording, or the hash of its file or sound: show the bundles that heard it instead",
)
@click.option(
    "--corpus",
    type=options.NamedPath(),
    metavar="PATH|SHA256",
    help="a corpus, or the hash of its rows: show the bundles made from it instead",
)
@click.option(
    "--artifact",
    metavar="SHA256",
    help="hash of what a step made, of code or of a file: show the bundles it is in instead",
)
@click.option("--rows", is_flag=True, help="print every row of the corpus as CSV instead")
@click.option("--zenml", is_flag=True, help="add what ZenML's records say of the run")
@click.option("--html", type=options.OutputFile(), metavar="FILE", help="write a page with a graph")
@options.as_json
def lineage(
    ref: str | None,
    recording: str | None,
    corpus: str | None,
    artifact: str | None,
    rows: bool,
    zenml: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Show where a bundle came from, or what was made of a recording."""
    forward = {"recording": recording, "corpus": corpus, "artifact": artifact}
    chosen = {key: value for key, value in forward.items() if value is not None}
    if len(chosen) + (ref is not None or rows or zenml) > 1:
        raise click.UsageError("--recording, --corpus and --artifact stand alone, without REF")
    if rows:
        return _print_rows(ref, as_json)
    tree, drawing = _forward(**chosen) if chosen else _back(ref, zenml)
    if html:
        from bonafide.lineage.page import lineage_page

        html.write_text(lineage_page(tree, drawing), encoding="utf-8")
    from bonafide.cli.terminal import show_json, show_tree

    if as_json:
        return show_json(tree.to_json())
    show_tree(tree.to_json())
    if chosen and not any(each.name != "missing" for each in tree.children):
        click.echo("No bundle that is kept here, or ships, was made from it.", err=True)
    return None


def _back(ref: str | None, zenml: bool) -> "tuple[Node, Drawing]":
    from bonafide.home import home
    from bonafide.lineage.graph import graph_of
    from bonafide.lineage.tree import bundle_tree
    from bonafide.registry import registry_of

    bundle = registry_of(home()).read(ref)
    if not zenml:
        return bundle_tree(bundle), graph_of(bundle)
    from bonafide.cli.orchestrator import prepare_zenml

    prepare_zenml()
    from pipelines.lineage import zenml_records

    return bundle_tree(bundle, *zenml_records(bundle)), graph_of(bundle)


def _forward(
    recording: str | None = None, corpus: str | None = None, artifact: str | None = None
) -> "tuple[Node, Drawing]":
    from bonafide.home import home
    from bonafide.lineage.graph import tree_graph
    from bonafide.lineage.search import made_from_artifact, made_from_files, made_from_recording

    if recording is not None:
        tree = made_from_recording(home(), recording)
    elif corpus is not None and Path(corpus).exists():
        from bonafide.training.fingerprint import file_hashes

        tree = made_from_files(home(), corpus, list(file_hashes([corpus]).values()))
    else:
        tree = made_from_artifact(home(), artifact or str(corpus))
    return tree, tree_graph(tree)


def _print_rows(ref: str | None, as_json: bool) -> None:
    from bonafide.cli.terminal import show_json
    from bonafide.home import home
    from bonafide.lineage.rows import every_row
    from bonafide.registry import registry_of

    rows = every_row(registry_of(home()).read(ref))
    if as_json:
        return show_json(rows.to_pylist())
    from pyarrow.csv import WriteOptions, write_csv

    sys.stdout.flush()
    write_csv(rows, sys.stdout.buffer, WriteOptions(quoting_style="needed"))
    return None


@click.command(
    epilog="Every file of the corpus is checked, and the commit is checked out in a temporary "
    "worktree unless the code here is the same. It takes as long as the first run did. The exit "
    "code is 1 if what was made is not identical."
)
@ref
@click.option(
    "--corpus-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="where the corpus lies now; default: where it lay",
)
@click.option(
    "--repository",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="checkout that has the commit; default: the one that bonafide runs from",
)
@options.as_json
def reproduce(
    ref: str | None, corpus_root: Path | None, repository: Path | None, as_json: bool
) -> int:
    """Make a bundle again from its lineage, and compare."""
    from bonafide.cli.extras import require

    require("pyarrow", "onnx", "sklearn")
    from bonafide.home import home
    from bonafide.lineage.code import TOP
    from bonafide.registry import registry_of
    from bonafide.training.reproduce import reproduce

    made = reproduce(
        registry_of(home()).read(ref),
        corpus_root=corpus_root,
        repository=repository or TOP,
        say=lambda text: click.echo(text, err=True),
    )
    if as_json:
        from bonafide.cli.terminal import show_json

        show_json({"identical": made.is_identical, **made.to_json()})
    elif made.is_identical:
        click.echo(f"Identical: {made.made}")
    else:
        click.echo(f"Not identical: {made.made}, not {made.expected}")
        click.echo("\n".join(f"  differs: {each}" for each in made.differing))
    if not as_json and made.notes:
        click.echo("\n".join(f"  note: {each}" for each in made.notes))
    return 0 if made.is_identical else options.SOME_FAILED
