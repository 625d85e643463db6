"""The command line: arguments in, exit code out. Imports what a command needs inside it.

Exit codes: 0 all done; 1 some inputs failed, each reported; 2 wrong usage.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import bonafide
from bonafide.errors import BonafideError, ConfigError

if TYPE_CHECKING:
    from bonafide.training.config import Config
    from pipelines.run import Trained

Arguments = argparse.Namespace
SOME_FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def configs_folder() -> Path:
    """Return the folder of the run configurations, in a checkout or in an installed wheel."""
    package = Path(bonafide.__file__).parent
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bonafide", description="Tell machine-generated speech from human speech."
    )
    parser.add_argument("--version", action="version", version=bonafide.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _train,
        _tune,
        _score,
        _evaluate,
        _serve,
        _app,
        _keys,
        _bench,
        _corpus,
        _models,
        _schedule,
    ):
        add(commands)
    return parser


def _command(
    commands: Any, name: str, text: str, run: Callable[[Arguments], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    """Add what a run needs: configuration and corpora."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML; default: the demo's")
    parser.add_argument(
        "--corpus",
        action="append",
        metavar="PATH",
        help="manifest or folder; may be repeated; default: a simulated corpus",
    )
    parser.add_argument("--corpus-format", metavar="NAME", help="manifest or folder")


def _train(commands: Any) -> None:
    parser = _command(commands, "train", "Train, judge, export and promote a detector.", run_train)
    _run_options(parser)
    parser.add_argument(
        "--sequential", action="store_true", help="one step after another, as a static pipeline"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _tune(commands: Any) -> None:
    text = "Search the hyper-parameters of one base model; a stopped search goes on."
    parser = _command(commands, "tune", text, run_tune)
    parser.add_argument("--model", required=True, help="a base model of the configuration")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="in all; default 20")
    _run_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _score(commands: Any) -> None:
    parser = _command(commands, "score", "Score files and folders.", run_score)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, or folders of files")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="default: the one in production")
    parser.add_argument("--format", choices=("table", "jsonl", "csv"), default="table")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")


def _evaluate(commands: Any) -> None:
    text = "Judge a bundle on a labelled corpus."
    parser = _command(commands, "evaluate", text, run_evaluate)
    parser.add_argument("--corpus", required=True, metavar="PATH", help="manifest or folder")
    parser.add_argument("--corpus-format", metavar="NAME", help="manifest or folder")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="default: the one in production")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the metrics as JSON")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write an HTML report")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _serve(commands: Any) -> None:
    text = "Serve a bundle over HTTP; more settings: docs/operating.md."
    parser = _command(commands, "serve", text, run_serve)
    parser.add_argument("--bundle", metavar="DIR", help="default: follow the one in production")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--workers", type=int, metavar="N", help="default: one a core")
    parser.add_argument("--keys", metavar="FILE", help="API keys; see `bonafide keys add`")
    parser.add_argument(
        "--anonymous",
        action="store_true",
        default=None,
        help="serve other machines without keys",
    )


def _app(commands: Any) -> None:
    text = "Open the page: upload a recording, hear it, understand the answer."
    parser = _command(commands, "app", text, run_app)
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument(
        "--service",
        metavar="URL",
        help="a running service (its key: BONAFIDE_API_KEY); default: one of its own",
    )


def _bench(commands: Any) -> None:
    text = (
        "Measure speed and memory: ratios against named alternatives, in one run of some minutes."
    )
    parser = _command(commands, "bench", text, run_bench)
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="default: the one in production")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers as JSON")


def _keys(commands: Any) -> None:
    group = commands.add_parser("keys", help="API keys of the service.")
    inner = group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    text = "Make a key: it is printed once, and its hash is kept."
    parser = _command(inner, "add", text, run_keys_add)
    parser.add_argument("file", type=Path, metavar="FILE", help="made where it is missing")
    parser.add_argument("name", metavar="NAME", help="whose it is")
    parser.add_argument("--rate", type=float, metavar="N", help="requests a minute; default 600")


def _corpus(commands: Any) -> None:
    group = commands.add_parser("corpus", help="Read and make corpora.")
    inner = group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    text = "Show what a corpus holds, without decoding it."
    parser = _command(inner, "inspect", text, run_corpus_inspect)
    parser.add_argument("path", type=Path, metavar="PATH", help="manifest or folder")
    parser.add_argument("--corpus-format", metavar="NAME", help="manifest or folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "Make the simulated corpus: it proves the machinery, never that a detector detects."
    parser = _command(inner, "simulate", text, run_corpus_simulate)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--speakers", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _models(commands: Any) -> None:
    group = commands.add_parser("models", help="Bundles, and where they came from.")
    inner = group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    parser = _command(inner, "list", "List the bundles that training made.", run_models_list)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = _command(inner, "show", "Show one bundle.", run_models_show)
    parser.add_argument("model", nargs="?", metavar="NAME[:VERSION]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    text = "Print the tree from a bundle back to its corpus, or from a corpus to its bundles."
    parser = _command(inner, "lineage", text, run_models_lineage)
    parser.add_argument("model", nargs="?", metavar="NAME[:VERSION]")
    parser.add_argument("--corpus", metavar="PATH|HASH", help="a corpus, or its rows' hash")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _schedule(commands: Any) -> None:
    group = commands.add_parser("schedule", help="Retraining by the clock.")
    inner = group.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    parser = _command(inner, "run", "Train whenever the clock says, until stopped.", run_schedule)
    parser.add_argument("--cron", required=True, metavar="EXPR", help='such as "0 3 * * *"')
    parser.add_argument("--timezone", metavar="NAME", help="such as Europe/Berlin; default: local")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML; default: the demo's")
    parser.add_argument("--corpus", action="append", metavar="PATH", help="may be repeated")
    parser = _command(inner, "history", "List the runs that the clock started.", run_history)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _zenml_manners() -> None:
    """Keep ZenML quiet and to itself; whatever the user has set stays."""
    os.environ.setdefault("ZENML_ANALYTICS_OPT_IN", "false")
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "CRITICAL")
    os.environ.setdefault("ZENML_ENABLE_RICH_TRACEBACK", "false")
    # Steps are found by where this package lies, whatever folder the command is typed in.
    os.environ.setdefault(
        "ZENML_CUSTOM_SOURCE_ROOT", str(Path(bonafide.__file__).resolve().parent.parent)
    )


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _print_json(value: Any) -> None:
    _print(json.dumps(value, indent=1))


def _print_records(records: list[dict[str, Any]], keys: Sequence[str], as_json: bool) -> None:
    """Print records as JSON, or these keys of them as a table."""
    from bonafide.evaluation.report import text_table

    if as_json:
        _print_json(records)
    else:
        _print(text_table(keys, [[str(record[key]) for key in keys] for record in records]))


def _config_and_corpora(arguments: Arguments) -> tuple["Config", list[str]]:
    from bonafide.training.config import read_config

    config = read_config(arguments.config or configs_folder() / "demo.yaml")
    if arguments.corpus:
        return config, arguments.corpus
    from bonafide.home import home
    from bonafide.simulation.corpus import simulate

    return config, [str(simulate(home() / "simulated"))]


def run_train(arguments: Arguments) -> int:
    """Run the training pipeline and print its summary."""
    _zenml_manners()
    from bonafide.display import Display

    with Display(quiet=arguments.quiet) as display:
        display.say("starting: loading the orchestrator")
        config, corpora = _config_and_corpora(arguments)
        from pipelines.run import run_training

        trained = run_training(
            config, corpora, arguments.corpus_format, static=arguments.sequential
        )
    _print(_summary(trained))
    return SOME_FAILED if trained.reasons else 0


def run_tune(arguments: Arguments) -> int:
    """Search, and print the best values as they go into a configuration."""
    if arguments.trials < 1:
        raise ConfigError("bad_trials", f"--trials {arguments.trials}: must be at least 1")
    _zenml_manners()
    from bonafide.display import Display

    with Display(quiet=arguments.quiet) as display:
        display.say("starting: loading the orchestrator")
        config, corpora = _config_and_corpora(arguments)
        from pipelines.tuning import run_tuning

        study = run_tuning(
            config,
            corpora,
            arguments.corpus_format,
            model=arguments.model,
            trials=arguments.trials,
        )
    import yaml

    found = yaml.safe_dump({"models": {study.model: study.best}}, sort_keys=False).rstrip()
    _print(f"# Out-of-fold log loss {study.loss:.4f} nats, best of {len(study.trials)} trials.")
    _print(found)
    return 0


def _summary(trained: "Trained") -> str:
    from bonafide.evaluation.evaluate import percent
    from bonafide.evaluation.report import brief_table, title_line
    from bonafide.home import home
    from bonafide.training.judgement import plain_verdict

    outcome, bundle = trained.judgement.outcome, trained.bundle
    manifest = bundle.manifest
    report = home() / "reports" / f"{manifest['name']}-{manifest['version']}.html"
    kept = home() / "bundles" / manifest["name"] / manifest["version"]
    set_aside = [f"  row {item.row + 2}: {item.message}" for item in trained.quarantine.rejected]
    parts = []
    for evaluation in outcome.evaluations:
        parts += [title_line(evaluation), brief_table(evaluation), ""]
    parts += [
        f"Shortcut audit, EER of trivial measures alone: {percent(outcome.audit.eer)}",
        f"Set aside: {len(set_aside)} of {trained.quarantine.n_rows} rows",
        *set_aside,
        f"Steps run: {len(trained.ran)}; taken from the cache: {len(trained.cached)}",
        "",
        plain_verdict(outcome),
        "",
        f"Bundle: {kept} ({manifest['name']} version {manifest['version']})",
        f"Report: {report}",
    ]
    if trained.reasons:
        parts += ["Not promoted:", *(f"  {reason}" for reason in trained.reasons)]
    else:
        parts += ["In production now.", "Next: bonafide score FILE"]
    return "\n".join(parts)


def _audio_files(paths: Sequence[str]) -> Iterator[str]:
    """Go through files as given and through the audio files of folders, sorted."""
    from bonafide.corpora.files import AUDIO_SUFFIXES

    for name in paths:
        if Path(name).is_dir():
            files = Path(name).rglob("*")
            yield from sorted(str(f) for f in files if f.suffix.lower() in AUDIO_SUFFIXES)
        else:
            yield name


def run_score(arguments: Arguments) -> int:
    """Score every file; report those that cannot be scored and go on."""
    from bonafide.detector import Detector
    from bonafide.home import find_bundle, home
    from bonafide.scoring import WRITERS, score_files, unusable

    detector = Detector(find_bundle(home(), arguments.bundle))
    with _Output(arguments.output) as file:
        write = WRITERS[arguments.format](file)
        failed = 0
        for result in score_files(detector, _audio_files(arguments.paths)):
            write(result)
            failed += unusable(result)
    return SOME_FAILED if failed else 0


class _Output:
    """Standard output, or a file that is closed at the end."""

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8") if path else sys.stdout

    def __enter__(self) -> TextIO:
        return self._file

    def __exit__(self, *_: object) -> None:
        if self._file is not sys.stdout:
            self._file.close()


def run_evaluate(arguments: Arguments) -> int:
    """Score a labelled corpus with a bundle and print its metrics."""
    from bonafide.corpora import read_corpus
    from bonafide.detector import Detector
    from bonafide.display import Display, reporter
    from bonafide.evaluation.report import brief_table, evaluation_page, title_line
    from bonafide.home import find_bundle, home
    from bonafide.scoring import evaluate_corpus

    corpus = read_corpus(Path(arguments.corpus), arguments.corpus_format)
    detector = Detector(find_bundle(home(), arguments.bundle))
    with Display(quiet=arguments.quiet):
        judged = evaluate_corpus(detector, corpus, progress=reporter("score"))
    evaluation = judged.evaluation
    _print(title_line(evaluation))
    _print(brief_table(evaluation))
    for note in evaluation.notes:
        _print(note)
    for failure in judged.failed:
        sys.stderr.write(f"{failure['error']['message']}\n")
    if arguments.json:
        content = {**evaluation.to_json(), "bundle": detector.bundle.identity}
        arguments.json.write_text(json.dumps({**content, "failed": judged.failed}, indent=1))
    if arguments.report:
        page = evaluation_page(evaluation, judged.scores, judged.is_spoof)
        arguments.report.write_text(page, encoding="utf-8")
    return SOME_FAILED if judged.failed else 0


def run_serve(arguments: Arguments) -> int:
    """Check what is asked for and become the server."""
    from dataclasses import replace

    from serving.launch import check, serve
    from serving.settings import Settings

    given = {
        name: value
        for name in ("bundle", "workers", "keys", "anonymous")
        if (value := getattr(arguments, name)) is not None
    }
    settings = replace(Settings.from_environment(), **given)
    bundle = check(settings, arguments.host)
    _print(
        f"bonafide: bundle {bundle.identity['name']} version {bundle.identity['version']}, "
        f"{settings.n_workers} workers, http://{arguments.host}:{arguments.port}"
    )
    sys.stdout.flush()
    serve(settings, arguments.host, arguments.port)
    return 0


def _not_installed(module: str | None, extra: str) -> ConfigError:
    return ConfigError("not_installed", f"{module} is missing: pip install 'bonafide[{extra}]'")


def run_app(arguments: Arguments) -> int:
    """Run the page, and a service for it, until stopped."""
    try:
        from serving.app.launch import launch
    except ModuleNotFoundError as error:
        raise _not_installed(error.name, "app") from error
    launch(arguments.port, arguments.service, say=_print)
    return 0


def run_bench(arguments: Arguments) -> int:
    """Run every benchmark and print the table."""
    from importlib.util import find_spec

    for name in ("librosa", "onnx", "tensorflow"):  # what the fused graph is compared with
        if find_spec(name) is None:
            raise _not_installed(name, "train")
    from benchmarks.bench import run
    from bonafide.display import Display
    from bonafide.home import find_bundle, home

    with Display() as display:
        lines = run(find_bundle(home(), arguments.bundle), arguments.json, display.say)
    _print("\n".join(lines))
    return 0


def run_keys_add(arguments: Arguments) -> int:
    """Make an API key and print it."""
    from serving.http.keys import DEFAULT_RATE_PER_MINUTE, add_key

    _print(add_key(arguments.file, arguments.name, arguments.rate or DEFAULT_RATE_PER_MINUTE))
    return 0


def run_corpus_inspect(arguments: Arguments) -> int:
    """Print counts of a corpus's labels and descriptive columns."""
    from bonafide.corpora import read_corpus
    from bonafide.corpora.schema import describe
    from bonafide.evaluation.report import text_table

    corpus = read_corpus(arguments.path, arguments.corpus_format)
    facts = describe(corpus)
    if arguments.json:
        _print_json(facts)
        return 0
    _print(text_table(("what", "count"), [(name, str(value)) for name, value in facts.items()]))
    return 0


def run_corpus_simulate(arguments: Arguments) -> int:
    """Write the simulated corpus."""
    from bonafide.display import Display, reporter
    from bonafide.simulation.corpus import simulate

    with Display(quiet=arguments.quiet):
        manifest = simulate(
            arguments.folder,
            clips=arguments.clips,
            speakers=arguments.speakers,
            seed=arguments.seed,
            progress=reporter("simulate"),
        )
    _print(f"{manifest}\nSimulated: proves that the machinery runs, never that it detects.")
    return 0


def run_models_list(arguments: Arguments) -> int:
    """Print the bundles that ZenML knows of."""
    _zenml_manners()
    from pipelines.lineage import list_models

    keys = ("name", "version", "stage", "created", "sha256")
    _print_records(list_models(), keys, arguments.json)
    return 0


def run_models_show(arguments: Arguments) -> int:
    """Print one bundle's manifest and metrics."""
    _zenml_manners()
    from bonafide.evaluation.report import show_lines
    from pipelines.lineage import show_model

    shown = show_model(arguments.model)
    if arguments.json:
        _print_json(shown)
    else:
        _print("\n".join(show_lines(shown)))
    return 0


def run_models_lineage(arguments: Arguments) -> int:
    """Print where a bundle came from, or what became of a corpus."""
    _zenml_manners()
    from bonafide.evaluation.report import tree_lines
    from pipelines.lineage import corpus_lineage, model_lineage

    chosen = arguments.corpus
    tree = corpus_lineage(chosen) if chosen else model_lineage(arguments.model)
    if arguments.json:
        _print_json(tree)
    else:
        _print("\n".join(tree_lines(tree)))
    return 0


def run_schedule(arguments: Arguments) -> int:
    """Train by the clock until stopped."""
    from bonafide.home import home
    from bonafide.training.config import read_config
    from bonafide.training.schedule import Schedule, train_command

    if arguments.config:
        read_config(arguments.config)  # a mistake shows now and not at three in the morning
    command = train_command(arguments.config, arguments.corpus or [])
    Schedule(arguments.cron, command, home(), timezone=arguments.timezone).run(say=_print)
    return 0


def run_history(arguments: Arguments) -> int:
    """Print the runs that the clock started."""
    from bonafide.home import home
    from bonafide.training.schedule import read_history

    _print_records(read_history(home()), ("started", "ended", "status", "log"), arguments.json)
    return 0


def _files_before_options(words: list[str]) -> list[str]:
    """Let `score *` take a file whose name looks like an option: it becomes ./NAME."""
    if words[:1] != ["score"] or "--" in words:
        return words
    known = ("--bundle", "--format", "--output", "--help", "-h")
    return [
        f"./{word}"
        if word.startswith("-") and word.partition("=")[0] not in known and Path(word).exists()
        else word
        for word in words
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    given = list(sys.argv[1:] if words is None else words)
    arguments = _parser().parse_args(_files_before_options(given))
    try:
        return int(arguments.run(arguments))
    except BonafideError as error:
        sys.stderr.write(f"bonafide: {error.code}: {error.message}\n")
        return WRONG_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("\nbonafide: stopped; what is finished is kept, run again to go on\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough, as with | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED


if __name__ == "__main__":
    sys.exit(main())
