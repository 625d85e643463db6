"""`bonafide models`."""

from dataclasses import asdict
from pathlib import Path

import click

from bonafide.cli import options
from bonafide.cli.lineage import lineage, reproduce

model = click.argument("model", required=False, metavar="[REF]")


@click.group()
def models() -> None:
    """List bundles, and show where they came from.

    REF is a bundle's name, name:version, sha256 (8 digits are enough) or folder.
    """


for each in (lineage, reproduce):
    models.add_command(each)


@models.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List what training made, the newest first, and what is shipped."""
    from bonafide.cli.terminal import show_records
    from bonafide.home import home, kept_bundles, production_folder, shipped_bundles

    root = home()
    columns = ("name", "version", "stage", "created", "sha256")
    served = str(production_folder(root))
    kept = [
        {**each, "stage": "production" if each["folder"] == served else "none"}
        for each in kept_bundles(root)
    ]
    shipped = [{**each, "stage": "shipped"} for each in shipped_bundles()]
    listed = [{key: each[key] for key in columns} for each in (*kept, *shipped)]
    show_records(listed, columns, as_json)
    if not kept:
        click.echo(f"{root}: no bundle is kept here yet; the shipped default answers", err=True)


@models.command("show")
@model
@options.as_json
def show(model: str | None, as_json: bool) -> None:
    """Show a bundle, by default that in production.

    Where none is in production, it is the shipped default.
    """
    from bonafide.cli.terminal import show_json, show_values
    from bonafide.home import find_bundle, home

    manifest = dict(find_bundle(home(), model).manifest)
    del manifest["files"]
    if as_json:
        show_json(manifest)
    else:
        show_values(f"bundle {manifest['name']}:{manifest['version']}", manifest)


@models.command("encoder")
@click.argument("file", type=options.PATH)
@options.as_json
def encoder(file: Path, as_json: bool) -> None:
    """Check, time and keep a frozen encoder.

    FILE is an ONNX network from waveforms to frames. Training hears it where a configuration names
    its sha256 under features.encoder.
    """
    from bonafide.cli.extras import require

    require("onnx")
    from bonafide.cli.terminal import show_json, show_values
    from bonafide.features.encoder import keep_encoder
    from bonafide.features.encoder_trial import try_encoder
    from bonafide.features.spec import FeatureSpec
    from bonafide.home import home

    tried = try_encoder(file, FeatureSpec().window_samples)
    keep_encoder(home(), file)
    facts = {
        **asdict(tried.spec),
        "n_features": tried.spec.n_features,
        "bytes": tried.n_bytes,
        "milliseconds": round(tried.milliseconds, 1),
        "configuration": f"features: {{encoder: {tried.spec.sha256}}}",
    }
    if as_json:
        show_json(facts)
    else:
        show_values(f"encoder {file.name}", facts)
