"""`bonafide corpus`."""

from pathlib import Path

import click

from bonafide.cli import options


@click.group()
def corpus() -> None:
    """Inspect and simulate corpora."""


@corpus.command()
@click.argument("path", metavar="PATH", type=options.PATH)
@options.corpus_format
@options.as_json
def inspect(path: Path, corpus_format: str | None, as_json: bool) -> None:
    """Show what a corpus holds, without decoding it.

    PATH is a manifest or a folder.
    """
    from bonafide.cli.terminal import show_json, show_table
    from bonafide.corpora import read_corpus
    from bonafide.corpora.schema import describe

    facts = describe(read_corpus(path, corpus_format))
    if as_json:
        show_json(facts)
    else:
        show_table(("what", "count"), [(name, str(value)) for name, value in facts.items()])


@corpus.command()
@click.argument("folder", metavar="DIR", type=options.PATH)
@click.option("--clips", type=int, default=240, metavar="N", help="clips: 8 a speaker or more")
@click.option(
    "--speakers", type=int, default=12, metavar="N", help="speakers, shared by both labels"
)
@click.option("--seed", type=int, default=0, metavar="N", help="same seed, same bytes")
@options.quiet
def simulate(folder: Path, clips: int, speakers: int, seed: int, quiet: bool) -> None:
    """Make the simulated corpus in the folder DIR.

    It proves that the machinery runs, never that a detector detects.
    """
    from bonafide.display import Display, reporter
    from bonafide.simulation.corpus import simulate as write

    with Display(quiet=quiet):
        manifest = write(
            folder, clips=clips, speakers=speakers, seed=seed, progress=reporter("simulate")
        )
    click.echo(f"{manifest}\nSimulated: proves that the machinery runs, never that it detects.")
