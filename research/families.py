"""Families of generators: how well a bundle's features tell them apart, on unheard sources.

    python -m research.families --corpus MANIFEST [--bundle REF]

Fits what explanations name families by on the recordings of a corpus, with the front end and the
folds of a bundle, and prints what it is worth: on sources that it never heard how often the most
probable family is right, how many recordings get a name, and how many of these rightly; and how
many recordings of a family that it never heard get none. Intervals of 95 % resample sources.
Needs the extra ``train``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bonafide.base_models import BaseModels
from bonafide.bundle import Bundle
from bonafide.corpora import read_corpus
from bonafide.corpora.families import FAMILIES, family_of
from bonafide.corpora.schema import Corpus
from bonafide.evaluation.evaluate import percent
from bonafide.evaluation.report import markdown_table
from bonafide.home import home
from bonafide.registry import find_bundle
from bonafide.training.families import VECTORS, Families, families_of
from bonafide.training.folds import source_id
from bonafide.training.windows import training_windows
from bonafide.types import Features

BATCH = 32
SAID = {
    "top_1": "the most probable family is right",
    "named": "a family is named",
    "right": "it is named rightly, of those that are named",
    "unseen": "none is named, of recordings of a family that was never heard",
}


def families_with(bundle: Bundle, corpus: Corpus) -> tuple[Families, Features]:
    """Fit families on what a bundle's front end makes of a corpus.

    Parameters
    ----------
    bundle : Bundle
        Of format 3, whose configuration names a fold for each source.
    corpus : Corpus
        That it was trained on.

    Returns
    -------
    Families
    ndarray of float32, shape (n, n_numbers)
        What they were fitted on.
    """
    known = [row for row in corpus if family_of(row)]
    rows = Corpus(corpus.root, known)
    base, sizes = BaseModels(bundle, ()), bundle.spec.vectors
    hears = tuple(name for name in VECTORS if name in sizes)
    batches = [np.empty((0, sum(sizes[name] for name in hears)), np.float32)]
    for start in range(0, len(rows), BATCH):
        paths = [rows.audio_path(row) for row in known[start : start + BATCH]]
        scaled = base.scaled(training_windows(paths, bundle.spec))
        batches.append(np.concatenate([scaled[name] for name in hears], axis=1))
    vectors = np.concatenate(batches)
    if not known:
        return Families.none(hears, vectors.shape[1]), vectors
    of = bundle.manifest["config"]["folds"]["of"]
    fold = np.array([of[source_id(row.source)] for row in known])
    return families_of(hears, vectors, fold, rows), vectors


def table(families: Families) -> str:
    """Return what families are worth."""
    rows = [[SAID[name], percent(share)] for name, share in families.measured.items()]
    return markdown_table(("how often", "share [95 %]"), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the families and what they are worth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    parser.add_argument("--bundle", help="default: the one in production")
    chosen = parser.parse_args(arguments)
    bundle, corpus = find_bundle(home(), chosen.bundle), read_corpus(chosen.corpus)
    families, vectors = families_with(bundle, corpus)
    of_row = [family_of(row) for row in corpus]
    print(f"{bundle.identity}, {chosen.corpus}: {len(vectors)} recordings of known families")
    for name in families.names:
        print(f"- {FAMILIES[name].label}: {of_row.count(name)}")
    print(f"one of {len(families.names)} by chance: {1 / len(families.names):.1%}")
    print(f"named from a probability of {families.named_from:g}")
    print(table(families))


if __name__ == "__main__":
    main()
