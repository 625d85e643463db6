"""docs/results.md: every table, from what protocol, conditions and held_out wrote.

    python -m research.results --corpus MANIFEST --work DIR [--bundle DIR]

With ``--bundle``, what training cannot know is added to the bundle's model card: channel
conditions, failures, and latency as `bonafide bench --json` measured it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import read_bundle, write_bundle
from bonafide.corpora.schema import describe
from research.folds import read_editions
from research.judging import Results
from research.protocol import SCORES, options
from research.sections import SECTIONS
from research.workspace import Workspace

EDITION = "third edition of the corpus"  # on which the scores in docs/results were made
CARD_SECTIONS = ("conditions", "failures", "latency")


def render(template: str, **values: Any) -> str:
    """Return a page of ``research/templates``.

    Parameters
    ----------
    template : str
        Name of its file.
    **values : Any
        What it is filled with.

    Returns
    -------
    str
        Markdown.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("research"),
        autoescape=jinja2.select_autoescape(),  # of HTML; Markdown is left as it is
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(values) + "\n"


def page(results: Results) -> str:
    """Return the page, in Markdown."""
    counts = describe(results.workspace.recordings.corpus)
    return render(
        "results.md",
        edition=EDITION,
        only=None,
        counts=", ".join(f"{value} {name}" for name, value in counts.items()),
        **{name: section(results) for name, section in SECTIONS.items()},
    )


def write_card(results: Results, folder: Path) -> None:
    """Add what is known only after training to a bundle's model card."""
    manifest = read_bundle(folder).manifest
    own = replace(results, bundle=manifest["name"])
    added = render(
        "card.md", only=own.bundle, **{name: SECTIONS[name](own) for name in CARD_SECTIONS}
    )
    heading = added.partition("\n")[0]
    path = folder / "card.md"
    trained = path.read_text(encoding="utf-8").partition(f"\n\n{heading}\n")[0]
    path.write_text(f"{trained.rstrip()}\n\n{added}", encoding="utf-8")
    worked_out = ("format", "files", "sha256")
    write_bundle(folder, {k: v for k, v in manifest.items() if k not in worked_out})


def read_scores(path: Path, sha256: NDArray[np.str_]) -> dict[str, NDArray[Any]]:
    """Read scores.npz, parts.npz or answers.npz by key; exit if it is of other recordings."""
    with np.load(path) as file:
        scores = dict(file)
    if not np.array_equal(scores.pop("sound"), sha256.astype("U16")):
        raise SystemExit(f"{path}: of other recordings; run python -m research.protocol again")
    return scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, and complete a model card if asked to."""
    parser = options(__doc__)
    output = SCORES.with_suffix(".md")
    parser.add_argument("--output", type=Path, default=output, help="the page")
    parser.add_argument("--bundle", type=Path, help="bundle whose model card is completed")
    bench = SCORES / "bench.json"
    parser.add_argument("--bench", type=Path, default=bench, help="of bonafide bench --json")
    chosen = parser.parse_args(arguments)
    workspace = Workspace.open(chosen.corpus, chosen.config, chosen.work)
    scores, parts, answers = (
        read_scores(chosen.scores / f"{name}.npz", workspace.recordings.sha256)
        for name in ("scores", "parts", "answers")
    )
    with np.load(chosen.scores / "conditions.npz") as file:
        conditions = dict(file)
    edition = read_editions(workspace.recordings.corpus)
    speed = json.loads(chosen.bench.read_text())
    results = Results(workspace, scores, parts, conditions, answers, edition, speed)
    chosen.output.write_text(page(results), encoding="utf-8")
    if chosen.bundle:
        write_card(results, chosen.bundle)


if __name__ == "__main__":
    main()
