"""`bonafide report`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bonafide.cli import options
from bonafide.cli.files import FilesFirst
from bonafide.errors import AudioError, printable

if TYPE_CHECKING:
    from bonafide.audio import AudioStream
    from bonafide.bundle import Bundle

BLOCK_BYTES = 1 << 20


@click.command(
    cls=FilesFirst,
    epilog="The exit code is 1 if the file cannot be scored; of one with too little sound for an "
    "answer there is a report that says so.",
)
@click.argument("file", metavar="FILE", type=click.Path(readable=False))
@options.bundle
@click.option("--html", type=options.OutputFile(), metavar="FILE", help="write it as a page")
@click.option(
    "--pdf", type=options.OutputFile(), metavar="FILE", help="write it as a PDF (extra report)"
)
def report(file: str, bundle: str | None, html: Path | None, pdf: Path | None) -> int:
    """Write a report on one recording; - is standard input."""
    from bonafide.home import home
    from bonafide.piped import opened
    from bonafide.process.interrupt import interruptible
    from bonafide.registry import find_bundle
    from bonafide.report import printer

    _check_outputs(file, html, pdf)
    to_pdf = printer() if pdf else None
    chosen = find_bundle(home(), bundle)
    try:
        with interruptible(), opened(file) as source:
            page, too_little = _report(file, source, chosen, _folder_given(file, bundle))
    except AudioError as error:
        click.echo(printable(f"{error.message} [{error.code}]"), err=True)
        return options.SOME_FAILED
    if html:
        options.write_whole(html, page.encode("utf-8"))
    if pdf and to_pdf:
        options.write_whole(pdf, to_pdf(page))
    if too_little:
        click.echo(printable(f"{file}: {too_little}"), err=True)
    return options.SOME_FAILED if too_little else 0


def _check_outputs(file: str, html: Path | None, pdf: Path | None) -> None:
    outputs = [path for path in (html, pdf) if path is not None]
    if not outputs:
        raise click.UsageError("nowhere to write to: give --html FILE, --pdf FILE or both")
    if html is not None and html == pdf:
        raise click.UsageError(f"{html}: named twice; --html and --pdf must be two files")
    for path in outputs:
        if path.exists() and os.path.exists(file) and path.samefile(file):  # noqa: PTH110
            raise click.UsageError(f"{path}: is the recording itself; must be another file")


def _folder_given(file: str, bundle: str | None) -> str:
    """Return the folder that names a bundle, seen from that of the file; empty for other names."""
    from bonafide.bundle import MANIFEST
    from bonafide.piped import STANDARD_INPUT

    if bundle is None or not (Path(bundle) / MANIFEST).is_file():
        return ""
    if not Path(bundle).is_absolute() and file not in STANDARD_INPUT:
        bundle = os.path.relpath(Path(bundle).resolve(), Path(file).parent.resolve())
    return bundle if "/" in bundle else f"./{bundle}"  # else it might be taken for a name


def _report(
    file: str, source: "Path | AudioStream", bundle: "Bundle", bundle_folder: str
) -> tuple[str, str]:
    """Return the report, and why there is too little sound for an answer; empty if there is not."""
    from dataclasses import asdict

    from bonafide.audio import AudioStream
    from bonafide.detection import rounded
    from bonafide.detector import Detector
    from bonafide.drawing import first_minutes, reduce
    from bonafide.explanation import Explainer
    from bonafide.piped import STANDARD_INPUT
    from bonafide.provenance import examine
    from bonafide.report import render, track_drawn
    from bonafide.scoring import usable
    from serving.http.endpoints.model import answer

    stream = source if isinstance(source, AudioStream) else AudioStream(source)
    before = _identity(stream)
    explained = Explainer(Detector(bundle)).explain(source)
    result = explained.to_json()
    origin = rounded(asdict(examine(source)))
    drawing = reduce(first_minutes(source, *track_drawn(result)))
    if _identity(stream) != before:
        raise AudioError("unreadable", f"{stream.name}: changed while the report was written")
    name = "-" if file in STANDARD_INPUT else Path(file).name
    model = asdict(answer(bundle))
    about = {**before, "name": name, "bundle_folder": bundle_folder}
    page = render(result=result, model=model, origin=origin, drawing=drawing, **about)
    try:
        usable(explained)
    except AudioError as error:
        return page, error.message
    return page, ""


def _identity(stream: "AudioStream") -> dict[str, Any]:
    """Return hash and size of the file, as `bonafide.report.render` takes them."""
    import hashlib

    digest, size_bytes = hashlib.sha256(), 0
    try:
        with stream.opened() as file:
            file.seek(0)
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AudioError("unreadable", f"{stream.name}: cannot be read: {reason}") from error
    return {"sha256": digest.hexdigest(), "size_bytes": size_bytes}
