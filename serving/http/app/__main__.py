"""Writes the page into a folder: see `serving.http.app`."""

from pathlib import Path

import click

from serving.http.app import write


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Write the page that judges in the browser into FOLDER, for any web server to show."""
    write(folder)
    click.echo(f"Written. To look at it: python -m http.server --directory {folder}")


if __name__ == "__main__":
    main()
