"""`bonafide monitor` and `bonafide feedback`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bonafide.cli import options
from bonafide.cli.orchestrator import prepare_zenml
from bonafide.errors import ConfigError, printable, storing
from bonafide.monitoring.record import (
    AGAINST,
    FIRST,
    LABELS,
    LAST,
    TRAINING,
    WINDOW_ROWS,
    Record,
    damaged_in_words,
)

if TYPE_CHECKING:
    from bonafide.monitoring.watch import Watch


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
    from bonafide.home import home
    from bonafide.monitoring.expected import expected_of
    from bonafide.monitoring.watch import Watch
    from bonafide.registry import find_bundle

    record = options.require_record(record_file)
    if report:
        _require_apart(report, record)
    chosen = find_bundle(home(), bundle)
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
    if seen.others:
        seen = seen.with_names(_names())
    if report:
        with storing(report):
            report.write_text(seen.page(), encoding="utf-8")
    _show(seen, as_json)
    if check and seen.alarms:
        click.get_current_context().exit(1)


def _show(seen: "Watch", as_json: bool) -> None:
    from bonafide.cli.terminal import show_json, show_table
    from bonafide.monitoring.watch import HEADINGS

    if as_json:
        show_json({name: each for name, each in seen.to_json().items() if name != "bundle"})
        return
    show_table(HEADINGS, list(seen.rows()), justify="left")
    for remark in seen.remarks():
        click.echo(remark)


def _require_apart(report: Path, record: Path) -> None:
    """Refuse a report that would be written over the record, or what SQLite keeps beside it."""
    from bonafide.monitoring.database import BESIDE

    target, kept = report.resolve(), record.resolve()
    taken = {kept, *(kept.with_name(kept.name + each) for each in BESIDE)}
    if target in taken or (target.exists() and target.samefile(kept)):
        raise ConfigError(
            "output_exists", f"{report}: is the record, which is kept; name another file"
        )


def _names() -> dict[str, str]:
    """Return what the registry calls bundles, by content hash."""
    from bonafide.home import home, shipped_bundles
    from bonafide.registry import kept_bundles
    from bonafide.registry.listing import names_of

    return names_of([*shipped_bundles(), *kept_bundles(home())])


@click.group()
def feedback() -> None:
    """Note what people say later of answers."""


@feedback.command()
@click.argument("answer")
@click.option("--label", type=click.Choice(LABELS), required=True, help="what it was")
@options.record
def add(answer: str, label: str, record_file: Path | None) -> None:
    """Note what a recording was.

    ANSWER is the SHA-256 of the file, for all answers to it, or the X-Request-Id of one.
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
    from bonafide.monitoring.feedback import MANIFEST, manifest_of

    answers, damaged = Record(options.require_record(record_file)).look()
    with storing(folder):
        written, left_out = manifest_of(answers, folder)
    for path, why in left_out.items():
        name = os.fsencode(path).decode(errors="backslashreplace")
        click.echo(f"left out, for {why}: {printable(name)}", err=True)
    if damaged:
        click.echo(damaged_in_words(damaged), err=True)
    click.echo(f"{folder / MANIFEST}: {written} recordings")
