"""`bonafide train` and `bonafide tune`."""

import json
from pathlib import Path

import click

from bonafide.cli import options
from bonafide.cli.extras import require
from bonafide.cli.orchestrator import prepare_zenml
from bonafide.errors import ConfigError


@click.command()
@options.config
@options.corpora
@options.corpus_format
@click.option("--sequential", is_flag=True, help="run one step after another, as a static pipeline")
@click.option(
    "--zenml",
    type=options.PATH,
    metavar="FILE",
    envvar="BONAFIDE_ZENML",
    help="ZenML's YAML of a run: hooks, retries, resources, images, step operators, tags",
)
@options.verify
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="then prune all but the N newest runs, as `bonafide prune` does",
)
@click.option(
    "--result",
    type=options.OutputFile(),
    metavar="FILE",
    envvar="BONAFIDE_RESULT",
    help="write there, as JSON, what came of it: status, version, sha256, eer, reasons",
)
@options.quiet
def train(
    config: Path | None,
    corpora: tuple[str, ...],
    corpus_format: str | None,
    sequential: bool,
    zenml: Path | None,
    verify: bool,
    keep: int | None,
    result: Path | None,
    quiet: bool,
) -> int:
    """Train, evaluate, export and promote a detector."""
    require("zenml", "tensorflow")
    options.require_corpora("train", corpora)
    chosen = options.configuration(config)
    _check(corpora, corpus_format)
    prepare_zenml()
    from bonafide.cli.summary import result_of, show_summary
    from bonafide.display import Display

    with Display(quiet=quiet) as display:
        display.say("starting: loading ZenML")
        from pipelines.run import run_training

        trained = run_training(
            *(chosen, list(corpora), corpus_format),
            static=sequential,
            verify=verify,
            run_file=zenml,
        )
    show_summary(trained)
    if result:
        options.write_whole(result, json.dumps(result_of(trained)).encode())
    if keep:
        from bonafide.cli.prune import prune_older

        prune_older(keep)
    return options.SOME_FAILED if trained.decision.reasons else 0


def _check(corpora: tuple[str, ...], corpus_format: str | None) -> None:
    """Read the corpora, so that a mistake in one shows before ZenML is loaded."""
    from bonafide.training.fingerprint import read_corpora

    read_corpora(corpora, corpus_format)


@click.command(
    epilog="A search that was stopped resumes. The best values are printed for a configuration."
)
@click.option("--model", required=True, metavar="NAME", help="a base model of the configuration")
@click.option(
    "--trials",
    type=int,
    default=20,
    metavar="N",
    help="trials in all, those of a search that was stopped included",
)
@options.config
@options.corpora
@options.corpus_format
@options.quiet
def tune(
    model: str,
    trials: int,
    config: Path | None,
    corpora: tuple[str, ...],
    corpus_format: str | None,
    quiet: bool,
) -> None:
    """Search the hyper-parameters of one base model."""
    require("zenml", "optuna")
    if trials < 1:
        raise ConfigError("bad_trials", f"--trials {trials}: must be at least 1")
    chosen = options.configuration(config)
    chosen.model(model)  # a mistake shows before anything is loaded
    options.require_corpora("tune", corpora)
    _check(corpora, corpus_format)
    prepare_zenml()
    from bonafide.display import Display

    with Display(quiet=quiet) as display:
        display.say("starting: loading ZenML")
        from pipelines.tuning import run_tuning

        study = run_tuning(chosen, list(corpora), corpus_format, model=model, trials=trials)
    import yaml

    n_trials = f"{len(study.trials)} trial{'' if len(study.trials) == 1 else 's'}"
    found = yaml.safe_dump({"models": {study.model: study.best}}, sort_keys=False).rstrip()
    click.echo(f"# Out-of-fold log loss {study.loss:.4f} nats, best of {n_trials}.")
    click.echo(found)
