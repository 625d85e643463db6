"""`bonafide score` and `bonafide evaluate`."""

import json
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.cli.files import FilesFirst, no_recordings, paths_argument, recordings
from bonafide.errors import printable

if TYPE_CHECKING:
    from bonafide.detector import Detector
    from bonafide.scoring import JudgedCorpus, Result, Score


@click.command(
    cls=FilesFirst,
    epilog="The exit code is 1 if some of the files could not be scored; each is reported.",
)
@paths_argument
@options.bundle
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "jsonl", "json", "csv"]),
    default="table",
    help="print each result as a line, a JSON object or a row; json: one array",
)
@click.option(
    "--output",
    type=options.OutputFile(),
    metavar="FILE",
    help="default: standard output; a run in csv or jsonl that was stopped goes on",
)
@click.option(
    "--explain", is_flag=True, help="tell which seconds, bands and models it rests on, too"
)
@click.option("--overwrite", is_flag=True, help="write --output anew, whatever is there")
def score(
    paths: tuple[str, ...],
    bundle: str | None,
    style: str,
    output: Path | None,
    explain: bool,
    overwrite: bool,
) -> int:
    """Score files and folders; - is standard input."""
    from bonafide.cli.output import Output, opened_output
    from bonafide.detector import Detector
    from bonafide.explanation import Explainer
    from bonafide.home import home
    from bonafide.process.interrupt import interruptible
    from bonafide.registry import find_bundle
    from bonafide.scoring import FOOTERS, WRITERS, unusable

    if explain and style == "csv":
        raise click.UsageError("--explain: a row of csv has no room for it; must be another format")
    detector = Detector(find_bundle(home(), bundle))
    judge = Explainer(detector).explain if explain else detector.score
    sha256 = detector.bundle.identity["sha256"]
    standard = nullcontext(Output(sys.stdout, []))
    with opened_output(output, style, sha256, overwrite=overwrite) if output else standard as to:
        if to.kept:
            click.echo(f"{output}: {len(to.kept)} results are there and are kept", err=True)
        failed = sum(map(unusable, to.kept))
        write = WRITERS[style](to.file, fresh=to.fresh)
        try:
            with interruptible():
                for result in _results(judge, paths, {kept["path"] for kept in to.kept}):
                    write(result)
                    failed += unusable(result)
        finally:
            to.file.write(FOOTERS.get(style, ""))
    return options.SOME_FAILED if failed else 0


def _results(score: "Score", names: Sequence[str], done: Collection[str]) -> Iterator["Result"]:
    """Score what is named, and in place of each folder its recordings, but for what is done."""
    from bonafide.piped import is_piped
    from bonafide.scoring import score_files

    for name in names:
        if os.path.isdir(name):  # noqa: PTH112  # Path.is_dir raises where it may not look
            found = recordings(name)
            if not found:
                yield no_recordings(name)
            yield from score_files(score, [path for path in found if path not in done])
        elif name not in done or is_piped(name):
            yield from score_files(score, [name])


@click.command()
@click.option(
    "--corpus", required=True, type=options.PATH, metavar="PATH", help="manifest or folder"
)
@options.corpus_format
@options.bundle
@click.option(
    "--json", "figures", type=options.OutputFile(), metavar="FILE", help="write the metrics as JSON"
)
@click.option(
    "--report", type=options.OutputFile(), metavar="FILE.html", help="write an HTML report"
)
@options.quiet
def evaluate(
    corpus: Path,
    corpus_format: str | None,
    bundle: str | None,
    figures: Path | None,
    report: Path | None,
    quiet: bool,
) -> int:
    """Evaluate a bundle on a labelled corpus."""
    from bonafide.cli.extras import require
    from bonafide.cli.summary import show_evaluation
    from bonafide.corpora import read_corpus
    from bonafide.detector import Detector
    from bonafide.display import Display, reporter
    from bonafide.home import home
    from bonafide.process.interrupt import interruptible
    from bonafide.registry import find_bundle
    from bonafide.scoring import evaluate_corpus

    if report:
        require("matplotlib", "scipy")
    rows = read_corpus(corpus, corpus_format)
    detector = Detector(find_bundle(home(), bundle))
    with Display(quiet=quiet), interruptible():
        judged = evaluate_corpus(detector, rows, progress=reporter("score"))
    show_evaluation(judged.evaluation)
    for note in judged.evaluation.notes:
        click.echo(note)
    for failure in judged.failed:
        click.echo(printable(failure["error"]["message"]), err=True)
    if figures:
        figures.write_text(_metrics(judged, detector), encoding="utf-8")
    if report:
        from bonafide.evaluation.report import evaluation_page

        page = evaluation_page(judged.evaluation, judged.scores, judged.is_spoof)
        report.write_text(page, encoding="utf-8")
    return options.SOME_FAILED if judged.failed else 0


def _metrics(judged: "JudgedCorpus", detector: "Detector") -> str:
    bundle = detector.bundle.identity
    about = {"bundle": bundle, "failed": judged.failed, "left_out": judged.left_out}
    return json.dumps({**judged.evaluation.to_json(), **about}, indent=1)
