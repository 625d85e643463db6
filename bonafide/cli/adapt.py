"""`bonafide adapt`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.errors import printable

if TYPE_CHECKING:
    from bonafide.training.adaptation import Adapted


@click.command(
    epilog="The exit code is 1 if clips were set aside; each is reported. Needs the extra train."
)
@click.option(
    "--corpus",
    required=True,
    type=options.PATH,
    metavar="PATH",
    help="manifest or folder of 50 to 500 labelled clips",
)
@options.corpus_format
@options.bundle
@click.option("--name", help="of the new bundle; default: its parent's and -adapted")
@options.as_json
@options.quiet
def adapt(
    corpus: Path,
    corpus_format: str | None,
    bundle: str | None,
    name: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Adapt a bundle to clips of your own, if it gains."""
    from bonafide.cli.extras import require
    from bonafide.corpora import read_corpus
    from bonafide.display import Display
    from bonafide.process.interrupt import interruptible

    require("onnx", "scipy", "sklearn", "skl2onnx", "xgboost")
    rows = read_corpus(corpus, corpus_format)
    from bonafide.training.adaptation import adapt

    with Display(quiet=quiet), interruptible():
        adapted = adapt(rows, bundle, name=name)
    (_show_json if as_json else _show)(adapted)
    for each in adapted.quarantine.rejected:
        click.echo(printable(f"set aside: row {each.row + 2}: {each.message}"), err=True)
    return options.SOME_FAILED if adapted.quarantine.rejected else 0


def _show_json(adapted: "Adapted") -> None:
    from bonafide.cli.terminal import show_json

    bundle = adapted.bundle
    show_json(
        {
            "bundle": bundle.identity,
            "parent": bundle.manifest["parent"],
            "adaptation": bundle.manifest["adaptation"],
            "set_aside": [
                {key: getattr(each, key) for key in ("row", "path", "code", "message")}
                for each in adapted.quarantine.rejected
            ],
            "notes": adapted.notes,
        }
    )


def _show(adapted: "Adapted") -> None:
    from bonafide.cli.terminal import show_table
    from bonafide.training.adaptation import GAIN_HEADINGS, gain_rows

    manifest = adapted.bundle.manifest
    clips, parent = manifest["adaptation"]["clips"], manifest["parent"]
    click.echo(
        f"Your clips ({clips['bonafide']} bona fide, {clips['spoof']} spoof), cross-validated, "
        f"each {manifest['adaptation']['clusters']} whole"
    )
    show_table(GAIN_HEADINGS, gain_rows(adapted.gain))
    for note in adapted.notes:
        click.echo(note)
    ref = "{name}:{version}".format(**adapted.bundle.identity)
    click.echo(f"Bundle: {ref}, made from {parent['name']}:{parent['version']}")
    click.echo(f"Next: bonafide score FILE --bundle {ref}")
    click.echo(
        f"It was judged on your clips alone, so no gate passes it: bonafide models promote {ref} "
        "--override REASON"
    )
