"""`bonafide provenance`."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from bonafide.cli import options
from bonafide.cli.files import FilesFirst, no_recordings, paths_argument, recordings

Result = dict[str, Any]


@click.command(
    cls=FilesFirst,
    epilog="The exit code is 1 if some of the files could not be examined; each is reported.",
)
@paths_argument
@options.as_json
def provenance(paths: tuple[str, ...], as_json: bool) -> int:
    """Show what files themselves say about their origin."""
    from bonafide.cli.terminal import show_json
    from bonafide.errors import printable
    from bonafide.process.interrupt import interruptible

    results = []
    with interruptible():
        for result in _results(paths):
            results.append(result)
            if not as_json:
                for line in _lines(result):
                    click.echo(printable(line))
    if as_json:
        show_json(results)
    return options.SOME_FAILED if any("error" in result for result in results) else 0


def _results(names: Sequence[str]) -> Iterator[Result]:
    for name in names:
        if os.path.isdir(name):  # noqa: PTH112  # Path.is_dir raises where it may not look
            found = recordings(name)
            yield from map(_result, found) if found else [no_recordings(name)]
        else:
            yield _result(name)


def _result(path: str) -> Result:
    from bonafide.detection import rounded
    from bonafide.errors import AudioError
    from bonafide.piped import opened
    from bonafide.provenance import examine

    try:
        with opened(path) as source:
            result = rounded(asdict(examine(source)))
    except AudioError as error:
        result = {"error": {"code": error.code, "message": error.message}}
    return {"path": path, **result}


def _lines(result: Result) -> Iterator[str]:
    """Yield a result in words, a line each."""
    if error := result.get("error"):
        yield f"{error['message']} [{error['code']}]"  # it begins with the file's name
        return
    yield f"{result['path']}: {_facts(result['facts'])}"
    for found in result["findings"]:
        yield f"  {found['code']}: {found['seen']}"
        yield f"    It proves: {found['proves']}"
        yield f"    Without it: {found['absence']}"
    if not result["findings"]:
        yield "  nothing was found"
    for absent in result["not_found"]:
        yield f"  no {absent['code']}. {absent['absence']}"
    for missing in result["not_looked_for"]:
        yield f"  {missing['code']} was not looked for: {missing['why']}"


def _facts(facts: Result) -> str:
    from bonafide.provenance.quoted import quoted

    said = [
        f"{facts['codec']} at {facts['rate_hz']} Hz",
        f"{facts['channels']} channel{'s' * (facts['channels'] != 1)}",
        f"{facts['duration_s']:.2f} s",
    ]
    if facts["band_hz"] is not None:
        said.append(f"sound up to {facts['band_hz'] / 1000:.1f} kHz")
    said += [f"encoder's tag {quoted(facts['library'])}"] if facts["library"] else []
    said += [facts[name] for name in ("damage", "omitted") if facts[name]]
    return ", ".join(said)
