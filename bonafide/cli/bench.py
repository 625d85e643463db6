"""`bonafide bench`."""

from pathlib import Path

import click

from bonafide.cli import options


@click.command()
@options.bundle
@click.option(
    "--json", "numbers", type=options.OutputFile(), metavar="FILE", help="write the numbers as JSON"
)
def bench(bundle: str | None, numbers: Path | None) -> None:
    """Measure speed and memory against named alternatives.

    Takes several minutes.
    """
    from bonafide.cli.extras import require

    require("librosa", "onnx", "tensorflow")  # what the fused graph is compared with
    from benchmarks.bench import run
    from bonafide.display import Display
    from bonafide.home import home
    from bonafide.registry import find_bundle

    with Display() as display:
        lines = run(find_bundle(home(), bundle), numbers, display.say)
    click.echo("\n".join(lines))
