"""`bonafide dashboard`."""

import webbrowser

import click

from bonafide.cli import options
from bonafide.cli.extras import require
from bonafide.cli.orchestrator import prepare_zenml


@click.command()
@click.option(
    "--port", type=options.PORT, metavar="N", help="port to listen on; default: one that is free"
)
@click.option("--no-browser", is_flag=True, help="print the address and open no browser")
def dashboard(port: int | None, no_browser: bool) -> None:
    """Show the training runs in ZenML's dashboard.

    It asks for no account and answers this machine alone, until Ctrl-C: whoever works on this
    machine can open it.
    """
    require("fastapi", "zenml")
    prepare_zenml()
    from pipelines.dashboard import run_dashboard

    def opened(url: str) -> None:
        click.echo(f"bonafide: dashboard: {url} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(url)

    try:
        run_dashboard(port, opened)
    except KeyboardInterrupt:  # the way to end it
        click.echo("bonafide: dashboard: ended")
