"""`bonafide monitor` and `bonafide feedback`."""

from pathlib import Path

import click

from bonafide.cli import options
from bonafide.cli.orchestrator import prepare_zenml
from bonafide.monitoring.record import AGAINST, FIRST, LABELS, LAST, TRAINING, WINDOW_ROWS, Record


@click.command()
@options.record
@options.bundle
@click.option(
    "--window",
    type=options.Whole(min=20),
    default=WINDOW_ROWS,
    metavar="N",
    help="answers in a window",
)
@click.option(
    "--last", type=options.Whole(min=1), default=LAST, metavar="N", help="windows, the newest ones"
)
@click.option(
    "--against",
    type=click.Choice(AGAINST),
    default=FIRST,
    help="what with: the bundle's first 1,000 answers (default), or its training recordings",
)
@click.option(
    "--report", type=options.OutputFile(), metavar="FILE.html", help="draw it into an HTML page"
)
@click.option("--check", is_flag=True, help="exit with 1 if the newest window alarms")
@click.option("--pipeline", is_flag=True, help="look as a run of ZenML's, which keeps what it saw")
@options.as_json
def monitor(
    record_file: Path | None,
    bundle: str | None,
    window: int,
    last: int,
    against: str,
    report: Path | None,
    check: bool,
    pipeline: bool,
    as_json: bool,
) -> None:
    """Compare the latest answers of a bundle with its first.

    A window of answers at a time. With --against training, each is compared with what the bundle
    answers to the recordings that it was trained on, by models that never heard their source; that
    is there from the first window on. What a shadow said to the same requests is told, too.
    """
    from bonafide.cli.extras import require

    require("scipy", *["zenml"] * pipeline, *["matplotlib"] * (pipeline or report is not None))
    from bonafide.cli.terminal import show_json, show_table
    from bonafide.home import home
    from bonafide.monitoring.expected import expected_of
    from bonafide.monitoring.watch import HEADINGS, Watch
    from bonafide.registry import find_bundle

    chosen = find_bundle(home(), bundle)
    record = options.require_record(record_file)
    if pipeline:
        prepare_zenml()
        from pipelines.monitoring import run_monitoring

        seen = run_monitoring(
            record, chosen, window_rows=window, last=last, against_training=against == TRAINING
        )
    else:
        reference = expected_of(chosen) if against == TRAINING else ()
        looked_at = (Record(record), chosen.digest())
        seen = Watch.of(*looked_at, window_rows=window, last=last, reference=reference)
    if report:
        report.write_text(seen.page(), encoding="utf-8")
    if as_json:
        show_json({name: each for name, each in seen.to_json().items() if name != "bundle"})
    else:
        show_table(HEADINGS, list(seen.rows()), justify="left")
        for remark in seen.remarks():
            click.echo(remark)
    if check and seen.alarms:
        click.get_current_context().exit(1)


@click.group()
def feedback() -> None:
    """Note what people say later of answers."""


@feedback.command()
@click.argument("answer")
@click.option("--label", type=click.Choice(LABELS), required=True, help="what it was")
@options.record
def add(answer: str, label: str, record_file: Path | None) -> None:
    """Note what a recording was.

    ANSWER is the X-Request-Id of the answer, or the SHA-256 of the file.
    """
    Record(options.require_record(record_file)).label(answer, label)
    click.echo(f"{answer}: {label}")


@feedback.command()
@click.argument("folder", type=options.PATH)
@options.record
def manifest(folder: Path, record_file: Path | None) -> None:
    """Write FOLDER/manifest.csv, of what was judged.

    Of the recordings in FOLDER, those that people judged: files are known by their SHA-256. train,
    adapt and evaluate take it as --corpus; no golden set is made of its rows.
    """
    from bonafide.errors import storing
    from bonafide.monitoring.feedback import MANIFEST, manifest_of

    record = Record(options.require_record(record_file))
    with storing(folder):
        written, undecided = manifest_of(record.read(), folder)
    for path in undecided:
        click.echo(f"left out, for it was called both: {path}", err=True)
    click.echo(f"{folder / MANIFEST}: {written} recordings")
