"""`bonafide models`."""

from dataclasses import asdict
from pathlib import Path

import click

from bonafide.cli import beside, options, registry, trust
from bonafide.cli.lineage import lineage, reproduce


@click.group()
def models() -> None:
    """Keep, promote and roll back bundles; show their lineage.

    REF is a bundle's name, name:version, sha256 (8 digits are enough) or folder.
    """


for command in (*registry.COMMANDS, *beside.COMMANDS, *trust.COMMANDS, lineage, reproduce):
    models.add_command(command)


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
