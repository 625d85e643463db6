"""`bonafide serve` and `bonafide app`."""

from pathlib import Path
from typing import Any

import click

from bonafide.cli import options


@click.command()
@options.bundle
@click.option("--shadow", metavar="REF", help="a bundle that scores too, unheard")
@click.option("--canary", metavar="REF:SHARE%", help="a bundle that answers a share of the clients")
@click.option("--host", default="127.0.0.1", metavar="HOST", help="address to listen on")
@click.option("--port", type=options.PORT, default=3000, metavar="N", help="port to listen on")
@click.option("--workers", type=options.Whole(min=1), metavar="N", help="default: one per core")
@click.option(
    "--keys",
    type=options.NamedPath(readable=False),
    metavar="FILE",
    help="file of API keys; see `bonafide keys add`",
)
@click.option(
    "--anonymous", is_flag=True, default=None, help="answer other machines without API keys"
)
def serve(host: str, port: int, **given: Any) -> None:
    """Serve a bundle over HTTP.

    What is not given here is read from the environment: docs/serve.md lists all settings.
    """
    from dataclasses import replace

    from serving.limits import check_limits
    from serving.settings import Settings

    chosen = {name: value for name, value in given.items() if value is not None}
    settings = replace(Settings.from_environment(), **chosen)
    check_limits(settings)  # first: there may be too little memory even to load what follows
    from serving.launch import check
    from serving.launch import serve as become_server

    bundle = check(settings, host, port)
    identity = bundle.identity
    address = f"[{host}]" if ":" in host else host
    click.echo(
        f"bonafide: bundle {identity['name']} version {identity['version']}, "
        f"{settings.n_workers} worker{'s' * (settings.n_workers > 1)}, http://{address}:{port}"
    )
    become_server(settings, bundle, host, port)


@click.command()
@click.option("--port", type=options.PORT, default=8501, metavar="N", help="port to listen on")
@click.option(
    "--service",
    metavar="URL",
    help="a service that is running (its API key: BONAFIDE_API_KEY); default: one of its own",
)
@click.option(
    "--manage", is_flag=True, help="let who opens the page promote bundles and roll them back"
)
@click.option(
    "--files",
    type=options.NamedPath(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="let who opens the page have files in this folder judged, by their paths",
)
def app(port: int, service: str | None, manage: bool, files: Path | None) -> None:
    """Run the page where people upload recordings.

    They listen to a recording there and read, in plain words, what the detector says of it. With a
    service of its own it also shows the models, their lineage, drift and scheduled runs. The page
    asks nobody who they are: whoever works on this machine can open it.
    """
    from serving.app.allowed import Allowed
    from serving.app.launch import launch

    folder = files.resolve() if files else None
    launch(port, service, Allowed(service is None, manage, folder), say=click.echo)
