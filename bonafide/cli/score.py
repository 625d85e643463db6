"""`bonafide score` and `bonafide evaluate`."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from bonafide.cli import options

if TYPE_CHECKING:
    from bonafide.detector import Detector
    from bonafide.scoring import JudgedCorpus


class FilesFirst(click.Command):
    """A command that never takes the name of an existing file for an option.

    In `score *`, a file called ``--help.wav`` becomes ``./--help.wav``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``./`` before such names, then parse."""
        known = {name for option in self.get_params(ctx) for name in option.opts}

        def is_file(word: str) -> bool:
            option = word.partition("=")[0]
            return word.startswith("-") and option not in known and Path(word).exists()

        if "--" not in args:
            args = [f"./{word}" if is_file(word) else word for word in args]
        return super().parse_args(ctx, args)


@click.command(
    cls=FilesFirst,
    epilog="The exit code is 1 if some of the files could not be scored; each is reported.",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@options.bundle
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "jsonl", "csv"]),
    default="table",
    help="print each result as a line, a JSON object or a row",
)
@click.option(
    "--output", type=options.OutputFile(), metavar="FILE", help="default: standard output"
)
def score(paths: tuple[str, ...], bundle: Path | None, style: str, output: Path | None) -> int:
    """Score files, and the audio and video files in folders."""
    from bonafide.detector import Detector
    from bonafide.home import find_bundle, home
    from bonafide.scoring import WRITERS, score_files, unusable

    detector = Detector(find_bundle(home(), bundle))
    with nullcontext(sys.stdout) if output is None else _opened(output) as file:
        write = WRITERS[style](file)
        failed = 0
        for result in score_files(detector, _audio_files(paths)):
            write(result)
            failed += unusable(result)
    return options.SOME_FAILED if failed else 0


def _opened(output: Path) -> TextIO:
    """Open a file to write in which names of files keep their bytes, UTF-8 or not."""
    return output.open("w", encoding="utf-8", errors="surrogateescape")


def _audio_files(paths: Sequence[str]) -> Iterator[str]:
    """Return the files as given, and in place of each folder its audio files, sorted."""
    from bonafide.corpora.files import audio_files

    for name in paths:
        if name and Path(name).is_dir():  # an empty name is no folder, though pathlib says so
            yield from map(str, audio_files(Path(name)))
        else:
            yield name


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
    bundle: Path | None,
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
    from bonafide.home import find_bundle, home
    from bonafide.scoring import evaluate_corpus

    if report:
        require("matplotlib", "scipy")
    rows = read_corpus(corpus, corpus_format)
    detector = Detector(find_bundle(home(), bundle))
    with Display(quiet=quiet):
        judged = evaluate_corpus(detector, rows, progress=reporter("score"))
    show_evaluation(judged.evaluation)
    for note in judged.evaluation.notes:
        click.echo(note)
    for failure in judged.failed:
        click.echo(failure["error"]["message"], err=True)
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
